// Package config reads the whole configuration: one YAML file made of the rooms' own Configs, each of which states its
// defaults and validates itself. This package owns the file: strict decoding, ${env:NAME} and ${file:PATH}, paths relative to the file, all
// problems at once with their lines, and what only the whole can know, such as pipelines that feed each other in a loop.
package config

import (
	"fmt"
	"path/filepath"
	"slices"

	"nearline/consumers"
	"nearline/features"
	"nearline/features/bigtable"
	"nearline/features/dynamodb"
	"nearline/features/firestore"
	"nearline/features/redis"
	"nearline/internal/certs"
	regular "nearline/internal/files"
	"nearline/internal/secret"
	"nearline/internal/veil"
	"nearline/models"
	"nearline/pipeline"
	"nearline/producers"
	"nearline/schemas"
	"nearline/serving"
	"nearline/steps"
)

// Config is the configuration of a service.
type Config struct {
	Kafka     consumers.KafkaConfig `yaml:"kafka"`
	Models    models.Config         `yaml:"models"`
	Features  Features              `yaml:"features"`
	Pipelines []Pipeline            `yaml:"pipelines"`
	Serving   serving.Config        `yaml:"serving"`

	secrets   []secret.Text
	variables map[string]bool // the paths of keys whose texts have something from the environment, or from a file, in them
}

// FromVariable says that the text at a path, such as kafka.replica, was taken from the environment or from a file, or a part of it.
func (c *Config) FromVariable(path string) bool { return c.variables[path] }

// Secrets that the configuration has. Those in files are read at each use.
func (c *Config) Secrets() []secret.Text { return c.secrets }

// Features declares views, and where their values are kept.
type Features struct {
	features.Config `yaml:",inline"`
	// Store that the views' values are put into, and looked up in. None set is the memory of each replica.
	Store Store `yaml:"store"`
}

// Store is one of these, or the memory of each replica.
type Store struct {
	Redis     *redis.Config     `yaml:"redis"`
	DynamoDB  *dynamodb.Config  `yaml:"dynamodb"`
	Bigtable  *bigtable.Config  `yaml:"bigtable"`
	Firestore *firestore.Config `yaml:"firestore"`
}

// Pipeline reads one topic, and writes one result or dead letter for each of its records.
type Pipeline struct {
	// Name in logs and metrics, unique.
	Name string `yaml:"name"`
	// Group of the consumers; empty means nearline-NAME. A group belongs to one pipeline.
	Group    string            `yaml:"group"`
	Delivery pipeline.Delivery `yaml:"delivery"`
	// Start is where a group begins that has committed nothing yet.
	Start  consumers.Start `yaml:"start"`
	Input  Input           `yaml:"input"`
	Steps  []steps.Config  `yaml:"steps"`
	Output Output          `yaml:"output"`
	// DeadLetters is the topic for records that cannot be scored.
	DeadLetters string               `yaml:"dead_letters"`
	Cycle       pipeline.CycleConfig `yaml:"cycle"`
}

// Aggregates says whether events of the pipeline mean something for views of features. Its results may then go without a topic.
func (p *Pipeline) Aggregates() bool {
	return slices.ContainsFunc(p.Steps, func(s steps.Config) bool { return s.Aggregate != nil })
}

// Ranks says whether the pipeline answers requests for rankings.
func (p *Pipeline) Ranks() bool {
	return slices.ContainsFunc(p.Steps, func(s steps.Config) bool { return s.Rank != nil })
}

// Input is where events come from, and how they are read.
type Input struct {
	Topic               string `yaml:"topic"`
	schemas.InputConfig `yaml:",inline"`
}

// Output is where results go, and how they are written.
type Output struct {
	Topic                string `yaml:"topic"`
	schemas.OutputConfig `yaml:",inline"`
	// Headers and MaxRecordBytes are as in producers.Config.
	Headers        string `yaml:"headers"`
	MaxRecordBytes int    `yaml:"max_record_bytes"`
}

// Resultless says that the pipeline writes no results: its records have their effect in views.
func (p *Pipeline) Resultless() bool { return p.Output.Topic == "" && p.Aggregates() }

