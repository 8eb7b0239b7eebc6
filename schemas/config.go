package schemas

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nearline/internal/problems"
)

// The formats of values.
const (
	FormatJSON = "json"
	FormatAvro = "avro"
)

const (
	// DefaultMaxValueBytes is what Kafka's brokers take by default: a larger value is only met compressed.
	DefaultMaxValueBytes = 1 << 20
	// defaultMaxDepth is a guess: real events nest a handful of levels, and 100 costs nothing.
	defaultMaxDepth = 100
	maxMaxDepth     = 1000
	// maxMaxValueBytes is more than a batch of Kafka's may hold.
	maxMaxValueBytes = 1 << 30
)

// InputConfig says how events are read.
type InputConfig struct {
	// Format is json or avro.
	Format string `yaml:"format"`
	// Map says which field is what. Nil means the built-in review schema: review_id, title, text.
	Map *Mapping `yaml:"map"`
	// Schema is the file of the Avro schema that the values were written with.
	Schema string `yaml:"schema"`
	// MaxValueBytes bounds a value after decompression; a larger one becomes a dead letter without being read.
	MaxValueBytes int `yaml:"max_value_bytes"`
	// MaxDepth bounds how deep objects and arrays may nest.
	MaxDepth int `yaml:"max_depth"`
}

// Wanted is what the steps of a pipeline want of its events, beside what the config maps and copies. The zero value wants the text.
type Wanted struct {
	// Paths whose values they read, in Row.Read.
	Paths []string
	// Textless says that none of them reads the text, so that events need not have one.
	Textless bool
}

// Mapping names fields by dotted paths: `body.content`, and `items.0.text` for the first of an array. A name that
// itself holds a dot cannot be reached. An empty path means that the events have no such field.
type Mapping struct {
	ID    string `yaml:"id"`
	Text  string `yaml:"text"`
	Title string `yaml:"title"`
}

// OutputConfig says how results are written.
type OutputConfig struct {
	// Format is json or avro.
	Format string `yaml:"format"`
	// Schema is the file of the Avro schema to write with. Empty means DefaultResultSchema.
	Schema string `yaml:"schema"`
	// ID is the name of the event's id in the result. Empty means the last segment of the input's path to it.
	ID string `yaml:"id"`
	// Copy names the fields of the event that go to the result unchanged. Nil means item_id and user_id with the
	// built-in review schema, and nothing with a mapping of one's own; an empty list means nothing.
	Copy []CopyField `yaml:"copy"`
}

// CopyField is one field to copy. In YAML it is a path (`item_id`, or `meta.item` for a field called item in the
// result), or a name and a path (`item_id: meta.item`).
type CopyField struct {
	As   string
	Path string
}

// NewCopyField copies the field at the path under its own name.
func NewCopyField(path string) CopyField { return CopyField{As: lastSegment(path), Path: path} }

// UnmarshalYAML reads either form.
func (c *CopyField) UnmarshalYAML(unmarshal func(any) error) error {
	var path string
	if err := unmarshal(&path); err == nil {
		*c = NewCopyField(path)
		return nil
	}
	var pair map[string]string
	if err := unmarshal(&pair); err != nil || len(pair) != 1 {
		return errors.New("a field to copy is a path (item_id) or one name with its path (item_id: meta.item)")
	}
	for as, path := range pair {
		*c = CopyField{As: as, Path: path}
	}
	return nil
}

// builtin is the review schema: what applies when no map is given.
var builtin = struct {
	mapping Mapping
	copies  []CopyField
}{
	Mapping{ID: "review_id", Text: "text", Title: "title"},
	[]CopyField{{As: "item_id", Path: "item_id"}, {As: "user_id", Path: "user_id"}},
}

func (c InputConfig) withDefaults() InputConfig {
	if c.Format == "" {
		c.Format = FormatJSON
	}
	if c.MaxValueBytes == 0 {
		c.MaxValueBytes = DefaultMaxValueBytes
	}
	if c.MaxDepth == 0 {
		c.MaxDepth = defaultMaxDepth
	}
	return c
}

func (c InputConfig) mapping() Mapping {
	if c.Map == nil {
		return builtin.mapping
	}
	return *c.Map
}

// Validate returns every problem at once. Path is where the config stands, such as "pipelines[0].input". Whether events need a text is
// known once the steps are: NewDecoder says so.
func (c InputConfig) Validate(path string) error { return c.validate(path, Wanted{Textless: true}) }

