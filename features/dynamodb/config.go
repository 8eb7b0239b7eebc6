package dynamodb

import (
	"net/url"
	"regexp"
	"time"

	"nearline/internal/problems"
	"nearline/pipeline"
)

// Config says which table the views are kept in. There is no secret in it: credentials are found as the vendor's tools find them, in the
// environment, in ~/.aws, or from the machine's or the container's role.
type Config struct {
	// Table of all views. What it has to look like, Ping says.
	Table string `yaml:"table"`
	// Region such as eu-west-1; empty is what the environment or ~/.aws says.
	Region string `yaml:"region"`
	// Endpoint is the URL of something else than the region's DynamoDB: of a VPC's endpoint, or of an emulator.
	Endpoint string `yaml:"endpoint"`
	// Consistent reads see all that has been put; they cost twice as much as those that may be some time behind.
	Consistent bool `yaml:"consistent"`
	// TTL is how long a key is kept that has no more events; 0 keeps it for good. A key that has expired comes back with its next event only, since
	// what its topic has of it is put once.
	TTL time.Duration `yaml:"ttl"`
	// Timeout of a lookup, with all its tries in it.
	Timeout time.Duration `yaml:"timeout"`
	// Concurrency is how many requests of one call are under way at most: each entry that is put is one, and so is each hundred keys of a lookup.
	Concurrency int `yaml:"concurrency"`
}

// DefaultConfig is what a config gets that says nothing. All of it are guesses: a batch of a hundred items takes some ten milliseconds within a
// region, and 64 puts of 5 ms are 12,800 a second.
func DefaultConfig() Config {
	return Config{Table: "nearline", Consistent: true, Timeout: 250 * time.Millisecond, Concurrency: 64}
}

var (
	legalTable  = regexp.MustCompile(`^[a-zA-Z0-9._-]{3,255}$`)
	legalRegion = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
)

// Validate names every problem, each with its key below path, its value and the remedy.
func (c Config) Validate(path string) error {
	var p problems.List
	if !legalTable.MatchString(c.Table) {
		p.Add(path+".table", "is %q: want 3 to 255 letters, digits, dots, dashes and underscores, such as nearline", c.Table)
	}
	if c.Region != "" && !legalRegion.MatchString(c.Region) {
		p.Add(path+".region", "is %q: want one such as eu-west-1, or none for the environment's", c.Region)
	}
	if c.Endpoint != "" && !isURL(c.Endpoint) {
		p.Add(path+".endpoint", "is %q: want a URL such as http://localhost:8000, or none for the region's", c.Endpoint)
	}
	if c.TTL < 0 || c.TTL > 0 && c.TTL < time.Second || c.TTL > pipeline.Longest {
		p.Add(path+".ttl", "is %v: want at least 1s and at most %v, or 0 to keep keys for good", c.TTL, pipeline.Longest)
	}
	if c.Timeout < time.Millisecond || c.Timeout > time.Minute {
		p.Add(path+".timeout", "is %v: want between 1ms and 1m", c.Timeout)
	}
	if c.Concurrency < 1 || c.Concurrency > 1000 {
		p.Add(path+".concurrency", "is %d: want between 1 and 1000", c.Concurrency)
	}
	return p.Err()
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}
