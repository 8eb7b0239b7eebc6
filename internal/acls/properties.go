package acls

import (
	"strings"

	"nearline/kafka"
)

// PropertiesFile is what commands call the file that kafka-acls.sh authenticates with, where nobody has named one.
const PropertiesFile = "admin.properties"

// CommandConfig is the file without which kafka-acls.sh does not get into the cluster; "" where the cluster asks for neither TLS nor a login.
func CommandConfig(c kafka.Config) string {
	if c.TLS == nil && c.SASL == nil {
		return ""
	}
	return PropertiesFile
}

// modules are the classes that Kafka's own clients log in with, and what they are told.
var modules = map[string]string{
	kafka.Plain:       `org.apache.kafka.common.security.plain.PlainLoginModule required username="ADMIN" password="PASSWORD";`,
	kafka.Scram256:    `org.apache.kafka.common.security.scram.ScramLoginModule required username="ADMIN" password="PASSWORD";`,
	kafka.Scram512:    `org.apache.kafka.common.security.scram.ScramLoginModule required username="ADMIN" password="PASSWORD";`,
	kafka.OAuthBearer: `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId="ADMIN" clientSecret="PASSWORD";`,
	kafka.MSKIAM:      "software.amazon.msk.auth.iam.IAMLoginModule required;",
}

// Properties are the lines of that file, with ADMIN and PASSWORD where somebody's own belong who may change ACLs.
func Properties(c kafka.Config) []string {
	lines := []string{"security.protocol=" + protocol(c)}
	if c.TLS != nil {
		if c.TLS.CA != "" {
			lines = append(lines, "ssl.truststore.type=PEM", "ssl.truststore.location="+c.TLS.CA)
		}
		if c.TLS.Cert != "" && c.SASL == nil {
			lines = append(lines, "ssl.keystore.type=PEM", "ssl.keystore.location=FILE")
		}
	}
	if c.SASL != nil {
		name := strings.ToUpper(c.SASL.Mechanism)
		if c.SASL.Mechanism == kafka.MSKIAM {
			name = "AWS_MSK_IAM"
		}
		lines = append(lines, "sasl.mechanism="+name, "sasl.jaas.config="+modules[c.SASL.Mechanism])
	}
	return lines
}

func protocol(c kafka.Config) string {
	switch {
	case c.SASL == nil:
		return "SSL"
	case c.TLS == nil:
		return "SASL_PLAINTEXT"
	default:
		return "SASL_SSL"
	}
}
