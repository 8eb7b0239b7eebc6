package firestore

import (
	"regexp"
	"time"

	"nearline/internal/hostport"
	"nearline/internal/problems"
	"nearline/pipeline"
)

// Config says which database the views are kept in. There is no secret in it: credentials are found as the vendor's tools find them, in the file that
// GOOGLE_APPLICATION_CREDENTIALS names, in gcloud's, or from the machine's service account.
type Config struct {
	Project string `yaml:"project"`
	// Database of the project, in native mode.
	Database string `yaml:"database"`
	// Prefix of the collections: that of a view is called PREFIX-VIEW.
	Prefix string `yaml:"prefix"`
	// Emulator is the host:port of an emulator, which is asked without TLS and credentials.
	Emulator string `yaml:"emulator"`
	// TTL is how long a key is kept that has no more events; 0 keeps it for good. A key that has expired comes back with its next event only, since
	// what its topic has of it is put once.
	TTL time.Duration `yaml:"ttl"`
	// Timeout of a lookup, with all its tries in it.
	Timeout time.Duration `yaml:"timeout"`
	// Concurrency is how many requests of one call are under way at most: a hundred entries that are put are two, and a thousand keys of a lookup
	// are one.
	Concurrency int `yaml:"concurrency"`
}

// DefaultConfig is what a config gets that says nothing. All of it are guesses: reads take some tens of milliseconds within a region.
func DefaultConfig() Config {
	return Config{Database: "(default)", Prefix: "nearline", Timeout: 250 * time.Millisecond, Concurrency: 16}
}

var (
	legalProject  = regexp.MustCompile(`^[a-z0-9.:-]{1,100}$`) // with the domain of old ones
	legalDatabase = regexp.MustCompile(`^(\(default\)|[a-z0-9-]{4,63})$`)
	legalPrefix   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$`)
)

// Validate names every problem, each with its key below path, its value and the remedy.
func (c Config) Validate(path string) error {
	var p problems.List
	if !legalProject.MatchString(c.Project) {
		p.Add(path+".project", "is %q: want the id of a project, such as shop-prod", c.Project)
	}
	if !legalDatabase.MatchString(c.Database) {
		p.Add(path+".database", "is %q: want (default), or the id of one, such as features", c.Database)
	}
	if !legalPrefix.MatchString(c.Prefix) {
		p.Add(path+".prefix", "is %q: want letters, digits, dots, dashes and underscores, such as nearline", c.Prefix)
	}
	if c.Emulator != "" && !hostport.IsAddress(c.Emulator) {
		p.Add(path+".emulator", "is %q: want host:port, such as localhost:8080, or none for the real one", c.Emulator)
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
