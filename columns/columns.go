package columns

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"nearline/features"
	"nearline/pipeline"
)

// Maker makes of a row what a model reads: the values that events, lookups and earlier predictions have, each in the way that is declared for its
// column. Safe for concurrent use.
type Maker struct {
	model   string
	values  []columnValue
	tallies []tally // of the values
	targets []target
	// Of the targets so many are numbers, and so many texts.
	numbers, texts int
}

// target is a column of the model.
type target struct {
	pipeline.Column
	value    int    // index in Maker.values
	place    int    // among the numbers of a row, or its texts
	hot      string // with one_hot: the text of the column
	isHot    bool
	fallback given // missing without a default
}

// New makes what fills the columns that a model wants. Declared says what each is made of; nil takes each from the path that is called as it is. Columns
// are those of steps before it, with examples of what they hold; reads is what earlier steps want the decoder to read: it is returned
// with its own added.
//
// The error joins everything that does not fit: a column that nothing is declared for, a declaration of none, a path that an earlier
// step does not have.
func New(model string, wanted []pipeline.Column, declared map[string]Config, columns []pipeline.Field, reads []string) (*Maker, []string, error) {
	names := pipeline.FieldNames(columns)
	c, err := newMaker(model, wanted, declared, func(path string) (found source, err error) {
		found.path = path
		found.Path, reads = pipeline.FindPath(path, names, reads)
		return found, checkInside(path, columns)
	})
	return c, reads, err
}

// newMaker is New with what says where paths are.
func newMaker(model string, wanted []pipeline.Column, declared map[string]Config, find func(path string) (source, error)) (*Maker, error) {
	c := &Maker{model: model}
	var errs []error
	locate := func(path string) source {
		found, err := find(path)
		if err != nil {
			errs = append(errs, err)
		}
		return found
	}
	if declared == nil {
		declared = map[string]Config{}
		for _, column := range wanted {
			declared[column.Name] = Config{}
		}
	}
	at := map[string]target{} // by the column's name
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		config := declared[name]
		t := target{value: len(c.values)}
		c.values = append(c.values, newColumnValue(name, config, locate))
		if config.OneHot == nil {
			at[name] = t
			continue
		}
		t.isHot = true
		for _, t.hot = range config.OneHot {
			at[name+"_"+t.hot] = t
		}
	}
	c.tallies = make([]tally, len(c.values))
	var unknown []string
	for _, column := range wanted {
		t, ok := at[column.Name]
		if !ok {
			unknown = append(unknown, column.Name)
			continue
		}
		delete(at, column.Name)
		t.Column = column
		var err error
		if t.fallback, err = byDefault(column, c.values[t.value].config.Default); err == nil {
			err = fits(column, &c.values[t.value].config)
		}
		if err != nil {
			errs = append(errs, err)
		}
		if t.place = c.numbers; column.Text {
			t.place = c.texts
			c.texts++
		} else {
			c.numbers++
		}
		c.targets = append(c.targets, t)
	}
	if len(unknown) > 0 {
		errs = append(errs, fmt.Errorf("inputs has nothing for %s, which model %s reads: say what they are made of", strings.Join(unknown, ", "), model))
	}
	for _, name := range slices.Sorted(maps.Keys(at)) {
		errs = append(errs, fmt.Errorf("inputs has %s: model %s reads no such column, want %s", name, model, columnNames(wanted)))
	}
	return c, errors.Join(errs...)
}

