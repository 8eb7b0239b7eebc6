package columns

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"nearline/features"
	"nearline/internal/problems"
	"nearline/pipeline"
)

// Config says what a column of a model's table is made of: a value, and at most one way in which it becomes what the model was trained
// on. In YAML it is the value's path, or a mapping. The ways are those of the libraries that people train with, to the digit.
type Config struct {
	// Operand is the value: of a path of the event, of a looked-up view (VIEW.FIELD), or of an earlier prediction. Empty is the column's name.
	features.Operand `yaml:",inline"`
	// Default is what the model reads where there is no value: a number, or a text for a column of texts. Without one a number is missing (NaN),
	// which trees were trained to heed, a text is empty, and for a whole number the event becomes a dead letter.
	Default *string `yaml:"default"`

	// Scale moves and stretches a number.
	Scale *ScaleConfig `yaml:"scale"`
	// Buckets are boundaries, ascending: the number becomes how many of them it reaches, from 0, as numpy.digitize has it.
	Buckets []float64 `yaml:"buckets"`
	// Length is of a text in characters or words, or of a list in items.
	Length string `yaml:"length"`
	// Since turns a time into how long ago it was.
	Since *SinceConfig `yaml:"since"`
	// OneHot are texts: there is a column NAME_TEXT for each, 1 where the value is that text and 0 otherwise, as pandas.get_dummies has it.
	OneHot []string `yaml:"one_hot"`
	// Hash turns a text into a number from 0 to below this one: MurmurHash3 of 32 bits, seed 0, of its UTF-8, modulo it, as
	// sklearn.utils.murmurhash3_32(text, positive=True) % N.
	Hash int `yaml:"hash"`
	// Cross takes several values in place of one, as a text: each as one, joined by "_X_".
	Cross []Config `yaml:"cross"`
}

// What Config.Length may be.
const (
	LengthCharacters = "characters" // code points, as len() in Python
	LengthWords      = "words"      // what white space separates, as len(text.split())
	LengthItems      = "items"
)

// ScaleConfig is log, then mean and deviation, or min and max.
type ScaleConfig struct {
	// Log is the natural logarithm of 1 + the number, as numpy.log1p; one of -1 or below, which has none, counts as 0.
	Log bool `yaml:"log"`
	// Mean and Deviation: (number - mean) / deviation, as StandardScaler.
	Mean      *float64 `yaml:"mean"`
	Deviation *float64 `yaml:"deviation"`
	// Min and Max: (number - min) / (max - min), as MinMaxScaler.
	Min *float64 `yaml:"min"`
	Max *float64 `yaml:"max"`
}

// SinceConfig is the time between a moment and another.
type SinceConfig struct {
	// Unit that it is counted in; 0 is days.
	Unit time.Duration `yaml:"unit"`
	// Until is the path of the later time; empty is the record's timestamp, or the time of processing where that is implausible. What comes after it counts 0.
	Until string `yaml:"until"`
	// TimesConfig is how both times are read.
	features.TimesConfig `yaml:",inline"`
}

// UnmarshalYAML reads either form.
func (c *Config) UnmarshalYAML(unmarshal func(any) error) error {
	if unmarshal(&c.Of) == nil {
		return nil
	}
	type plain Config
	return unmarshal((*plain)(c))
}

// Validate names every problem, each with its key below path, its value and the remedy.
func (c Config) Validate(path string) error {
	var p problems.List
	c.validate(&p, path, false)
	return p.Err()
}

