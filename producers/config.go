package producers

import (
	"nearline/internal/problems"
	"nearline/pipeline"
)

// ReplayedSuffix ends the name of the topic that remembers which dead letters of another were put back.
const ReplayedSuffix = ".replayed"

// What becomes of the input's headers.
const (
	HeadersCopy = "copy"
	HeadersNone = "none"
)

const (
	// minMaxRecordBytes leaves room for any dead letter's headers with a reference, which take at most some 5 kB: a
	// cause, the names of a topic and a model, the first bytes.
	minMaxRecordBytes = 8192
)

// Config says where outputs go, and what they carry.
type Config struct {
	// Topic of the results and tombstones.
	Topic string `yaml:"topic"`
	// DeadLetters is the topic of the dead letters.
	DeadLetters string `yaml:"dead_letters"`
	// Headers is copy or none. The trace context (traceparent, tracestate) goes through either way. Empty means copy.
	Headers string `yaml:"headers"`
	// MaxRecordBytes is the largest record that both topics take, uncompressed. The broker's own limit, where it is
	// asked (WithLimits), goes before it. 0 means Kafka's default of 1048588.
	MaxRecordBytes int `yaml:"max_record_bytes"`
}

func (c Config) withDefaults() Config {
	if c.Headers == "" {
		c.Headers = HeadersCopy
	}
	if c.MaxRecordBytes == 0 {
		c.MaxRecordBytes = pipeline.DefaultRecordBytes
	}
	return c
}

// Validate returns every problem at once. Path is where the config stands, such as "pipelines[0].output".
func (c Config) Validate(path string) error { return c.validate(path, true) }

func (c Config) validate(path string, results bool) error {
	c = c.withDefaults()
	var p problems.List
	if c.Topic == "" && results {
		p.Add(path+".topic", "is missing: name the topic of the results, such as reviews.scored")
	}
	if c.DeadLetters == "" {
		p.Add(path+".dead_letters", "is missing: name the topic of the dead letters, such as reviews.raw.dlq")
	}
	if c.Topic != "" && c.Topic == c.DeadLetters {
		p.Add(path+".dead_letters", "is %q: that is the topic of the results, name another", c.DeadLetters)
	}
	if c.Headers != HeadersCopy && c.Headers != HeadersNone {
		p.Add(path+".headers", "is %q: want copy or none", c.Headers)
	}
	if c.MaxRecordBytes < minMaxRecordBytes {
		p.Add(path+".max_record_bytes", "is %d: want at least %d, or 0 for Kafka's default of %d", c.MaxRecordBytes, minMaxRecordBytes, pipeline.DefaultRecordBytes)
	}
	if c.MaxRecordBytes > pipeline.MaxRecordBytes {
		p.Add(path+".max_record_bytes", "is %d: want at most %d, since brokers and clients take requests of 100 MiB", c.MaxRecordBytes, pipeline.MaxRecordBytes)
	}
	return p.Err()
}
