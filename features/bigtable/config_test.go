package bigtable

import (
	"strings"
	"testing"
	"time"
)

const path = "features.store.bigtable"

// least is a config that says no more than it has to.
func least() Config {
	c := DefaultConfig()
	c.Project, c.Instance = "project", "instance"
	return c
}

func TestTheDefaultsWantProjectAndInstance(t *testing.T) {
	if err := least().Validate(path); err != nil {
		t.Error(err)
	}
	refused(t, DefaultConfig().Validate(path), []string{"project", "instance"})
}

func TestConfigsThatCannotWorkAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(c *Config)
		want   []string // keys of the problems, in order
	}{
		{"a project of a domain", func(c *Config) { c.Project = "example.com:shop" }, nil},
		{"a project's whole name", func(c *Config) { c.Project = "projects/shop" }, []string{"project"}},
		{"an instance's whole name", func(c *Config) { c.Instance = "projects/shop/instances/a" }, []string{"instance"}},
		{"a long table", func(c *Config) { c.Table = strings.Repeat("x", 51) }, []string{"table"}},
		{"a profile", func(c *Config) { c.AppProfile = "one-cluster" }, nil},
		{"no profile", func(c *Config) { c.AppProfile = "one cluster" }, []string{"app_profile"}},
		{"an emulator", func(c *Config) { c.Emulator = "localhost:8086" }, nil},
		{"an emulator's URL", func(c *Config) { c.Emulator = "http://localhost:8086" }, []string{"emulator"}},
		{"a short ttl", func(c *Config) { c.TTL = time.Millisecond }, []string{"ttl"}},
		{"a ttl", func(c *Config) { c.TTL = time.Hour }, nil},
		{"all at once", func(c *Config) { *c = Config{TTL: -1} }, []string{"project", "instance", "table", "ttl", "timeout", "concurrency"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := least()
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
