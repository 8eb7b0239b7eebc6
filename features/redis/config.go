package redis

import (
	"fmt"
	"regexp"
	"time"

	"nearline/internal/certs"
	"nearline/internal/hostport"
	"nearline/internal/problems"
	"nearline/internal/secret"
	"nearline/pipeline"
)

// Config says where the Redis is, and how views are kept there.
type Config struct {
	// Addresses, host:port, of one server, of several nodes of a cluster, or of the sentinels of Master.
	Addresses []string `yaml:"addresses"`
	// Cluster says that a single address is one of a cluster, such as a cloud's endpoint. Several are anyway.
	Cluster bool `yaml:"cluster"`
	// Master is the name under which sentinels know the server.
	Master string `yaml:"master"`
	// Username and Password of each new connection: those in files may be replaced while the service runs.
	Username secret.Name `yaml:"username"`
	Password secret.Text `yaml:"password"`
	// Database by its number; a cluster has only 0.
	Database int `yaml:"database"`
	// TLS has all servers spoken to by it; {} trusts the system's authorities.
	TLS *certs.Config `yaml:"tls"`
	// Prefix of all keys: one is called PREFIX:VIEW:KEY.
	Prefix string `yaml:"prefix"`
	// TTL is how long a key is kept that has no more events; 0 keeps it for good. A key that has expired comes back with its next event only, since
	// what its topic has of it is put once.
	TTL time.Duration `yaml:"ttl"`
	// Timeout of a lookup, with the wait for a connection and the second try in it.
	Timeout time.Duration `yaml:"timeout"`
	// PoolSize is how many connections to each server there are at most, and so how many calls are under way; others wait.
	PoolSize int `yaml:"pool_size"`
}

// DefaultConfig is what a config gets that says nothing. Timeout: 4,096 keys of five features take about 30 ms from a server that shares two cores
// with the asking (BenchmarkLookup), which leaves room for a network. The pool is a guess.
func DefaultConfig() Config {
	return Config{Prefix: "nearline", Timeout: 100 * time.Millisecond, PoolSize: 16}
}

// legalPrefix has no brace: all keys would be in one slot of a cluster.
var legalPrefix = regexp.MustCompile(`^[a-zA-Z0-9._:-]{1,100}$`)

// Validate names every problem, each with its key below path, its value and the remedy.
func (c Config) Validate(path string) error {
	var p problems.List
	if len(c.Addresses) == 0 {
		p.Add(path+".addresses", "is empty: want at least one host:port, such as redis:6379")
	}
	for i, address := range c.Addresses {
		if !hostport.IsAddress(address) {
			p.Add(fmt.Sprintf("%s.addresses[%d]", path, i), "is %q: want host:port, such as redis:6379", address)
		}
	}
	switch clustered := c.Cluster || len(c.Addresses) > 1; {
	case c.Master != "" && c.Cluster:
		p.Add(path+".master", "is %q and %s.cluster is true: want one, a cluster has no sentinels", c.Master, path)
	case c.Master == "" && clustered && c.Database > 0:
		p.Add(path+".database", "is %d: want 0, a cluster has no other", c.Database)
	}
	if c.Database < 0 || c.Database > 1_000_000 {
		p.Add(path+".database", "is %d: want 0 or more, and at most 1000000", c.Database)
	}
	if !c.Username.Empty() && c.Password.Empty() {
		p.Add(path+".username", "is %q and %s.password is empty: want both, such as password: ${file:/run/secrets/redis}", c.Username.Written(), path)
	}
	if c.TLS != nil {
		p.Join(c.TLS.Validate(path + ".tls"))
	}
	if !legalPrefix.MatchString(c.Prefix) {
		p.Add(path+".prefix", "is %q: want letters, digits, dots, dashes, underscores and colons, such as nearline", c.Prefix)
	}
	if c.TTL < 0 || c.TTL > 0 && c.TTL < time.Second || c.TTL > pipeline.Longest {
		p.Add(path+".ttl", "is %v: want at least 1s and at most %v, or 0 to keep keys for good", c.TTL, pipeline.Longest)
	}
	if c.Timeout < time.Millisecond || c.Timeout > time.Minute {
		p.Add(path+".timeout", "is %v: want between 1ms and 1m", c.Timeout)
	}
	if c.PoolSize < 1 || c.PoolSize > 10_000 {
		p.Add(path+".pool_size", "is %d: want between 1 and 10000", c.PoolSize)
	}
	return p.Err()
}
