package acls

import (
	"slices"
	"testing"

	"nearline/internal/certs"
	"nearline/kafka"
)

func TestPropertiesAreWhatTheClusterAsksFor(t *testing.T) {
	const scram = `sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="ADMIN" password="PASSWORD";`
	for _, c := range []struct {
		name   string
		config kafka.Config
		want   []string
	}{
		{"TLS", kafka.Config{TLS: &certs.Config{}}, []string{"security.protocol=SSL"}},
		{"a certificate", kafka.Config{TLS: &certs.Config{CA: "ca.pem", Cert: "cert.pem", Key: "key.pem"}},
			[]string{"security.protocol=SSL", "ssl.truststore.type=PEM", "ssl.truststore.location=ca.pem", "ssl.keystore.type=PEM", "ssl.keystore.location=FILE"}},
		{"a login", kafka.Config{SASL: &kafka.SASL{Mechanism: kafka.Scram512}}, []string{"security.protocol=SASL_PLAINTEXT", "sasl.mechanism=SCRAM-SHA-512", scram}},
		{"both", kafka.Config{TLS: &certs.Config{}, SASL: &kafka.SASL{Mechanism: kafka.MSKIAM}},
			[]string{"security.protocol=SASL_SSL", "sasl.mechanism=AWS_MSK_IAM", "sasl.jaas.config=software.amazon.msk.auth.iam.IAMLoginModule required;"}},
	} {
		if got := Properties(c.config); !slices.Equal(got, c.want) || CommandConfig(c.config) != PropertiesFile {
			t.Errorf("%s: got %q, want %q in a file", c.name, got, c.want)
		}
	}
	if got := CommandConfig(kafka.Config{}); got != "" {
		t.Errorf("got the file %q, want none where nobody logs in", got)
	}
	for _, mechanism := range []string{kafka.Plain, kafka.Scram256, kafka.Scram512, kafka.OAuthBearer, kafka.MSKIAM} {
		if modules[mechanism] == "" {
			t.Errorf("nothing is known of the login %s", mechanism)
		}
	}
}
