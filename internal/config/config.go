// Package config reads the whole configuration: one YAML file made of the rooms' own Configs, each of which states its
// defaults and validates itself. This package owns the file: strict decoding, ${env:NAME}, paths relative to the file, all
// problems at once with their lines, and what only the whole can know, such as pipelines that feed each other in a loop.
package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"nearline/columns"
	"nearline/consumers"
	"nearline/features"
	"nearline/features/bigtable"
	"nearline/features/dynamodb"
	"nearline/features/firestore"
	"nearline/features/redis"
	regular "nearline/internal/files"
	"nearline/internal/veil"
	"nearline/models"
	"nearline/pipeline"
	"nearline/producers"
	"nearline/schemas"
	"nearline/serving"
)

// Config is the configuration of a service.
type Config struct {
	Kafka     consumers.KafkaConfig `yaml:"kafka"`
	Models    models.Config         `yaml:"models"`
	Features  Features              `yaml:"features"`
	Pipelines []Pipeline            `yaml:"pipelines"`
	Serving   Serving               `yaml:"serving"`
	// Veil hides what variables hold from whoever reads messages.
	Veil *veil.Veil `yaml:"-"`
}

// Serving is what there is over HTTP: the server, and the online API on it.
type Serving struct {
	serving.ServerConfig `yaml:",inline"`
	serving.Config       `yaml:",inline"`
}

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
	Steps  []Step          `yaml:"steps"`
	Output Output          `yaml:"output"`
	// DeadLetters is the topic for records that cannot be scored.
	DeadLetters string               `yaml:"dead_letters"`
	Cycle       pipeline.CycleConfig `yaml:"cycle"`
}

// Aggregates says whether events of the pipeline mean something for views of features. Its results may then go without a topic.
func (p *Pipeline) Aggregates() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Aggregate != nil })
}

// Ranks says whether the pipeline answers requests for rankings.
func (p *Pipeline) Ranks() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Rank != nil })
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

// Step is one thing done to rows: exactly one of its fields is set.
type Step struct {
	Predict   *Predict   `yaml:"predict"`
	Rank      *Rank      `yaml:"rank"`
	Lookup    *Lookup    `yaml:"lookup"`
	Aggregate *Aggregate `yaml:"aggregate"`
}

// Lookup adds features of a row's keys.
type Lookup struct {
	// Views to look up, all at the same time.
	Views []LookupView `yaml:"views"`
	// Wait for a store that does not answer, instead of going on with defaults.
	Wait bool `yaml:"wait"`
}

// LookupView is a view, and what of it the result has. In YAML it is the view's name, or a mapping.
type LookupView struct {
	View string `yaml:"view"`
	// As is the column's name in the result; the view's is the default.
	As string `yaml:"as"`
	// Key is the path of the key in these events; the view's is the default.
	Key string `yaml:"key"`
	// Fields of the view that the result has; all are the default.
	Fields []string `yaml:"fields"`
}

// UnmarshalYAML reads either form.
func (l *LookupView) UnmarshalYAML(unmarshal func(any) error) error {
	if unmarshal(&l.View) == nil {
		return nil
	}
	type plain LookupView
	return unmarshal((*plain)(l))
}

// Aggregate says what each event means for a view of features.
type Aggregate struct {
	// View is declared in features.views.
	View string `yaml:"view"`
	// Map gives paths of the view the ones that they have in these events, such as {item_id: product.sku}.
	Map map[string]string `yaml:"map"`
}

// Predict adds a model's answers.
type Predict struct {
	// Model names a folder of the repository.
	Model string `yaml:"model"`
	// As gives the model's columns other names in the result, such as {sentiment: mood}.
	As map[string]string `yaml:"as"`
	// Inputs says what each column is made of that the model reads, by its name; nil takes each from the path that is called as it is. It is for
	// models of tables.
	Inputs map[string]columns.Config `yaml:"inputs"`
}

// Rank orders an event's candidates by a model's scores.
type Rank struct {
	// Model names a folder of the repository: one that knows items, or any that reads columns and answers with one score.
	Model string `yaml:"model"`
	// Candidates is the path of the list of ids in events.
	Candidates string `yaml:"candidates"`
	// Otherwise is where the candidates of an event are that has no list. Without it there are none.
	Otherwise *StoredList `yaml:"otherwise"`
	// History is where the items are that somebody had before, youngest first, for a model that knows items.
	History *StoredList `yaml:"history"`
	// Items is a view that each candidate is looked up in by its id; empty looks nothing up.
	Items string `yaml:"items"`
	// Inputs says what each column is made of that the model reads: of the candidate (item_id, and the view's features), or as in predict.
	Inputs map[string]columns.Config `yaml:"inputs"`
	// As is the column's name in the result.
	As string `yaml:"as"`
	// Top is how many of the candidates the result has; 0 is all.
	Top int `yaml:"top"`
	// Wait for a store that does not answer, instead of going on with defaults.
	Wait bool `yaml:"wait"`
}

// StoredList is a list of ids in a view.
type StoredList struct {
	View  string `yaml:"view"`
	Field string `yaml:"field"`
	// Key is the path of the key in these events; the view's is the default.
	Key string `yaml:"key"`
}

// DefaultRank is a step that says nothing but what it lacks.
func DefaultRank() Rank { return Rank{Candidates: "candidates", As: "ranking"} }

// Model that the step needs, "" for none.
func (s Step) Model() string {
	switch {
	case s.Predict != nil:
		return s.Predict.Model
	case s.Rank != nil:
		return s.Rank.Model
	}
	return ""
}

// Column is the name that a column of the model has in the result.
func (p Predict) Column(name string) string {
	if as, ok := p.As[name]; ok {
		return as
	}
	return name
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
		Serving:  Serving{ServerConfig: serving.DefaultServer(), Config: serving.DefaultConfig()},
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

// Load reads a regular file. The error joins every problem, each a *Problem; see Problems.
func Load(path string) (*Config, error) {
	data, err := regular.ReadText(path, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse reads data as if it were in the file called name, which need not exist: problems name it, and relative paths
// begin in its folder. Variables come from the process's environment.
func Parse(name string, data []byte) (*Config, error) {
	d := newDecoder(name)
	c := Default()
	d.decode(data, c)
	c.Veil = d.texts.veil()
	c.fill()
	// Nothing can be said of values when there is no YAML to take them from.
	if len(d.problems) == 0 || len(d.lines) > 0 {
		d.locate(c.Validate())
	}
	if err := d.join(); err != nil {
		return nil, err
	}
	c.resolve(filepath.Dir(name))
	return c, nil
}

// fill sets what depends on other keys, and on what variables hold: one may hold several brokers, as everywhere on Kafka.
func (c *Config) fill() {
	var brokers []string
	for _, listed := range c.Kafka.Brokers {
		for broker := range strings.SplitSeq(listed, ",") {
			brokers = append(brokers, strings.TrimSpace(broker))
		}
	}
	c.Kafka.Brokers = brokers
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
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
}
