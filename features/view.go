package features

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"nearline/pipeline"
)

// View is a declared view, compiled. Safe for concurrent use.
type View struct {
	name     string
	key      string
	time     string
	times    Times
	maxAge   time.Duration // that a lookup takes
	ttl      int64         // milliseconds, 0 is for good
	maxKeys  int           // that all partitions take together
	others   bool          // fill it
	marks    bool
	fields   []field
	operands []operand
	defaults []pipeline.Field
}

// operand is one value of an event that some field needs.
type operand struct {
	of    string // the path
	label string // turns a prediction into a number
	text  bool   // some field wants it as text
	// numeric says which field wants it as a number; "" is none.
	numeric string
}

// name of the operand in updates.
func (o operand) name() string {
	if o.label != "" {
		return o.of + "=" + o.label
	}
	return o.of
}

type kind uint8

const (
	kindCount kind = iota
	kindSum
	kindMean
	kindLast
	kindTop
	kindDistinct
	kindNumber // and what follows are others'
	kindText
	kindTexts
)

// field is one feature.
type field struct {
	name string
	// mark is the name with a hash of the definition: state that was kept under another definition is not taken for this one's.
	mark     string
	kind     kind
	fallback float64
	halfLife time.Duration
	number   int // operand, -1 for none
	text     int // operand, -1 for none
	values   map[string]float64
	n        int
	where    []condition
}

type condition struct {
	operand int
	texts   []string
}

// NewView compiles a declaration, which has been validated.
func NewView(c ViewConfig) *View {
	v := &View{name: c.Name, key: c.Key, time: c.Time, times: NewTimes(c.TimesConfig), maxAge: c.MaxAge, ttl: c.TTL.Milliseconds(), maxKeys: cmp.Or(c.MaxKeys, defaultMaxKeys), others: c.Source == SourceStore}
	if v.maxAge == 0 {
		v.maxAge = c.TTL // a key may be kept for longer where no event of others comes to its partition
	}
	for _, f := range c.Fields {
		v.fields = append(v.fields, v.field(f))
	}
	v.defaults = v.Values(v.newState(), 0)
	return v
}

// Name of the view.
func (v *View) Name() string { return v.name }

// Key is the path of the view's key in events.
func (v *View) Key() string { return v.key }

// MaxState is how large the state of a key may become, in bytes as it is written: about.
func (v *View) MaxState() int {
	size := 0
	for _, f := range v.fields {
		switch size += 200; f.kind {
		case kindLast, kindTop:
			size += f.n * (maxText + 100)
		case kindDistinct:
			size += 6 << 10 // 4 KiB as text
		}
	}
	return size
}

// OfStore says that others fill the view, in the store: it has no topics.
func (v *View) OfStore() bool { return v.others }

// OfMarks says that it has the marks of another view: what was put last has to be read.
func (v *View) OfMarks() bool { return v.marks }

// Fields are the names of the view's features, in order.
func (v *View) Fields() []string {
	names := make([]string, len(v.fields))
	for i, f := range v.fields {
		names[i] = f.name
	}
	return names
}

func (v *View) field(c FieldConfig) field {
	f := field{name: c.Name, number: -1, text: -1}
	if c.Default != nil {
		f.fallback = float64(*c.Default)
	}
	var definition string
	switch {
	case c.Count != nil:
		f.kind, f.halfLife = kindCount, c.Count.HalfLife
		if c.Count.Of != "" {
			f.text = v.textOperand(c.Count.Of)
		}
		definition = fmt.Sprint("count ", f.halfLife, " of ", c.Count.Of)
	case c.Sum != nil:
		f.kind, f.halfLife = kindSum, c.Sum.HalfLife
		f.number, f.values = v.number(c.Sum.Operand, c.Name), c.Sum.Values
		definition = fmt.Sprint("sum ", f.halfLife, describe(c.Sum.Operand))
	case c.Mean != nil:
		f.kind, f.halfLife = kindMean, c.Mean.HalfLife
		f.number, f.values = v.number(c.Mean.Operand, c.Name), c.Mean.Values
		definition = fmt.Sprint("mean ", f.halfLife, describe(c.Mean.Operand))
	case c.Last != nil:
		f.kind, f.n, f.text = kindLast, c.Last.N, v.textOperand(c.Last.Of)
		definition = "last " + c.Last.Of
	case c.Top != nil:
		f.kind, f.n, f.text = kindTop, c.Top.N, v.textOperand(c.Top.Of)
		f.number, f.values = v.number(c.Top.By, c.Name), c.Top.By.Values
		definition = fmt.Sprint("top ", c.Top.Of, describe(c.Top.By))
	case c.Type != "":
		f.kind = map[string]kind{TypeNumber: kindNumber, TypeText: kindText, TypeTexts: kindTexts}[c.Type]
	default:
		f.kind, f.text = kindDistinct, v.textOperand(c.Distinct.Of)
		definition = "distinct " + c.Distinct.Of
	}
	for _, path := range slices.Sorted(maps.Keys(c.Where)) {
		f.where = append(f.where, condition{v.textOperand(path), c.Where[path]})
		definition += fmt.Sprint(" where ", path, slices.Sorted(slices.Values(c.Where[path])))
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(definition))
	f.mark = fmt.Sprintf("%s#%08x", c.Name, hash.Sum32())
	return f
}

func describe(o Operand) string {
	parts := []string{" of", o.Of + "=" + o.Label}
	for _, text := range slices.Sorted(maps.Keys(o.Values)) {
		parts = append(parts, fmt.Sprint(text, "=", o.Values[text]))
	}
	return strings.Join(parts, " ")
}

