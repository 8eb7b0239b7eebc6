package columns

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/murmur3"

	"nearline/features"
	"nearline/pipeline"
)

// columnValue is what one declaration makes of a row.
type columnValue struct {
	name   string // for errors
	from   source
	config Config
	until  source
	times  features.Times
	parts  []columnValue
	of     dependence
}

// source is where a value is: in a row, or in one of its candidates.
type source struct {
	pipeline.Path
	path string // as it was written
	// own says that it is a candidate's: its id, or rest in its feature number field, -1 for all of them.
	own   ownership
	field int
	rest  string
}

type ownership uint8

const (
	ofRow ownership = iota
	ofCandidate
	ofCandidatesView
)

func (o ownership) dependence() dependence {
	if o == ofRow {
		return onRow
	}
	return onItem
}

// dependence says on what a value depends: on the row, on the candidate, or on both.
type dependence uint8

const (
	onRow  dependence = 1 << iota // one for all candidates of a row
	onItem                        // one for all rows that an item is a candidate of
	onBoth = onRow | onItem
)

// scope is where the sources of columns look: in a row, and in one of its candidates where it has some.
type scope struct {
	row  *pipeline.Row
	view *features.View // that candidates are looked up in, as of now
	now  int64          // milliseconds since 1970
	item *knownItem     // the candidate
}

// value of the source, Null where there is none.
func (s *scope) value(of *source) pipeline.Value {
	switch {
	case of.own == ofRow:
		return of.Value(s.row)
	case s.item == nil:
		return pipeline.Value{}
	case of.own == ofCandidate:
		return pipeline.StringValue(s.item.id)
	}
	if of.field < 0 {
		return s.item.found.Values(s.view, s.now)
	}
	return s.item.found.Value(s.view, of.field, s.now).Inside(of.rest)
}

// given is a value on its way into a column.
type given struct {
	kind   givenKind
	number float64
	text   string // also of a number that came as one, to the digit; "" of one that was computed
}

// asText is the value as a column of texts takes it.
func (g *given) asText() string {
	if g.kind == isNumber && g.text == "" {
		text, _ := pipeline.FloatValue(g.number).Text()
		return text
	}
	return g.text
}

type givenKind uint8

const (
	missing givenKind = iota
	isNumber
	isText
)

func newColumnValue(name string, config Config, locate func(string) source) columnValue {
	v := columnValue{name: name, config: config}
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
	if config.Since != nil {
		v.times = features.NewTimes(config.Since.TimesConfig)
	}
	if config.Since != nil && config.Since.Until != "" {
		v.until = locate(config.Since.Until)
		v.of |= v.until.own.dependence()
	} else if config.Since != nil {
		v.of |= onRow // its timestamp
	}
	return v
}

// evaluate it in a scope.
func (v *columnValue) evaluate(s *scope) (given, error) {
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
		p, ok := value.Probability(c.Label)
		if !ok {
			return given{}, fmt.Errorf("%s is no prediction of a label and a score", v.from.path)
		}
		return given{kind: isNumber, number: p}, nil
	}
	if c.Values == nil && c.Hash == 0 && c.OneHot == nil && value.Kind != pipeline.String {
		if number, ok := value.Number(); ok {
			given := given{kind: isNumber, number: number}
			if value.Kind != pipeline.Bool {
				given.text, _ = value.Text()
			}
			return given, nil
		}
	}
	text, scalar := value.Text()
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
	return given{}, fmt.Errorf("%s is %s, which is more than a number of 64 bits", v.from.path, pipeline.Shown(text))
}

// shaped scales, buckets or hashes.
func (v *columnValue) shaped(of given) (given, error) {
	c := &v.config
	if (c.Scale != nil || c.Buckets != nil) && of.kind != isNumber {
		return given{}, fmt.Errorf("%s is %q, which is no number", v.from.path, pipeline.Shown(of.text))
	}
	switch {
	case c.Scale != nil:
		return given{kind: isNumber, number: c.Scale.apply(of.number)}, nil
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

func (s *ScaleConfig) apply(number float64) float64 {
	if s.Log {
		// Of -1 and below numpy has no number, and models were trained on none.
		if number <= -1 {
			number = 0
		}
		number = math.Log1p(number)
	}
	switch {
	case s.Mean != nil:
		return (number - *s.Mean) / *s.Deviation
	case s.Min != nil:
		// In this order, each step rounded, as scikit-learn computes it.
		scale := 1 / (*s.Max - *s.Min)
		return float64(number*scale) + (0 - float64(*s.Min*scale))
	}
	return number
}

func (v *columnValue) length(value pipeline.Value) (given, error) {
	var n int
	switch text, ok := value.Text(); {
	case v.config.Length == LengthItems && (value.Kind == pipeline.List || value.Kind == pipeline.Strings):
		n = value.Len()
	case v.config.Length == LengthItems:
		return given{}, fmt.Errorf("%s is no list", v.from.path)
	case !ok:
		return given{}, fmt.Errorf("%s is no text", v.from.path)
	case v.config.Length == LengthWords:
		n = len(strings.FieldsFunc(text, isSpace))
	default:
		n = utf8.RuneCountInString(text)
	}
	return given{kind: isNumber, number: float64(n)}, nil
}

// isSpace says what Python's str.split splits at: white space, and the four separators of ASCII.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func (v *columnValue) since(value pipeline.Value, s *scope) (given, error) {
	then, guess, err := v.times.Read(value, v.from.path)
	if err != nil {
		return given{}, err
	}
	until := s.row.Record.Timestamp
	if !until.IsZero() {
		until = s.row.Record.Written(time.Now())
	}
	if path := v.config.Since.Until; path != "" {
		later := s.value(&v.until)
		if later.Kind == pipeline.Null {
			return given{}, nil
		}
		if until, _, err = v.times.Read(later, path); err != nil {
			return given{}, err
		}
	}
	if until.IsZero() {
		return given{}, errors.New("the record has no timestamp to count to: name the path of a time as since.until")
	}
	if text, _ := value.Text(); features.Unsure(guess, then, until) {
		return given{}, fmt.Errorf("%s is %s, which in %s is %s, long after what it is compared with: say in which unit it is, as since.time_unit",
			v.from.path, pipeline.Shown(text), guess, then.UTC().Format(time.DateOnly))
	}
	unit := v.config.Since.Unit
	if unit == 0 {
		unit = 24 * time.Hour
	}
	return given{kind: isNumber, number: max(secondsFrom(then, until), 0) / unit.Seconds()}, nil
}

// secondsFrom one time to another. Their difference as a time.Duration would end at 292 years.
func secondsFrom(then, until time.Time) float64 {
	return float64(until.Unix()-then.Unix()) + float64(until.Nanosecond()-then.Nanosecond())/1e9
}

// crossed joins the parts of a cross, as Keras does.
const crossed = "_X_"

// cross is missing where all of its parts are.
func (v *columnValue) cross(s *scope) (given, error) {
	texts, any := make([]string, len(v.parts)), false
	for i := range v.parts {
		part, err := v.parts[i].evaluate(s)
		if err != nil {
			return given{}, err
		}
		texts[i] = part.asText()
		any = any || part.kind != missing
	}
	if !any {
		return given{}, nil
	}
	return v.shaped(given{kind: isText, text: strings.Join(texts, crossed)})
}
