package dynamodb

import (
	"strings"
	"testing"
	"time"
)

const path = "features.store.dynamodb"

func TestTheDefaultsWantNothing(t *testing.T) {
	if err := DefaultConfig().Validate(path); err != nil {
		t.Error(err)
	}
}

func TestConfigsThatCannotWorkAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(c *Config)
		want   []string // keys of the problems, in order
	}{
		{"a short table", func(c *Config) { c.Table = "ab" }, []string{"table"}},
		{"a table with a slash", func(c *Config) { c.Table = "a/bc" }, []string{"table"}},
		{"a region", func(c *Config) { c.Region = "eu-west-1" }, nil},
		{"no region", func(c *Config) { c.Region = "EU west" }, []string{"region"}},
		{"an endpoint", func(c *Config) { c.Endpoint = "http://localhost:8000" }, nil},
		{"an address", func(c *Config) { c.Endpoint = "localhost:8000" }, []string{"endpoint"}},
		{"a secret", func(c *Config) { c.Endpoint = "http://ann:pw@localhost:8000" }, []string{"endpoint"}},
		{"a short ttl", func(c *Config) { c.TTL = time.Millisecond }, []string{"ttl"}},
		{"a ttl", func(c *Config) { c.TTL = time.Hour }, nil},
		{"no concurrency", func(c *Config) { c.Concurrency = 0 }, []string{"concurrency"}},
		{"all at once", func(c *Config) { *c = Config{TTL: -1} }, []string{"table", "ttl", "timeout", "concurrency"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := DefaultConfig()
			c.change(&config)
			refused(t, config.Validate(path), c.want)
		})
	}
}

func refused(t *testing.T, err error, keys []string) {
	t.Helper()
	var got []string
	if err != nil {
		got = strings.Split(err.Error(), "\n")
	}
	if len(got) != len(keys) {
		t.Fatalf("got %d problems, want %d:\n%s", len(got), len(keys), strings.Join(got, "\n"))
	}
	for i, problem := range got {
		if !strings.HasPrefix(problem, path+"."+keys[i]+" is ") || !strings.Contains(problem, ": want ") {
			t.Errorf("got %q, want the key %s, its value and what is wanted", problem, keys[i])
		}
	}
}