func (c *Config) validate(p *problems.List, path string, part bool) {
	var ways []string
	for _, way := range []struct {
		name string
		set  bool
	}{
		{"scale", c.Scale != nil}, {"buckets", c.Buckets != nil}, {"length", c.Length != ""}, {"since", c.Since != nil},
		{"one_hot", c.OneHot != nil}, {"hash", c.Hash != 0},
	} {
		if way.set {
			ways = append(ways, way.name)
		}
	}
	if len(ways) > 1 {
		p.Add(path, "has %s: want one of them", strings.Join(ways, " and "))
	}
	if slices.Contains(strings.Split(c.Of, "."), "") && c.Of != "" {
		p.Add(path+".of", "is %q: want the path of a value, such as meta.rating", c.Of)
	}
	if c.Label != "" && c.Values != nil {
		p.Add(path, "has label and values: want one of them")
	}
	numeric := len(ways) > 0 && slices.Contains([]string{"scale", "buckets"}, ways[0])
	textual := len(ways) > 0 && !numeric
	if (c.Label != "" || c.Values != nil) && textual {
		p.Add(path, "has %s: label and values make a number, which has none; want scale or buckets, or leave it out", ways[0])
	}
	c.validateWays(p, path)
	switch {
	case c.Cross == nil:
	case part:
		p.Add(path+".cross", ": it is a part of one already, want all parts in one list")
	case len(c.Cross) < 2:
		p.Add(path+".cross", "has %d parts: want at least two", len(c.Cross))
	case c.Of != "" || c.Label != "" || c.Values != nil || numeric || c.Length != "" || c.Since != nil:
		p.Add(path, "has cross: want nothing beside it but hash or one_hot, and default")
	}
	for i := range c.Cross {
		at := fmt.Sprintf("%s.cross[%d]", path, i)
		if c.Cross[i].Of == "" {
			p.Add(at+".of", "is missing: want the path of a value")
		}
		if c.Cross[i].OneHot != nil || c.Cross[i].Hash != 0 || c.Cross[i].Default != nil {
			p.Add(at, ": a part has no one_hot, hash or default; they are for the whole")
		}
		c.Cross[i].validate(p, at, true)
	}
	c.validateDefault(p, path)
}

func (c *Config) validateWays(p *problems.List, path string) {
	if s := c.Scale; s != nil {
		standard, span := s.Mean != nil || s.Deviation != nil, s.Min != nil || s.Max != nil
		switch {
		case standard && span:
			p.Add(path+".scale", "has mean or deviation, and min or max: want one of the two pairs")
		case standard && (s.Mean == nil || s.Deviation == nil || !(*s.Deviation > 0) || !pipeline.Finite(*s.Mean)):
			p.Add(path+".scale", ": want mean, and deviation above 0")
		case span && (s.Min == nil || s.Max == nil || !(*s.Max > *s.Min)):
			p.Add(path+".scale", ": want min, and max above it")
		case !standard && !span && !s.Log:
			p.Add(path+".scale", "is empty: want log, or mean and deviation, or min and max")
		}
	}
	if c.Buckets != nil && len(c.Buckets) == 0 {
		p.Add(path+".buckets", "is empty: want boundaries, such as [1, 10, 100]")
	}
	for i, b := range c.Buckets {
		if math.IsNaN(b) || i > 0 && !(b > c.Buckets[i-1]) {
			p.Add(fmt.Sprintf("%s.buckets[%d]", path, i), "is %v: want boundaries, each above the last", b)
		}
	}
	if c.Length != "" && !slices.Contains([]string{LengthCharacters, LengthWords, LengthItems}, c.Length) {
		p.Add(path+".length", "is %q: want %s, %s or %s", c.Length, LengthCharacters, LengthWords, LengthItems)
	}
	if s := c.Since; s != nil {
		if s.Unit < 0 || s.Unit > pipeline.Longest {
			p.Add(path+".since.unit", "is %v: want more than 0, such as 24h, and at most %v", s.Unit, pipeline.Longest)
		}
		if s.Until != "" && slices.Contains(strings.Split(s.Until, "."), "") {
			p.Add(path+".since.until", "is %q: want the path of a time", s.Until)
		}
		p.Join(s.Validate(path + ".since"))
	}
	if c.OneHot != nil && len(c.OneHot) == 0 {
		p.Add(path+".one_hot", "is empty: want the texts that have a column each")
	}
	for i, text := range c.OneHot {
		if slices.Contains(c.OneHot[:i], text) {
			p.Add(fmt.Sprintf("%s.one_hot[%d]", path, i), "is %q: it is there already", text)
		}
	}
	if c.Hash < 0 || c.Hash > math.MaxUint32 {
		p.Add(path+".hash", "is %d: want how many numbers there are, such as 1024", c.Hash)
	}
}

func (c *Config) validateDefault(p *problems.List, path string) {
	if c.Default != nil && c.OneHot != nil {
		p.Add(path+".default", "is %v: one_hot has 0 in every column where there is no value, remove it", *c.Default)
	}
}
