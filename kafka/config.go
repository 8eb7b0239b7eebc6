package kafka

import (
	"fmt"
	"net"

	"nearline/internal/problems"
)

// Config is what the configuration says of how to reach the cluster.
type Config struct {
	// Brokers to ask first, host:port; the rest of the cluster is discovered. In the file one entry may list several, with commas.
	Brokers []string `yaml:"brokers"`
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
	return p.Err()
}

// Connection to the cluster that is configured.
func (c Config) Connection() Connection { return Connection{Brokers: c.Brokers} }
