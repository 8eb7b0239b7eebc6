package features

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/murmur3"

	"nearline/pipeline"
)

// Column is one that a model reads, as the model says it.
type Column struct {
	Name  string
	Text  bool // it has texts
	Whole bool // it has whole numbers, none of them missing
}

// Columns makes of a row what a model reads: the values that events, lookups and earlier predictions have, each in the way that is declared for its
// column. Safe for concurrent use.
type Columns struct {
	model   string
	values  []columnValue
	targets []target
	// Of the targets so many are numbers, and so many texts.
	numbers, texts int
}

// target is a column of the model.
type target struct {
	Column
	value    int    // index in Columns.values
	place    int    // among the numbers of a row, or its texts
	hot      string // with one_hot: the text of the column
	isHot    bool
	fallback given // missing without a default
}

// columnValue is what one declaration makes of a row.
type columnValue struct {
	name   string // for errors
	from   source
	config ColumnConfig
	until  source
	parts  []columnValue
	of     dependence
}

// dependence says what values are made of, where rows have candidates.
type dependence uint8

const (
	onRow  dependence = 1 << iota // one for all candidates of a row
	onItem                        // one for all rows that an item is a candidate of
	onBoth = onRow | onItem
)

// scope is where the sources of columns look: in a row, and in one of its candidates where it has some.
type scope struct {
	row  *pipeline.Row
	view *View      // that candidates are looked up in, as of now
	now  int64      // milliseconds since 1970
	item *knownItem // the candidate
}

// value of the source, Null where there is none.
func (s *scope) value(of *source) pipeline.Value {
	switch {
	case of.own == ofRow:
		return of.value(s.row)
	case s.item == nil:
		return pipeline.Value{}
	case of.own == ofCandidate:
		return pipeline.StringValue(s.item.id)
	}
	if of.field < 0 {
		return s.item.found.values(s.view, s.now)
	}
	return inside(s.item.found.value(s.view, of.field, s.now), of.rest)
}

// given is a value on its way into a column.
type given struct {
	kind   givenKind
	number float64
	text   string
}

type givenKind uint8

const (
	missing givenKind = iota
	isNumber
	isText
)

// NewColumns makes what fills the columns that a model wants. Declared says what each is made of; nil takes each from the path that is called as it is. Columns
// are those of steps before it, with examples of what they hold; reads is what earlier steps want the decoder to read: it is returned
// with its own added.
//
// The error joins everything that does not fit: a column that nothing is declared for, a declaration of none, a path that an earlier
// step does not have.
func NewColumns(model string, wanted []Column, declared map[string]ColumnConfig, columns []pipeline.Field, reads []string) (*Columns, []string, error) {
	names := fieldNames(columns)
	c, err := newColumns(model, wanted, declared, func(path string) (found source, err error) {
		found, reads = find(path, names, reads)
		return found, within(path, columns)
	})
	return c, reads, err
}

