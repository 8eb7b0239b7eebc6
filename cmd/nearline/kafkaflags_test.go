package main

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/twmb/franz-go/pkg/kfake"

	"nearline/internal/certs"
	"nearline/internal/harness/certstest"
)

// guarded is a cluster that wants TLS and a login, and the file that says how it is reached, with this password.
func guarded(t *testing.T, password string) (file string) {
	t.Helper()
	authority := certstest.New("authority")
	pair := authority.Issue("broker", certstest.Options{Hosts: []string{"127.0.0.1"}})
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t", "reviews.raw", "reviews.scored", "reviews.raw.dlq"), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-512", "svc", "hunter2hunter2"), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	folder := t.TempDir()
	certstest.Write(folder, "ca.pem", authority.PEM)
	certstest.Write(folder, "password", []byte(password+"\n"))
	file = filepath.Join(folder, "kafka.yaml")
	write(t, file, `kafka:
  brokers: ["`+cluster.ListenAddrs()[0]+`"]
  tls: {ca: ca.pem}
  sasl: {mechanism: scram-sha-512, user: svc, password: "${file:password}"}
`)
	return file
}

func TestCommandsWithoutAConfigurationTakeTLSAndLoginFromAFile(t *testing.T) {
	file := guarded(t, "hunter2hunter2")
	execute(t, `{"review_id":"r1"}`+"\n", "send", "--topic", "t", "--kafka-config", file).ok(t)
	r := execute(t, "", "tail", "--topic", "t", "--kafka-config", file, "--from-beginning", "--until-end")
	r.ok(t)
	if r.out != `{"review_id":"r1"}`+"\n" {
		t.Errorf("got %q, want what was sent", r.out)
	}
	execute(t, "", "dlq", "list", "--topic", "reviews.raw.dlq", "--kafka-config", file).ok(t)
}

func TestWhatIsWrongWithAKafkaConfigIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kafka.yaml")
	write(t, file, "kafka: {brokers: [k1], tls: {ca: none.pem}}")
	r := execute(t, "", "tail", "--kafka-config", file)
	r.fails(t)
	wantAll(t, "standard error", r.err, "kafka.brokers[0] is \"k1\": want host:port", "kafka.tls.ca is", "2 things are wrong")
	execute(t, "", "dlq", "list", "--kafka-config", file, "--config", file).fails(t, "kafka-config")
}

func TestCheckExplainsALoginThatIsRefused(t *testing.T) {
	file := guarded(t, "wrong-password")
	kafka, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data := strings.Replace(string(kafka), "kafka:", "models: {repository: \""+repository(t)+"\"}\nkafka:", 1) + `
pipelines:
  - {name: reviews, input: {topic: reviews.raw}, steps: [{predict: {model: sentiment}}], output: {topic: reviews.scored}, dead_letters: reviews.raw.dlq}
`
	write(t, file, data)
	r := execute(t, "", "check", "--config", file)
	r.fails(t)
	if !strings.Contains(r.out, "WRONG  brokers") || strings.Contains(r.out, "wrong-password") {
		t.Errorf("got\n%s\nwant the brokers wrong, and no password", r.out)
	}
	write(t, filepath.Join(filepath.Dir(file), "password"), "hunter2hunter2")
	r = execute(t, "", "check", "--config", file)
	if !strings.Contains(r.out, "ok     brokers") {
		t.Errorf("got\n%s\nwant the brokers reached with the right password", r.out)
	}
}

func TestASectionKafkaIsRightInAnotherFolder(t *testing.T) {
	var section map[string]any
	if err := yaml.Unmarshal([]byte(`
tls: {ca: "${env:CA}", cert: svc.crt, key: /etc/svc.key}
sasl: {user: "${file:user}", password: "${file:/run/password}", client_credentials: {client_secret: "x${file:sub/secret}y", tls: {ca: idp.pem, server_name: idp}}}
`), &section); err != nil {
		t.Fatal(err)
	}
	if err := elsewhere(section, &certs.Config{CA: "/etc/ca.pem", Cert: "/conf/svc.crt", Key: "/etc/svc.key"}, "/conf"); err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(section)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ca: /etc/ca.pem", "cert: /conf/svc.crt", "key: /etc/svc.key", "user: ${file:/conf/user}", "password: ${file:/run/password}",
		"client_secret: x${file:/conf/sub/secret}y", "ca: /conf/idp.pem", "server_name: idp"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("got\n%s\nwant %s in it", got, want)
		}
	}
}

func TestALoginThatIsMissingIsSaidByEveryCommand(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL())
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	address := cluster.ListenAddrs()[0]
	const words = " ends the connection at the first request: want kafka.sasl, if this port asks for a login"
	path, secured := configFile(t, address), guarded(t, "hunter2hunter2")
	text, err := os.ReadFile(secured)
	if err != nil {
		t.Fatal(err)
	}
	withoutLogin, _, _ := strings.Cut(string(text), "  sasl:")
	write(t, secured, withoutLogin)
	for _, args := range [][]string{
		{"check", "--config", path},
		{"topics", "--config", path, "--wait", "1s"},
		{"send", "--kafka", address, "--topic", "t"},
		{"tail", "--kafka", address, "--topic", "t"},
		{"dlq", "list", "--config", path},
		{"send", "--kafka-config", secured, "--topic", "t"},
		{"tail", "--kafka-config", secured, "--topic", "t"},
		{"dlq", "list", "--kafka-config", secured, "--topic", "t"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		r := executeIn(ctx, "{}\n", args...)
		cancel()
		if r.failure == nil || !strings.Contains(r.out+r.err+r.failure.Error(), words) {
			t.Errorf("%v: got %v\n%s%s\nwant %q", args, r.failure, r.out, r.err, words)
		}
	}
}
