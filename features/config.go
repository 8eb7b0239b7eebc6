package features

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"nearline/internal/problems"
	"nearline/pipeline"
)

// Config declares the views, and where their values are kept.
type Config struct {
	// Topics is what the names of the views' topics begin with: TOPICS.VIEW.updates and TOPICS.VIEW.state.
	Topics string `yaml:"topics"`
	// Partitions of those topics where they are made: a view is kept by as many members at the most. Both topics of a view have the same
	// number, which cannot be changed later.
	Partitions int `yaml:"partitions"`
	// Members of a view's group that run in this process.
	Members int `yaml:"members"`
	// Retention is how long updates are kept after they arrived, for exports; those that the view has not read yet are kept in any case.
	Retention time.Duration `yaml:"retention"`
	// DeadLetters is the topic for updates that cannot be read, somebody else's records; and for those of new keys that a full view refuses.
	DeadLetters string `yaml:"dead_letters"`
	// Lookup bounds what lookups take.
	Lookup LookupConfig `yaml:"lookup"`
	Views  []ViewConfig `yaml:"views"`
}

// ViewConfig declares one view: features of one kind of key.
type ViewConfig struct {
	// Name in topics, metrics and steps, unique.
	Name string `yaml:"name"`
	// Key is the path of the key in events, such as item_id.
	Key string `yaml:"key"`
	// Time is the path of the event's own time; empty, or absent from an event, means the record's timestamp, or the time of processing where that is
	// implausible (pipeline.Plausible).
	Time string `yaml:"time"`
	// TimesConfig is how that time is read, and the one of rows to export.
	TimesConfig `yaml:",inline"`
	// Source says who fills the view: topic, its updates, which is the default; or store, where others write it into the store themselves. A view of a
	// store has fields with a type each in place of an aggregate.
	Source string `yaml:"source"`
	// MaxAge is how old a key's latest event may be for its values to be used; 0 is any age.
	MaxAge time.Duration `yaml:"max_age"`
	// TTL is how long a key is kept after its latest event, in the time of the partition's events; 0 is for good. An event after that begins the key anew.
	TTL time.Duration `yaml:"ttl"`
	// MaxKeys is how many keys the view has at the most; 0 is a million. Each partition takes its share. An update of a new key beyond that becomes a
	// dead letter of class full; known keys go on, and those that expire make room.
	MaxKeys int           `yaml:"max_keys"`
	Fields  []FieldConfig `yaml:"fields"`
}

// What ViewConfig.Source may be.
const (
	SourceTopic = "topic"
	SourceStore = "store"
)

// What FieldConfig.Type may be.
const (
	TypeNumber = "number"
	TypeText   = "text"
	TypeTexts  = "texts"
)

// FieldConfig declares one feature of a view: exactly one of the aggregates is set, or a type where others fill the view.
type FieldConfig struct {
	Name string `yaml:"name"`
	// Type of a value that others write: number; text; or texts, a list of them as JSON.
	Type string `yaml:"type"`
	// Default is the number that a key without one has; NaN, which is written as missing, stands for no value at all, which trees heed. Only means and numbers of others have one, and need it: other numbers begin at 0, and
	// lists and texts empty.
	Default *FieldDefault `yaml:"default"`
	// Where takes only events with one of the texts at each path, such as {kind: [cart, purchase]}.
	Where map[string][]string `yaml:"where"`

	Count    *CountConfig    `yaml:"count"`
	Sum      *SumConfig      `yaml:"sum"`
	Mean     *MeanConfig     `yaml:"mean"`
	Last     *LastConfig     `yaml:"last"`
	Top      *TopConfig      `yaml:"top"`
	Distinct *DistinctConfig `yaml:"distinct"`
}

// CountConfig counts events.
type CountConfig struct {
	// Of is the path of a value that an event must have to be counted; empty counts all.
	Of string `yaml:"of"`
	// HalfLife is how old an event is when it counts half; 0 counts all alike, whatever their age.
	HalfLife time.Duration `yaml:"half_life"`
}

// Operand is the number that an event puts into an aggregate.
type Operand struct {
	// Of is the path of a value of the event, or of a column of an earlier prediction, such as rating or sentiment.
	Of string `yaml:"of"`
	// Label turns a prediction of one of two labels into a number: the probability of this label.
	Label string `yaml:"label"`
	// Values turns texts into numbers. An event with another text does not count.
	Values map[string]float64 `yaml:"values"`
}