// Producer is what the pipeline's producer is made of.
func (p *Pipeline) Producer() producers.Config {
	return producers.Config{
		Topic:          p.Output.Topic,
		DeadLetters:    p.DeadLetters,
		Headers:        p.Output.Headers,
		MaxRecordBytes: p.Output.MaxRecordBytes,
	}
}

// Default is a configuration that says nothing, and lacks a pipeline.
func Default() *Config {
	return &Config{
		Kafka:    consumers.DefaultKafka(),
		Models:   models.DefaultConfig(),
		Features: Features{Config: features.DefaultConfig()},
		Serving:  serving.DefaultConfig(),
	}
}

// DefaultPipeline is a pipeline that says nothing, and lacks its name, topics and steps.
func DefaultPipeline() Pipeline {
	return Pipeline{
		Delivery: pipeline.ExactlyOnce,
		Output:   Output{Headers: producers.HeadersCopy},
		Cycle:    pipeline.DefaultCycle(),
	}
}

// maxBytes bounds a configuration's file. A guess, far above any.
const maxBytes = 2 << 20

// Load reads a regular file. The veil hides secrets, and what variables and files hold, from whoever reads messages. The error joins every problem, each a *Problem; see Problems.
func Load(path string) (*Config, *veil.Veil, error) {
	data, err := regular.ReadText(path, maxBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse reads data as if it were in the file called name, which need not exist: problems name it, and relative paths
// begin in its folder. Variables come from the process's environment.
func Parse(name string, data []byte) (*Config, *veil.Veil, error) {
	d := newDecoder(name)
	c := Default()
	d.decode(data, c)
	hides := d.texts.veil()
	c.secrets, c.variables = slices.Concat(d.texts.secrets, d.texts.names), d.texts.variables()
	c.fill(filepath.Dir(name))
	// Nothing can be said of values when there is no YAML to take them from.
	if len(d.problems) == 0 || len(d.lines) > 0 {
		d.locate(c.Validate())
	}
	if err := d.join(); err != nil {
		return nil, nil, err
	}
	c.resolve(filepath.Dir(name))
	return c, hides, nil
}

// fill sets what depends on other keys, on the file's folder, and on what variables hold.
func (c *Config) fill(folder string) {
	c.Kafka.Brokers = eachOf(c.Kafka.Brokers)
	for _, path := range c.certificates() { // which are read to be validated
		*path = beside(folder, *path)
	}
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		if p.Group == "" {
			p.Group = groupOf(p.Name)
		}
	}
}

// groupOf is the group of a pipeline that names none.
func groupOf(name string) string { return "nearline-" + name }

// resolve makes the paths of files, which are relative to folder, relative to the working directory.
func (c *Config) resolve(folder string) {
	paths := []*string{&c.Models.Repository, &c.Models.Runtime}
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		paths = append(paths, &p.Input.Schema, &p.Output.Schema)
	}
	for _, path := range paths {
		*path = beside(folder, *path)
	}
}

// Certificates that the configuration names, each section's for itself.
func (c *Config) Certificates() (all []*certs.Files) {
	all = append(all, c.Kafka.Connection().Certificates()...)
	if c.Features.Store.Redis != nil && c.Features.Store.Redis.TLS != nil {
		all = append(all, certs.New("features.store.redis.tls", *c.Features.Store.Redis.TLS))
	}
	if c.Serving.TLS != nil {
		all = append(all, c.Serving.TLS.Files("serving.tls"))
	}
	return all
}

// certificates are the paths of all files of TLS.
func (c *Config) certificates() (paths []*string) {
	if c.Features.Store.Redis != nil && c.Features.Store.Redis.TLS != nil {
		paths = append(paths, c.Features.Store.Redis.TLS.Paths()...)
	}
	if c.Serving.TLS != nil {
		paths = append(paths, c.Serving.TLS.Paths()...)
	}
	return append(paths, c.Kafka.Paths()...)
}

// beside is a path that is relative to a folder; "" stays.
func beside(folder, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}
