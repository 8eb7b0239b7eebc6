package kafka

import (
	"fmt"
	"net"

	"nearline/internal/certs"
	"nearline/internal/problems"
)

// Config is what the configuration says of how to reach the cluster, and as whom.
type Config struct {
	// Brokers to ask first, host:port; the rest of the cluster is discovered. In the file one entry may list several, with commas.
	Brokers []string `yaml:"brokers"`
	// TLS with the brokers; nil is without. {} trusts the system's authorities.
	TLS *certs.Config `yaml:"tls"`
	// SASL is how to log in; nil is not at all, or by the certificate of TLS.
	SASL *SASL `yaml:"sasl"`
}

// Validate names every problem, each with its key below path, its value and the remedy.
func (c Config) Validate(path string) error {
	var p problems.List
	if len(c.Brokers) == 0 {
		p.Add(path+".brokers", "is empty: want at least one host:port")
	}
	for i, broker := range c.Brokers {
		if _, _, err := net.SplitHostPort(broker); err != nil {
			p.Add(fmt.Sprintf("%s.brokers[%d]", path, i), "is %q: want host:port, such as kafka:9092", broker)
		}
	}
	if c.TLS != nil {
		p.Join(c.TLS.Validate(path + ".tls"))
	}
	if c.SASL != nil {
		p.Join(c.SASL.Validate(path+".sasl", c.TLS != nil))
	}
	return p.Err()
}

// Connection to the cluster that is configured. What is made of one and the same shares its credentials, and what it learns of them.
func (c Config) Connection() Connection {
	return Connection{Brokers: c.Brokers, credentials: newCredentials(c)}
}

// Paths of all files, for whoever knows which folder they are relative to.
func (c *Config) Paths() []*string {
	var paths []*string
	if c.TLS != nil {
		paths = append(paths, c.TLS.Paths()...)
	}
	if c.SASL != nil {
		paths = append(paths, c.SASL.Paths()...)
	}
	return paths
}