// SumConfig adds numbers up.
type SumConfig struct {
	Operand  `yaml:",inline"`
	HalfLife time.Duration `yaml:"half_life"`
}

// MeanConfig is the mean of numbers.
type MeanConfig struct {
	Operand `yaml:",inline"`
	// HalfLife is how much older than another a number is when it weighs half as much; 0 weighs all alike.
	HalfLife time.Duration `yaml:"half_life"`
}

// LastConfig keeps the last texts, the youngest first, of one time the one that came last. A text that comes again is there again.
type LastConfig struct {
	Of string `yaml:"of"`
	N  int    `yaml:"n"`
}

// TopConfig keeps the texts with the largest numbers, the largest first; of one number the younger, then the one that is first by its text. A
// text is there once: when it comes again, its last number counts.
type TopConfig struct {
	Of string  `yaml:"of"`
	By Operand `yaml:"by"`
	N  int     `yaml:"n"`
}

// DistinctConfig estimates how many different texts there were, by HyperLogLog.
type DistinctConfig struct {
	Of string `yaml:"of"`
}

// DefaultConfig is what a configuration gets that says nothing. Twelve partitions are shared out evenly among 1, 2, 3, 4, 6 and 12
// replicas.
func DefaultConfig() Config {
	return Config{Topics: "nearline.features", Partitions: 12, Members: 1, Retention: 7 * 24 * time.Hour, DeadLetters: "nearline.features.dlq", Lookup: DefaultLookup()}
}

// UpdatesTopic has what events mean for a view, by the view's key.
func (c Config) UpdatesTopic(view string) string { return c.Topics + "." + view + ".updates" }

// StateTopic has the state of a view's keys; it is compacted.
func (c Config) StateTopic(view string) string { return c.Topics + "." + view + ".state" }

// Group that keeps a view, named as its topics are, so that another service on the cluster may have a view of the same name.
func (c Config) Group(view string) string { return strings.ReplaceAll(c.Topics, ".", "-") + "-" + view }

// View of that name, nil if none is declared.
func (c Config) View(name string) *ViewConfig {
	for i := range c.Views {
		if c.Views[i].Name == name {
			return &c.Views[i]
		}
	}
	return nil
}

// Paths of events that the view reads, sorted.
func (v ViewConfig) Paths() []string {
	paths := []string{v.Key, v.Time}
	for _, f := range v.Fields {
		paths = slices.AppendSeq(paths, maps.Keys(f.Where))
		switch {
		case f.Count != nil:
			paths = append(paths, f.Count.Of)
		case f.Sum != nil:
			paths = append(paths, f.Sum.Of)
		case f.Mean != nil:
			paths = append(paths, f.Mean.Of)
		case f.Last != nil:
			paths = append(paths, f.Last.Of)
		case f.Top != nil:
			paths = append(paths, f.Top.Of, f.Top.By.Of)
		case f.Distinct != nil:
			paths = append(paths, f.Distinct.Of)
		}
	}
	slices.Sort(paths)
	return slices.DeleteFunc(slices.Compact(paths), func(path string) bool { return path == "" })
}

// Bounds that keep the state of one key well below a megabyte, which is what brokers take where nobody changed it.
const (
	maxListed = 500  // entries of all lists of one view
	maxText   = 1024 // bytes of a key, and of a text in an aggregate
)

// maxMaxKeys of a view.
const maxMaxKeys = 1_000_000_000