func (c InputConfig) validate(path string, wanted Wanted) error {
	c = c.withDefaults()
	p := checks{path: path}
	p.format(c.Format)
	m := c.mapping()
	if c.Map != nil && m.Text == "" && !wanted.Textless {
		p.add("map.text", `is missing: name the field with the text, such as "text"`)
	}
	p.fieldPath("map.id", m.ID)
	p.fieldPath("map.text", m.Text)
	p.fieldPath("map.title", m.Title)
	if c.Format == FormatAvro && c.Schema == "" {
		p.add("schema", "is missing: format avro wants the schema's file, such as review.avsc")
	}
	if c.Format == FormatJSON && c.Schema != "" {
		p.add("schema", "is %q: format json has none, remove it or set format: avro", c.Schema)
	}
	if c.MaxValueBytes < 0 {
		p.add("max_value_bytes", "is %d: want at least 1, or 0 for the default of %d", c.MaxValueBytes, DefaultMaxValueBytes)
	}
	if c.MaxValueBytes > maxMaxValueBytes {
		p.add("max_value_bytes", "is %d: want at most %d, or 0 for the default of %d", c.MaxValueBytes, maxMaxValueBytes, DefaultMaxValueBytes)
	}
	if c.MaxDepth < 0 || c.MaxDepth > maxMaxDepth {
		p.add("max_depth", "is %d: want 1 to %d, or 0 for the default of %d", c.MaxDepth, maxMaxDepth, defaultMaxDepth)
	}
	return p.Err()
}

func (c OutputConfig) withDefaults() OutputConfig {
	if c.Format == "" {
		c.Format = FormatJSON
	}
	return c
}

// idName is the name of the id in results, "" when events have none.
func (c OutputConfig) idName(in InputConfig) string {
	path := in.mapping().ID
	switch {
	case path == "":
		return ""
	case c.ID != "":
		return c.ID
	}
	name := lastSegment(path)
	if _, err := strconv.Atoi(name); err == nil {
		return "id" // an element of an array has no name of its own
	}
	return name
}

func (c OutputConfig) copies(in InputConfig) []CopyField {
	if c.Copy == nil && in.Map == nil {
		return builtin.copies
	}
	return c.Copy
}

// Validate returns every problem at once, those between input and output too. Path is where the config stands, such
// as "pipelines[0].output".
func (c OutputConfig) Validate(path string, in InputConfig) error {
	c = c.withDefaults()
	p := checks{path: path}
	p.format(c.Format)
	if c.Format == FormatJSON && c.Schema != "" {
		p.add("schema", "is %q: format json has none, remove it or set format: avro", c.Schema)
	}
	if c.ID != "" && in.mapping().ID == "" {
		p.add("id", "is %q: the input maps no id, so add one to input.map or remove it", c.ID)
	}
	taken := map[string]string{}
	if id := c.idName(in); id != "" {
		if reserved(id) {
			p.add("id", "is %q: every result has a field of that name, choose another", id)
		}
		taken[id] = "id"
	}
	for i, field := range c.copies(in) {
		key := fmt.Sprintf("copy[%d]", i)
		if field.Path == "" || field.As == "" {
			p.add(key, "is empty: want a field's path, such as item_id")
			continue
		}
		p.fieldPath(key, field.Path)
		switch other, clash := taken[field.As]; {
		case reserved(field.As):
			p.add(key, "is %q: every result has a field of that name, copy it under another (%s_copied: %s)", field.As, field.As, field.Path)
		case clash:
			p.add(key, "is %q: %s already has that name, copy it under another (%s_copied: %s)", field.As, other, field.As, field.Path)
		}
		taken[field.As] = key
	}
	return p.Err()
}

// The names that every result has of its own.
const (
	fieldModel    = "model"
	fieldVersion  = "model_version"
	fieldModels   = "models"
	fieldScoredAt = "scored_at"
	fieldSource   = "source"
)

func reserved(name string) bool {
	switch name {
	case fieldModel, fieldVersion, fieldModels, fieldScoredAt, fieldSource:
		return true
	}
	return false
}

// checks collect what is wrong with a config that stands at path.
type checks struct {
	problems.List
	path string
}

func (p *checks) add(key, format string, args ...any) { p.Add(p.path+"."+key, format, args...) }

func (p *checks) format(format string) {
	if format != FormatJSON && format != FormatAvro {
		p.add("format", "is %q: want json or avro", format)
	}
}

func (p *checks) fieldPath(key, path string) {
	if path == "" {
		return
	}
	for segment := range strings.SplitSeq(path, ".") {
		if segment == "" {
			p.add(key, "is %q: want names joined by single dots, such as body.content", path)
			return
		}
	}
}

func lastSegment(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