// newColumns is NewColumns with what says where paths are.
func newColumns(model string, wanted []Column, declared map[string]ColumnConfig, find func(path string) (source, error)) (*Columns, error) {
	c := &Columns{model: model}
	var errs []error
	locate := func(path string) source {
		found, err := find(path)
		if err != nil {
			errs = append(errs, err)
		}
		return found
	}
	if declared == nil {
		declared = map[string]ColumnConfig{}
		for _, column := range wanted {
			declared[column.Name] = ColumnConfig{}
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

func fieldNames(fields []pipeline.Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

func columnNames(columns []Column) string {
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

// within says whether an earlier step that has the beginning of a path has the rest of it, as far as that can be known.
func within(path string, columns []pipeline.Field) error {
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
func fits(column Column, c *ColumnConfig) error {
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

func newColumnValue(name string, config ColumnConfig, locate func(string) source) columnValue {
	v := columnValue{name: name, config: config, until: source{read: -1}}
	for i, part := range config.Cross {
		v.parts = append(v.parts, newColumnValue(fmt.Sprintf("%s[%d]", name, i), part, locate))
		v.of |= v.parts[i].of
	}
	if config.Cross == nil {
		path := config.Of
		if path == "" {
			path = name
		}
		v.from = locate(path)
		v.of |= v.from.own.dependence()
	}
	if config.Since != nil && config.Since.Until != "" {
		v.until = locate(config.Since.Until)
		v.of |= v.until.own.dependence()
	} else if config.Since != nil {
		v.of |= onRow // its timestamp
	}
	return v
}

// Append a row's numbers and texts, each in the order of the model's columns. The fault says which value does not fit, and the slices are then
// as long as they became.
func (c *Columns) Append(row *pipeline.Row, numbers []float64, texts []string) ([]float64, []string, *pipeline.Fault) {
	at, to := len(numbers), len(texts)
	numbers, texts = slices.Grow(numbers, c.numbers)[:at+c.numbers], slices.Grow(texts, c.texts)[:to+c.texts]
	fault := c.put(&scope{row: row}, onRow, make([]given, len(c.values)), numbers[at:], texts[to:])
	return numbers, texts, fault
}

// put into the columns what depends on so much of a scope, and leave all others as they are. Values are scratch.
func (c *Columns) put(s *scope, on dependence, values []given, numbers []float64, texts []string) *pipeline.Fault {
	for i := range c.values {
		v := &c.values[i]
		if v.of != on {
			continue
		}
		var err error
		if values[i], err = v.in(s); err != nil {
			return c.fault("column %s: %v", v.name, err)
		}
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
		case t.Text && v.kind == isNumber:
			texts[t.place], _ = textOf(pipeline.FloatValue(v.number))
		case t.Text:
			texts[t.place] = v.text
		case v.kind == isText:
			return c.fault("column %s: %q is a text, and model %s reads a number", t.Name, shown(v.text), c.model)
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
func (c *Columns) places(on dependence) (numbers, texts []int) {
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

func (c *Columns) fault(format string, args ...any) *pipeline.Fault {
	return pipeline.Faultf(pipeline.ClassInvalid, pipeline.StagePredict, format, args...)
}

// byDefault is what a column has where there is no value; missing without a default.
func byDefault(column Column, text *string) (given, error) {
	switch {
	case text == nil:
		return given{}, nil
	case column.Text:
		return given{kind: isText, text: *text}, nil
	}
	number, err := strconv.ParseFloat(*text, 64)
	if err != nil || !finite(number) || column.Whole && number != math.Trunc(number) {
		return given{}, fmt.Errorf("inputs.%s.default is %q: want a %s", column.Name, *text, map[bool]string{true: "whole number", false: "number"}[column.Whole])
	}
	return given{kind: isNumber, number: number}, nil
}

// in a scope.
func (v *columnValue) in(s *scope) (given, error) {
	if v.parts != nil {
		return v.cross(s)
	}
	value := s.value(&v.from)
	if value.Kind == pipeline.Null {
		return given{}, nil
	}
	switch {
	case v.config.Length != "":
		return v.length(value)
	case v.config.Since != nil:
		return v.since(value, s)
	}
	out, err := v.operand(value)
	if err != nil || out.kind == missing {
		return out, err
	}
	return v.shaped(out)
}

// operand is the value as a number, or as a text where it is one.
func (v *columnValue) operand(value pipeline.Value) (given, error) {
	c := &v.config
	if c.Label != "" {
		p, ok := probability(value, c.Label)
		if !ok {
			return given{}, fmt.Errorf("%s is no prediction of a label and a score", v.from.path)
		}
		return given{kind: isNumber, number: p}, nil
	}
	if c.Values == nil && c.Hash == 0 && c.OneHot == nil && value.Kind != pipeline.String {
		if number, ok := numberOf(value); ok {
			return given{kind: isNumber, number: number}, nil
		}
	}
	text, scalar := textOf(value)
	switch {
	case !scalar:
		return given{}, fmt.Errorf("%s is neither a text nor a number", v.from.path)
	case c.Values != nil:
		number, ok := c.Values[text]
		if !ok {
			return given{}, nil
		}
		return given{kind: isNumber, number: number}, nil
	case c.Hash > 0 || c.OneHot != nil || value.Kind == pipeline.String:
		return given{kind: isText, text: text}, nil
	}
	return given{}, fmt.Errorf("%s is %s, which is more than a number of 64 bits", v.from.path, shown(text))
}

// shaped scales, buckets or hashes.
func (v *columnValue) shaped(of given) (given, error) {
	c := &v.config
	if (c.Scale != nil || c.Buckets != nil) && of.kind != isNumber {
		return given{}, fmt.Errorf("%s is %q, which is no number", v.from.path, shown(of.text))
	}
	switch {
	case c.Scale != nil:
		return given{kind: isNumber, number: c.Scale.of(of.number)}, nil
	case c.Buckets != nil:
		reached, same := slices.BinarySearch(c.Buckets, of.number)
		if same {
			reached++
		}
		return given{kind: isNumber, number: float64(reached)}, nil
	case c.Hash > 0:
		return given{kind: isNumber, number: float64(int(murmur3.StringSum32(of.text)) % c.Hash)}, nil
	}
	return of, nil
}

func (s *ScaleConfig) of(number float64) float64 {
	if s.Log {
		number = math.Log1p(max(number, 0))
	}
	switch {
	case s.Mean != nil:
		return (number - *s.Mean) / *s.Deviation
	case s.Min != nil:
		return (number - *s.Min) / (*s.Max - *s.Min)
	}
	return number
}

func (v *columnValue) length(value pipeline.Value) (given, error) {
	var n int
	switch text, ok := textOf(value); {
	case v.config.Length == LengthItems && (value.Kind == pipeline.List || value.Kind == pipeline.Strings):
		n = value.Len()
	case v.config.Length == LengthItems:
		return given{}, fmt.Errorf("%s is no list", v.from.path)
	case !ok:
		return given{}, fmt.Errorf("%s is no text", v.from.path)
	case v.config.Length == LengthWords:
		n = len(strings.Fields(text))
	default:
		n = utf8.RuneCountInString(text)
	}
	return given{kind: isNumber, number: float64(n)}, nil
}

func (v *columnValue) since(value pipeline.Value, s *scope) (given, error) {
	then, err := TimeOf(value, v.from.path)
	if err != nil {
		return given{}, err
	}
	until := s.row.Record.Timestamp
	if path := v.config.Since.Until; path != "" {
		later := s.value(&v.until)
		if later.Kind == pipeline.Null {
			return given{}, nil
		}
		if until, err = TimeOf(later, path); err != nil {
			return given{}, err
		}
	}
	if until.IsZero() {
		return given{}, errors.New("the record has no timestamp to count to: name the path of a time as since.until")
	}
	unit := v.config.Since.Unit
	if unit == 0 {
		unit = 24 * time.Hour
	}
	return given{kind: isNumber, number: max(until.Sub(then).Seconds(), 0) / unit.Seconds()}, nil
}

// crossed joins the parts of a cross, as Keras does.
const crossed = "_X_"

// cross is missing where all of its parts are.
func (v *columnValue) cross(s *scope) (given, error) {
	texts, any := make([]string, len(v.parts)), false
	for i := range v.parts {
		part, err := v.parts[i].in(s)
		if err != nil {
			return given{}, err
		}
		switch part.kind {
		case isNumber:
			texts[i], _ = textOf(pipeline.FloatValue(part.number))
		case isText:
			texts[i] = part.text
		}
		any = any || part.kind != missing
	}
	if !any {
		return given{}, nil
	}
	return v.shaped(given{kind: isText, text: strings.Join(texts, crossed)})
}

// shown is enough of a text to know it by.
func shown(text string) string {
	const most = 60
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
