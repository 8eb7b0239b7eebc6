package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nearline/internal/harness/certstest"
	"nearline/kafka"
)

// kafkaFile in a folder that has an authority, a pair and a password.
func kafkaFile(t *testing.T, text string) string {
	t.Helper()
	folder := t.TempDir()
	authority := certstest.New("authority")
	certstest.Write(folder, "ca.pem", authority.PEM)
	authority.Issue("svc", certstest.Options{}).Write(folder, "svc")
	certstest.Write(folder, "password", []byte("hunter2hunter2\n"))
	return certstest.Write(folder, "kafka.yaml", []byte(text))
}

func TestTheSectionKafkaIsEnoughToReachACluster(t *testing.T) {
	t.Setenv("NEARLINE_TEST_BROKERS", "k1:9093, k2:9093")
	for name, text := range map[string]string{
		"the section alone": "",
		"a configuration":   "\npipelines: [{name: 1, nothing: else}]\nmodels: no\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := kafkaFile(t, `kafka:
  brokers: ["${env:NEARLINE_TEST_BROKERS}"]
  tls: {ca: ca.pem, cert: svc.crt, key: svc.key}
  sasl: {mechanism: scram-sha-512, user: nightly, password: "${file:password}"}
  session_timeout: 10s
`+text)
			c, hides, err := LoadKafka(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Join(c.Brokers, " "), "k1:9093 k2:9093"; got != want {
				t.Errorf("the brokers are %s, want %s", got, want)
			}
			if want := filepath.Join(filepath.Dir(path), "svc.key"); c.TLS == nil || c.TLS.Key != want {
				t.Errorf("TLS is %v: want the files beside the file that names them, such as %s", c.TLS, want)
			}
			if c.SASL == nil || c.SASL.Mechanism != kafka.Scram512 || c.SASL.User.Value() != "nightly" || c.SASL.Password.Value() != "hunter2hunter2" {
				t.Errorf("SASL is %+v: want what is written", c.SASL)
			}
			if got, want := hides.Text("nightly hunter2hunter2"), "nightly ${file:password}"; got != want {
				t.Errorf("messages show %q, want %q: the user is no secret", got, want)
			}
		})
	}
}

func TestWhatIsWrongWithTheSectionKafkaIsSaidWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "the file is empty: want a mapping with the key kafka",
		"brokers: [\"k1:9093\"]":                ":1: there is no key kafka: want a mapping with the key kafka",
		"kafka: {brokers: [k1]}":                ":1: kafka.brokers[0] is \"k1\": want host:port",
		"x: 1\nkafka:\n  broker: [\"k1:9093\"]": ":3: kafka.broker is not a key: did you mean brokers?",
		"[1]":                                   "want a mapping with the key kafka",
	} {
		if _, _, err := LoadKafka(kafkaFile(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, _, err := LoadKafka(filepath.Join(t.TempDir(), "none.yaml")); !os.IsNotExist(unwrapped(err)) {
		t.Errorf("got %v: want that there is no such file", err)
	}
}

// unwrapped once.
func unwrapped(err error) error {
	if of, ok := err.(interface{ Unwrap() error }); ok {
		return of.Unwrap()
	}
	return err
}

func TestWhoAUserIsMayStandInAFile(t *testing.T) {
	path := kafkaFile(t, `kafka: {brokers: ["k1:9093"], sasl: {mechanism: plain, user: "${file:password}", password: "${file:password}"}}`)
	c, hides, err := LoadKafka(path)
	if err != nil {
		t.Fatal(err)
	}
	certstest.Write(filepath.Dir(path), "password", []byte("another-user"))
	if got := c.SASL.User.Value(); got != "another-user" || hides.Text(got) != got {
		t.Errorf("the user is %q, shown as %q: want what its file has now, which is no secret", got, hides.Text(got))
	}
}