var legalName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}$`)

// Validate names every problem, each with its key below path, its value and the remedy.
func (c Config) Validate(path string) error {
	if len(c.Views) == 0 {
		return nil
	}
	p := &checks{}
	for _, topic := range []struct{ key, name string }{{"topics", c.Topics}, {"dead_letters", c.DeadLetters}} {
		if !pipeline.LegalTopic(topic.name) {
			p.Add(path+"."+topic.key, "is %q: want letters, digits, dots, dashes and underscores, such as nearline.features", topic.name)
		}
	}
	if c.Partitions < 1 || c.Partitions > 1000 {
		p.Add(path+".partitions", "is %d: want between 1 and 1000", c.Partitions)
	}
	if c.Members < 1 || c.Members > 100 {
		p.Add(path+".members", "is %d: want between 1 and 100", c.Members)
	}
	p.Join(c.Lookup.Validate(path + ".lookup"))
	if c.Retention < time.Minute || c.Retention > pipeline.Longest {
		p.Add(path+".retention", "is %v: want at least 1m, and at most %v", c.Retention, pipeline.Longest)
	}
	for i, v := range c.Views {
		at := fmt.Sprintf("%s.views[%d]", path, i)
		same := slices.IndexFunc(c.Views[:i], func(o ViewConfig) bool { return o.Name == v.Name })
		switch {
		case !legalName.MatchString(v.Name):
			p.Add(at+".name", "is %q: want letters, digits, dashes and underscores, such as item_reviews", v.Name)
		case same >= 0:
			p.Add(at+".name", "is %q: %s.views[%d] has that name, choose another", v.Name, path, same)
		case !pipeline.LegalTopic(c.UpdatesTopic(v.Name)):
			p.Add(at+".name", "is %q: the topic %s would be longer than %d characters, choose a shorter one", v.Name, c.UpdatesTopic(v.Name), pipeline.MaxTopicName)
		}
		v.validate(p, at)
		if v.MaxKeys != 0 && v.MaxKeys < c.Partitions && v.Source != SourceStore {
			p.Add(at+".max_keys", "is %d: want 0 for %d, or at least as many as partitions, %d, since each takes its share", v.MaxKeys, defaultMaxKeys, c.Partitions)
		}
	}
	return p.Err()
}

func (v ViewConfig) validate(p *checks, path string) {
	p.path(path+".key", v.Key, "item_id")
	if v.Time != "" {
		p.path(path+".time", v.Time, "created_at")
	}
	v.TimesConfig.validate(p, path)
	if v.MaxAge < 0 || v.MaxAge > pipeline.Longest {
		p.Add(path+".max_age", "is %v: want 0 for any age, or how old a key's latest event may be, at most %v", v.MaxAge, pipeline.Longest)
	}
	if v.MaxKeys < 0 || v.MaxKeys > maxMaxKeys {
		p.Add(path+".max_keys", "is %d: want at most %d, or 0 for %d", v.MaxKeys, maxMaxKeys, defaultMaxKeys)
	}
	switch {
	case v.TTL < 0 || v.TTL > 0 && v.TTL < time.Second || v.TTL > pipeline.Longest:
		p.Add(path+".ttl", "is %v: want 0 to keep keys for good, or at least 1s and at most %v", v.TTL, pipeline.Longest)
	case v.TTL > 0 && v.Source == SourceStore:
		p.Add(path+".ttl", "is %v: others fill the view, and what they put goes when they have it go; remove it", v.TTL)
	case v.TTL > 0 && v.MaxAge > v.TTL:
		p.Add(path+".max_age", "is %v, and keys are gone after ttl, %v: want it no longer", v.MaxAge, v.TTL)
	}
	if v.MaxKeys != 0 && v.Source == SourceStore {
		p.Add(path+".max_keys", "is %d: others fill the view, and the store holds what they put; remove it", v.MaxKeys)
	}
	if len(v.Fields) == 0 {
		p.Add(path+".fields", "is empty: want at least one, such as {name: reviews, count: {}}")
	}
	if v.Source != "" && v.Source != SourceTopic && v.Source != SourceStore {
		p.Add(path+".source", "is %q: want %s, or %s for a view that others fill", v.Source, SourceTopic, SourceStore)
	}
	listed := 0
	for i, f := range v.Fields {
		at := fmt.Sprintf("%s.fields[%d]", path, i)
		if f.Default != nil && math.IsInf(float64(*f.Default), 0) {
			p.Add(at+".default", "is %v: want a number, or missing", *f.Default)
		}
		same := slices.IndexFunc(v.Fields[:i], func(o FieldConfig) bool { return o.Name == f.Name })
		switch {
		case !legalName.MatchString(f.Name):
			p.Add(at+".name", "is %q: want letters, digits, dashes and underscores, such as sentiment", f.Name)
		case same >= 0:
			p.Add(at+".name", "is %q: fields[%d] has that name, choose another", f.Name, same)
		}
		if v.Source == SourceStore {
			f.validateType(p, at)
			continue
		}
		if f.Type != "" {
			p.Add(at+".type", "is %q: an aggregate has its own type, remove it; or is source: %s missing?", f.Type, SourceStore)
		}
		listed += f.validate(p, at)
	}
	if listed > maxListed {
		p.Add(path+".fields", "list %d entries together: want at most %d, so that a key's state stays below a megabyte", listed, maxListed)
	}
}

// validateType of a field that others fill.
func (f FieldConfig) validateType(p *checks, path string) {
	if set := f.aggregates(); len(set) > 0 || f.Where != nil {
		p.Add(path, "aggregates, and others fill the view: want a type in place of %s", cmp.Or(strings.Join(set, " and "), "where"))
	}
	switch f.Type {
	case TypeNumber:
		if f.Default == nil {
			p.Add(path+".default", "is missing: want the number that a key without one has, such as 0, or missing for none")
		}
	case TypeText, TypeTexts:
		if f.Default != nil {
			p.Add(path+".default", "is %v: a text begins empty, remove it", *f.Default)
		}
	default:
		p.Add(path+".type", "is %q: want %s, %s or %s, since others fill the view", f.Type, TypeNumber, TypeText, TypeTexts)
	}
}

// aggregates that are set.
func (f FieldConfig) aggregates() (set []string) {
	note := func(name string, is bool) {
		if is {
			set = append(set, name)
		}
	}
	note("count", f.Count != nil)
	note("sum", f.Sum != nil)
	note("mean", f.Mean != nil)
	note("last", f.Last != nil)
	note("top", f.Top != nil)
	note("distinct", f.Distinct != nil)
	return set
}

// validate says how many entries the field lists.
func (f FieldConfig) validate(p *checks, path string) (listed int) {
	set := f.aggregates()
	if len(set) != 1 {
		p.Add(path, "has %s: want exactly one of count, sum, mean, last, top and distinct", cmp.Or(strings.Join(set, " and "), "no aggregate"))
	}
	for at, texts := range f.Where {
		p.path(path+".where", at, "kind")
		if len(texts) == 0 {
			p.Add(path+".where."+at, "is empty: want the texts that count, such as [purchase]")
		}
	}
	switch {
	case f.Default != nil && f.Mean == nil && len(set) == 1:
		p.Add(path+".default", "is %v: only a mean has one, and %s begins without; remove it", *f.Default, set[0])
	case f.Default == nil && f.Mean != nil:
		p.Add(path+".default", "is missing: want the mean that a key without events has, such as 0.5, or missing for none")
	}
	switch {
	case f.Count != nil:
		if f.Count.Of != "" {
			p.path(path+".count.of", f.Count.Of, "review_id")
		}
		p.halfLife(path+".count", f.Count.HalfLife)
	case f.Sum != nil:
		f.Sum.validate(p, path+".sum")
		p.halfLife(path+".sum", f.Sum.HalfLife)
	case f.Mean != nil:
		f.Mean.validate(p, path+".mean")
		p.halfLife(path+".mean", f.Mean.HalfLife)
	case f.Last != nil:
		p.path(path+".last.of", f.Last.Of, "item_id")
		p.n(path+".last.n", f.Last.N)
		listed = f.Last.N
	case f.Top != nil:
		p.path(path+".top.of", f.Top.Of, "review_id")
		f.Top.By.validate(p, path+".top.by")
		p.n(path+".top.n", f.Top.N)
		listed = f.Top.N
	case f.Distinct != nil:
		p.path(path+".distinct.of", f.Distinct.Of, "user_id")
	}
	return max(listed, 0)
}

func (o Operand) validate(p *checks, path string) {
	p.path(path+".of", o.Of, "rating")
	if o.Label != "" && o.Values != nil {
		p.Add(path, "has label and values: want one, label for a prediction and values for a text")
	}
	for text, number := range o.Values {
		if !pipeline.Finite(number) {
			p.Add(path+".values."+text, "is %v: want a number", number)
		}
	}
	if o.Values != nil && len(o.Values) == 0 {
		p.Add(path+".values", "is empty: want numbers by text, such as {view: 1, purchase: 10}")
	}
}

// checks collect what is wrong.
type checks struct{ problems.List }

func (p *checks) path(key, path, example string) {
	switch {
	case path == "":
		p.Add(key, "is missing: want the path of a field, such as %s", example)
	case slices.Contains(strings.Split(path, "."), ""):
		p.Add(key, "is %q: want names joined by single dots, such as meta.%s", path, example)
	}
}

func (p *checks) halfLife(path string, d time.Duration) {
	if d < 0 || d > 0 && d < time.Second || d > pipeline.Longest {
		p.Add(path+".half_life", "is %v: want at least 1s and at most %v, or 0 to count all alike", d, pipeline.Longest)
	}
}

func (p *checks) n(key string, n int) {
	if n < 1 || n > maxListed {
		p.Add(key, "is %d: want between 1 and %d", n, maxListed)
	}
}
