package main

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"nearline/internal/config"
	"nearline/internal/harness/certstest"
)

func TestAClusterOfAFileIsReachedByClientsAndServices(t *testing.T) {
	authority, folder := certstest.New("authority"), t.TempDir()
	shown := authority.Issue("broker", certstest.Options{Hosts: []string{"127.0.0.1"}})
	pair, err := tls.X509KeyPair(shown.Cert, shown.Key)
	if err != nil {
		t.Fatal(err)
	}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "bench", "password-of-bench"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	certstest.Write(folder, "ca.pem", authority.PEM)
	certstest.Write(folder, "password", []byte("password-of-bench\n"))
	file := certstest.Write(folder, "kafka.yaml", []byte(`
kafka:
  brokers: ["`+fake.ListenAddrs()[0]+`"]
  tls: {ca: ca.pem}
  sasl: {mechanism: scram-sha-256, user: bench, password: "${file:password}"}
`))
	b, err := startBroker("", file)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.topic(t.Context(), "in"); err != nil {
		t.Error(err)
	}
	if err := b.fill(t.Context(), "in", [][]byte{[]byte("{}")}, 10); err != nil {
		t.Error(err)
	}
	// As a service has it, in another folder.
	service, _, err := config.Parse(filepath.Join(t.TempDir(), "nearline.yaml"), pipelineYAML(b.section, "models", "m", "name", "in", "out", "dead"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := service.Kafka.Connection().Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("a service does not reach the cluster: %v", err)
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
	if _, err := startBroker("127.0.0.1:1", filepath.Join(folder, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that there is no such file", err)
	}
}