func columnNames(columns []pipeline.Column) string {
	const most = 40
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// checkInside says whether an earlier step that has the beginning of a path has the rest of it, as far as that can be known.
func checkInside(path string, columns []pipeline.Field) error {
	name, rest, _ := strings.Cut(path, ".")
	for _, column := range columns {
		if column.Name != name || column.Value.Kind != pipeline.Object || rest == "" {
			continue
		}
		field, _, _ := strings.Cut(rest, ".")
		if _, ok := column.Value.Lookup(field); ok {
			return nil
		}
		var have []string
		for _, f := range column.Value.Fields {
			have = append(have, f.Name)
		}
		return fmt.Errorf("inputs has %s: %s has %s", path, name, strings.Join(have, ", "))
	}
	return nil
}

// fits says whether a column can take what a declaration makes.
func fits(column pipeline.Column, c *Config) error {
	number := c.Scale != nil || c.Buckets != nil || c.Length != "" || c.Since != nil || c.OneHot != nil || c.Hash != 0 || c.Label != "" || c.Values != nil
	switch {
	case column.Text && number:
		return fmt.Errorf("inputs.%s makes a number, and the model reads texts there: want a path alone", column.Name)
	case !column.Text && c.Cross != nil && c.Hash == 0 && c.OneHot == nil:
		return fmt.Errorf("inputs.%s makes a text, and the model reads numbers there: want hash or one_hot", column.Name)
	case column.Whole && (c.Scale != nil || c.Since != nil || c.Label != ""):
		return fmt.Errorf("inputs.%s makes fractions, and the model reads whole numbers there", column.Name)
	}
	return nil
}

// Append a row's numbers and texts, each in the order of the model's columns. The fault says which value does not fit, and the slices are then
// as long as they became.
func (c *Maker) Append(row *pipeline.Row, numbers []float64, texts []string) ([]float64, []string, *pipeline.Fault) {
	at, to := len(numbers), len(texts)
	numbers, texts = slices.Grow(numbers, c.numbers)[:at+c.numbers], slices.Grow(texts, c.texts)[:to+c.texts]
	fault := c.put(&scope{row: row}, onRow, make([]given, len(c.values)), numbers[at:], texts[to:])
	return numbers, texts, fault
}

// put into the columns what depends on so much of a scope, and leave all others as they are. Values are scratch.
func (c *Maker) put(s *scope, on dependence, values []given, numbers []float64, texts []string) *pipeline.Fault {
	for i := range c.values {
		v := &c.values[i]
		if v.of != on {
			continue
		}
		var err error
		if values[i], err = v.evaluate(s); err != nil {
			return c.fault("column %s: %v", v.name, err)
		}
		c.tallies[i].count(values[i].kind != missing)
	}
	for i := range c.targets {
		t := &c.targets[i]
		if c.values[t.value].of != on {
			continue
		}
		v := &values[t.value]
		if t.isHot {
			numbers[t.place] = 0
			if v.kind == isText && v.text == t.hot {
				numbers[t.place] = 1
			}
			continue
		}
		if v.kind == missing {
			v = &t.fallback
		}
		switch {
		case t.Text:
			texts[t.place] = v.asText()
		case v.kind == isText:
			return c.fault("column %s: %q is a text, and model %s reads a number", t.Name, pipeline.Shown(v.text), c.model)
		case v.kind == isNumber:
			numbers[t.place] = v.number
		case t.Whole:
			return c.fault("column %s: there is no %s, and whole numbers cannot be missing; give inputs.%s a default", t.Name, c.values[t.value].from.path, t.Name)
		default:
			numbers[t.place] = math.NaN()
		}
	}
	return nil
}

// places of the columns that depend on so much: among the numbers, and among the texts.
func (c *Maker) places(on dependence) (numbers, texts []int) {
	for i := range c.targets {
		switch t := &c.targets[i]; {
		case c.values[t.value].of != on:
		case t.Text:
			texts = append(texts, t.place)
		default:
			numbers = append(numbers, t.place)
		}
	}
	return numbers, texts
}

func (c *Maker) fault(format string, args ...any) *pipeline.Fault {
	return pipeline.Faultf(pipeline.ClassInvalid, pipeline.StagePredict, format, args...)
}

// byDefault is what a column has where there is no value; missing without a default.
func byDefault(column pipeline.Column, text *string) (given, error) {
	switch {
	case text == nil:
		return given{}, nil
	case column.Text:
		return given{kind: isText, text: *text}, nil
	}
	if *text == features.MissingDefault && !column.Whole {
		return given{}, nil // as without one
	}
	number, err := strconv.ParseFloat(*text, 64)
	if err != nil || !pipeline.Finite(number) || column.Whole && number != math.Trunc(number) {
		return given{}, fmt.Errorf("inputs.%s.default is %q: want a %s", column.Name, *text, map[bool]string{true: "whole number", false: "number"}[column.Whole])
	}
	return given{kind: isNumber, number: number}, nil
}
