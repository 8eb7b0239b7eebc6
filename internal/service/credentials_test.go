package service

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/internal/certs"
	"nearline/internal/harness/certstest"
	"nearline/internal/secret"
)

func TestAFileOfCredentialsThatCannotBeUsedIsSaidOnceAndShown(t *testing.T) {
	folder, authority := t.TempDir(), certstest.New("authority")
	var config certs.Config
	config.Cert, config.Key = authority.Issue("joe", certstest.Options{}).Write(folder, "client")
	path := certstest.Write(folder, "password", []byte("good\n"))
	password := secret.New("kafka.sasl.password", "${file:password}", func() (string, error) { return secret.File(path) })
	files := certs.New("kafka.tls", config)

	var log bytes.Buffer
	registry := prometheus.NewPedanticRegistry()
	c := newCredentials(registry, slog.New(slog.NewTextHandler(&log, nil)))
	c.watchSecrets([]secret.Text{password, secret.Plain("literal")})
	c.watchFiles(files)
	c.watchFiles(nil)
	c.watchStore(nil)
	stale := func() map[string]float64 {
		t.Helper()
		for range 3 { // uses of it
			_, _ = password.Value(), files.Leaf()
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]float64{}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				if family.GetName() == "nearline_credentials_stale" {
					found[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
		return found
	}
	if got := stale(); got["kafka.sasl.password"] != 0 || got["kafka.tls.cert"] != 0 || len(got) < 2 || log.Len() > 0 {
		t.Errorf("at first: got %v, and %s in the log; want both well, and nothing said", got, log.String())
	}
	certstest.Write(folder, "password", nil)
	if err := os.Remove(config.Key); err != nil {
		t.Fatal(err)
	}
	if got := stale(); got["kafka.sasl.password"] != 1 || got["kafka.tls.cert"] != 1 || strings.Count(log.String(), "cannot be used") != 2 || strings.Contains(log.String(), "good\n") {
		t.Errorf("got %v, and %s in the log; want neither well, each said once", got, log.String())
	}
	certstest.Write(folder, "password", []byte("better\n"))
	if got := stale(); got["kafka.sasl.password"] != 0 || got["kafka.tls.cert"] != 1 || strings.Count(log.String(), "can be used again") != 1 || strings.Contains(log.String(), "better") {
		t.Errorf("got %v, and %s in the log; want the password well, said once", got, log.String())
	}
}

// A login may be days away: whoever reads the metrics hears of a missing file before.
func TestFilesOfSecretsAreReadWithTheMetrics(t *testing.T) {
	folder := t.TempDir()
	path := certstest.Write(folder, "password", []byte("good\n"))
	registry := prometheus.NewPedanticRegistry()
	c := newCredentials(registry, slog.New(slog.DiscardHandler))
	password := secret.New("kafka.sasl.password", "${file:password}", func() (string, error) { return secret.File(path) })
	if _, err := password.Read(); err != nil {
		t.Fatal(err)
	}
	c.watchSecrets([]secret.Text{password})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetGauge().GetValue() != 1 {
		t.Errorf("got %v, %v; want nearline_credentials_stale 1 of a file that nobody else has read", families, err)
	}
}