// number is the index of the operand, which is added if it is new.
func (v *View) number(o Operand, field string) int {
	i := v.operand(operand{of: o.Of, label: o.Label})
	switch {
	case o.Values != nil:
		v.operands[i].text = true
	case o.Label == "":
		v.operands[i].numeric = field
	}
	return i
}

func (v *View) textOperand(of string) int {
	i := v.operand(operand{of: of})
	v.operands[i].text = true
	return i
}

func (v *View) operand(o operand) int {
	for i, known := range v.operands {
		if known.of == o.of && known.label == o.label {
			return i
		}
	}
	v.operands = append(v.operands, o)
	return len(v.operands) - 1
}

// Update is what one event means for one key of a view.
type Update struct {
	// At is the event's own time, in milliseconds since 1970, or when it was written if that is earlier: by its record's timestamp, or when it was
	// processed where that is implausible.
	At int64
	// Said is the time that the event itself has; 0 for At.
	Said int64
	// Alone says that nothing but the event itself has a time: the timestamp of its record is implausible.
	Alone bool
	// Operands as the view lists them; Null where the event has none.
	Operands []pipeline.Value
}

// add an update to the state of its key, which is the caller's alone.
func (v *View) add(s *State, u *Update) {
	s.At = max(s.At, u.At)
	for i := range v.fields {
		if f := &v.fields[i]; f.counts(u) {
			f.add(&s.cells[i], u)
		}
	}
}

// counts says whether the update is one for the field.
func (f *field) counts(u *Update) bool {
	for _, c := range f.where {
		if text, ok := u.Operands[c.operand].Text(); !ok || !slices.Contains(c.texts, text) {
			return false
		}
	}
	return true
}

func (f *field) add(c *cell, u *Update) {
	number, text := 1.0, ""
	var ok bool
	if f.number >= 0 {
		if number, ok = f.numberOf(u.Operands[f.number]); !ok {
			return
		}
	}
	if f.text >= 0 {
		if text, ok = u.Operands[f.text].Text(); !ok {
			return
		}
	}
	switch f.kind {
	case kindCount, kindSum, kindMean:
		c.accumulate(number, 1, u.At, f.halfLife)
	case kindLast:
		c.insertLast(entry{text, 0, u.At}, f.n)
	case kindTop:
		c.insertTop(entry{text, number, u.At}, f.n)
	case kindDistinct:
		c.insertDistinct(text)
	}
}

func (f *field) numberOf(v pipeline.Value) (float64, bool) {
	if f.values != nil {
		text, ok := v.Text()
		if !ok {
			return 0, false
		}
		number, ok := f.values[text]
		return number, ok
	}
	return v.Number()
}

// Values of a state as of a time in milliseconds since 1970, in the order of the view's fields: what is decayed by then is.
func (v *View) Values(s *State, at int64) []pipeline.Field {
	values := make([]pipeline.Field, len(v.fields))
	for i := range v.fields {
		values[i] = pipeline.Field{Name: v.fields[i].name, Value: v.fields[i].value(&s.cells[i], at)}
	}
	return values
}

func (f *field) value(c *cell, at int64) pipeline.Value {
	switch f.kind {
	case kindCount:
		if f.halfLife == 0 {
			return pipeline.IntValue(int64(c.sum))
		}
		return pipeline.FloatValue(c.sum * decay(c.at, at, f.halfLife))
	case kindSum:
		return pipeline.FloatValue(c.sum * decay(c.at, at, f.halfLife))
	case kindMean:
		if c.weight == 0 {
			return f.byDefault()
		}
		return pipeline.FloatValue(c.sum / c.weight)
	case kindNumber:
		return f.byDefault()
	case kindText:
		return pipeline.StringValue("")
	case kindDistinct:
		if c.sketch == nil {
			return pipeline.IntValue(0)
		}
		return pipeline.IntValue(int64(c.sketch.Estimate())) //nolint:gosec // an estimate of a count
	default:
		list := pipeline.Value{Kind: pipeline.List, List: make([]pipeline.Value, len(c.list))}
		for i, e := range c.list {
			if f.kind == kindLast {
				list.List[i] = pipeline.StringValue(e.Text)
				continue
			}
			list.List[i] = pipeline.ObjectValue(
				pipeline.Field{Name: "of", Value: pipeline.StringValue(e.Text)},
				pipeline.Field{Name: "by", Value: pipeline.FloatValue(e.By)})
		}
		return list
	}
}

// Defaults are the values of a key of which nothing is known. They are not to be written to.
func (v *View) Defaults() []pipeline.Field { return v.defaults }

// Now is the entry's values as of a later time: what decays has decayed since.
func (e *Entry) Now(view *View, now time.Time) []pipeline.Field {
	values := slices.Clone(e.Values)
	for i := range values {
		e.age(view, i, now.UnixMilli(), &values[i].Value)
	}
	return values
}

// age a value of the entry, that of field i, until now, in milliseconds since 1970.
func (e *Entry) age(view *View, i int, now int64, value *pipeline.Value) {
	f := &view.fields[i]
	if f.halfLife > 0 && (f.kind == kindCount || f.kind == kindSum) && value.Kind == pipeline.Float {
		value.Float *= decay(e.At, max(now, e.At), f.halfLife)
	}
}

// ListsTexts says whether a field is a list of texts.
func (v *View) ListsTexts(field int) bool {
	return v.fields[field].kind == kindLast || v.fields[field].kind == kindTexts
}
