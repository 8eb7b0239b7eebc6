package bigtable

import (
	"regexp"
	"time"

	"nearline/internal/hostport"
	"nearline/internal/problems"
	"nearline/pipeline"
)

// Config says which table the views are kept in. There is no secret in it: credentials are found as the vendor's tools find them, in the file that
// GOOGLE_APPLICATION_CREDENTIALS names, in gcloud's, or from the machine's service account.
type Config struct {
	Project  string `yaml:"project"`
	Instance string `yaml:"instance"`
	// Table of all views. What it has to look like, Ping says.
	Table string `yaml:"table"`
	// AppProfile of the requests; empty is the instance's default. It has to route to a single cluster, and to allow single-row transactions.
	AppProfile string `yaml:"app_profile"`
	// Emulator is the host:port of an emulator, which is asked without TLS and credentials.
	Emulator string `yaml:"emulator"`
	// TTL is how long a key is found that has no more events; 0 is for good. A key that has expired comes back with its next event only, since
	// what its topic has of it is put once. That it is removed as well is for the table's own rule to say.
	TTL time.Duration `yaml:"ttl"`
	// Timeout of a lookup, with all its tries in it.
	Timeout time.Duration `yaml:"timeout"`
	// Concurrency is how many entries of one call are being put at most.
	Concurrency int `yaml:"concurrency"`
}

// DefaultConfig is what a config gets that says nothing. All of it are guesses: a read takes some milliseconds within a region, and 64 puts of 5 ms
// are 12,800 a second.
func DefaultConfig() Config {
	return Config{Table: "nearline", Timeout: 250 * time.Millisecond, Concurrency: 64}
}

var (
	legalProject  = regexp.MustCompile(`^[a-z0-9.:-]{1,100}$`) // with the domain of old ones
	legalInstance = regexp.MustCompile(`^[a-z0-9-]{1,33}$`)
	legalTable    = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,50}$`)
)

// Validate names every problem, each with its key below path, its value and the remedy.
func (c Config) Validate(path string) error {
	var p problems.List
	if !legalProject.MatchString(c.Project) {
		p.Add(path+".project", "is %q: want the id of a project, such as shop-prod", c.Project)
	}
	if !legalInstance.MatchString(c.Instance) {
		p.Add(path+".instance", "is %q: want the id of an instance of Bigtable, such as features", c.Instance)
	}
	if !legalTable.MatchString(c.Table) {
		p.Add(path+".table", "is %q: want up to 50 letters, digits, dots, dashes and underscores, such as nearline", c.Table)
	}
	if c.AppProfile != "" && !legalTable.MatchString(c.AppProfile) {
		p.Add(path+".app_profile", "is %q: want the id of one, or none for the default", c.AppProfile)
	}
	if c.Emulator != "" && !hostport.IsAddress(c.Emulator) {
		p.Add(path+".emulator", "is %q: want host:port, such as localhost:8086, or none for the real one", c.Emulator)
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
