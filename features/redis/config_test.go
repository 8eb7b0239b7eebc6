package redis

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"nearline/internal/secret"
)

const path = "features.store.redis"

func named(text string) secret.Name { return secret.Name{Text: secret.Plain(text)} }

func TestTheDefaultsWantAnAddressOnly(t *testing.T) {
	c := DefaultConfig()
	if err := c.Validate(path); err == nil || err.Error() != path+".addresses is empty: want at least one host:port, such as redis:6379" {
		t.Errorf("got %v", err)
	}
	for _, addresses := range [][]string{{"redis:6379"}, {"10.0.0.1:6379", "[::1]:7000"}} {
		c.Addresses = addresses
		if err := c.Validate(path); err != nil {
			t.Errorf("%v: %v", addresses, err)
		}
	}
}

func TestConfigsThatCannotWorkAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(c *Config)
		want   []string // keys of the problems, in order
	}{
		{"addresses", func(c *Config) {
			c.Addresses = []string{"redis", "redis:6379", ":6379", "redis:0", "redis:a", "redis:70000"}
		},
			[]string{"addresses[0]", "addresses[2]", "addresses[3]", "addresses[4]", "addresses[5]"}},
		{"a cluster's database", func(c *Config) { c.Addresses, c.Database = []string{"a:1", "b:2"}, 3 }, []string{"database"}},
		{"the same of one address", func(c *Config) { c.Cluster, c.Database = true, 3 }, []string{"database"}},
		{"sentinels have databases", func(c *Config) { c.Addresses, c.Master, c.Database = []string{"a:1", "b:2"}, "main", 3 }, nil},
		{"but no cluster", func(c *Config) { c.Master, c.Cluster = "main", true }, []string{"master"}},
		{"a negative database", func(c *Config) { c.Database = -1 }, []string{"database"}},
		{"a user without a password", func(c *Config) { c.Username = named("ann") }, []string{"username"}},
		{"a user in a file without a password", func(c *Config) {
			c.Username = secret.Name{Text: secret.New("", "${file:user}", func() (string, error) { return "ann", nil })}
		},
			[]string{"username"}},
		{"a password without a user", func(c *Config) { c.Password = secret.Plain("secret") }, nil},
		{"prefixes", func(c *Config) { c.Prefix = "" }, []string{"prefix"}},
		{"a prefix for one slot", func(c *Config) { c.Prefix = "{shop}" }, []string{"prefix"}},
		{"a short ttl", func(c *Config) { c.TTL = time.Millisecond }, []string{"ttl"}},
		{"a negative ttl", func(c *Config) { c.TTL = -time.Hour }, []string{"ttl"}},
		{"a ttl", func(c *Config) { c.TTL = time.Hour }, nil},
		{"all at once", func(c *Config) { *c = Config{Username: named("ann"), Database: -1, TTL: -1} },
			[]string{"addresses", "database", "username", "prefix", "ttl", "timeout", "pool_size"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := DefaultConfig()
			config.Addresses = []string{"redis:6379"}
			c.change(&config)
			var got []string
			if err := config.Validate(path); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i, problem := range got {
				if !strings.HasPrefix(problem, path+"."+c.want[i]+" is ") || !strings.Contains(problem, ": want ") {
					t.Errorf("got %q, want the key %s, its value and what is wanted", problem, c.want[i])
				}
			}
		})
	}
}

func TestNothingShowsThePassword(t *testing.T) {
	c := DefaultConfig()
	c.Username, c.Password = named("ann"), secret.Plain("hunter2")
	shown := []string{c.Password.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t"} {
		shown = append(shown, fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, c.Password))
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	written, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("begin", "config", c, "password", c.Password)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("begin", "config", c, "password", c.Password)
	for _, text := range append(shown, string(encoded), string(written), log.String()) {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("the password is in %s", text)
		}
	}
	if text := string(encoded); !strings.Contains(text, "(hidden)") {
		t.Errorf("that there is a password is not in %s", text)
	}
	if text := fmt.Sprint(DefaultConfig()); strings.Contains(text, "hidden") {
		t.Errorf("there is no password, but it is hidden in %s", text)
	}
}
