package serving

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"nearline/internal/problems"
	"nearline/internal/secret"
	"nearline/pipeline"
)

// Config is where the service shows itself over HTTP, and what all requests of the online API hold and do at once.
type Config struct {
	// HTTP is the address to listen on, host:port; an empty host means every interface, and "off" means no server.
	HTTP string `yaml:"http"`
	// TLS has the server speak nothing else; without it, whoever is on the way can read tokens and answers.
	TLS *TLS `yaml:"tls"`
	// Tokens of those who may read: features, rankings, metrics, the index. One is shown as Authorization: Bearer TOKEN. Without any, all may read who can
	// connect. Probes are open anyway.
	Tokens []secret.Text `yaml:"tokens"`
	// AdminTokens of those who may change something, look into memory, and read. Without any, nobody may do the first two.
	AdminTokens []secret.Text `yaml:"admin_tokens"`
	// Pprof shows Go's profiles under /debug/pprof/ to those who have one of AdminTokens. They tell an outsider a good deal, hence off unless asked for.
	Pprof bool `yaml:"pprof"`
	// MaxConnections that are open at once; 0 is 512. Beyond that, one that waits for its client is closed to make room, and where all are at work, new
	// ones are served nothing but probes. Each takes some 40 KB beside what its request and its answer hold, which is bounded for itself.
	MaxConnections int `yaml:"max_connections"`
	// ReadTimeout is how long a client may take to send a header, and then as long again for the body; 0 is 10s.
	ReadTimeout time.Duration `yaml:"read_timeout"`
	// WriteTimeout is how long a client may take to read 64 KiB of what it was answered; 0 is 10s. It does not bound the work on an answer.
	WriteTimeout time.Duration `yaml:"write_timeout"`
	// MaxInFlight is how many bytes of requests and answers there are at once, each from its first byte until it is answered, or the answer is taken; 0 is
	// 64MiB. Beyond that, requests are answered with 429. What the work on a request takes is bounded beside that, and in proportion.
	MaxInFlight pipeline.ByteSize `yaml:"max_in_flight"`
	// MaxCandidates that are ranked at once, of all requests; 0 is 16384 for every two of the device's slots, so that the stream keeps its part of them. A
	// request waits its turn for up to a second, and is then answered with 429. One with more than that is ranked alone.
	MaxCandidates int `yaml:"max_candidates"`
}

// What a server has whose config says nothing. Guesses: more clients than a service with one model answers, and time enough for the largest request
// at 100 KB a second.
const (
	defaultConnections = 512
	defaultTimeout     = 10 * time.Second

	defaultInFlight = 64 << 20
	// candidatesOfSlots is about the most that the model that ships takes of one request.
	candidatesOfSlots = 16384
)

// DefaultConfig is what a config gets that says nothing.
func DefaultConfig() Config {
	return Config{
		HTTP: ":8080", MaxConnections: defaultConnections, ReadTimeout: defaultTimeout, WriteTimeout: defaultTimeout, MaxInFlight: defaultInFlight,
	}
}

// Off says that no server is wanted.
func (c Config) Off() bool { return c.HTTP == "off" }

// Validate names every problem, each with its key below path, its value and the remedy.
func (c Config) Validate(path string) error {
	var p problems.List
	if !c.Off() {
		if _, port, err := net.SplitHostPort(c.HTTP); err != nil || port == "" {
			p.Add(path+".http", "is %q: want host:port such as :8080 or 127.0.0.1:8080, or off", c.HTTP)
		} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			p.Add(path+".http", "is %q: want a port between 0 and 65535", c.HTTP)
		}
	}
	if c.TLS != nil {
		p.Join(c.TLS.Validate(path + ".tls"))
	}
	c.validateTokens(&p, path)
	if c.MaxConnections != 0 && (c.MaxConnections < 8 || c.MaxConnections > maxConnections) {
		p.Add(path+".max_connections", "is %d: want between 8 and %d, or 0 for %d", c.MaxConnections, maxConnections, defaultConnections)
	}
	for _, key := range []struct {
		name string
		is   time.Duration
	}{{"read_timeout", c.ReadTimeout}, {"write_timeout", c.WriteTimeout}} {
		if key.is != 0 && (key.is < 100*time.Millisecond || key.is > 10*time.Minute) {
			p.Add(path+"."+key.name, "is %v: want between 100ms and 10m, or 0 for %v", key.is, defaultTimeout)
		}
	}
	if c.MaxInFlight != 0 && (c.MaxInFlight < 1<<20 || c.MaxInFlight > 64<<30) {
		p.Add(path+".max_in_flight", "is %v: want between 1MiB and 64GiB, or 0 for %v", c.MaxInFlight, pipeline.ByteSize(defaultInFlight))
	}
	if c.MaxCandidates < 0 || c.MaxCandidates > maxCandidates {
		p.Add(path+".max_candidates", "is %d: want between 1 and %d, or 0 for %d for every two slots of the device", c.MaxCandidates, maxCandidates, candidatesOfSlots)
	}
	return p.Err()
}

// URL at which this machine reaches the server. An error says why it cannot be told.
func (c Config) URL() (string, error) {
	if c.Off() {
		return "", errors.New("serving.http is off: nobody answers probes; give it an address, such as :8080")
	}
	host, port, err := net.SplitHostPort(c.HTTP)
	if err != nil {
		return "", fmt.Errorf("serving.http is %q: want host:port", c.HTTP)
	}
	if port == "0" {
		return "", fmt.Errorf("serving.http is %q, any free port: the service's log says which, name it with --url", c.HTTP)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if c.TLS != nil {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port), nil
}

// maxConnections is as many as one address has ports.
const maxConnections = 65536

// maxCandidates is beyond what any device ranks within a request's patience.
const maxCandidates = 100_000_000
