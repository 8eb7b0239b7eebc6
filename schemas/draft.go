package schemas

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"nearline/pipeline"
)

const (
	// maxBuiltValues bounds how many values the objects and arrays of one event hold that are copied or read: in memory a value weighs
	// a hundred times what `0,` weighs in JSON. A model ranks some 16,000 candidates at the most.
	maxBuiltValues = 20_000
	// maxScratch is the largest buffer that a draft keeps for the next record.
	maxScratch = 64 << 10
)

// draft gathers what a decoder finds of one event, by slot, and makes a row of it. It is reused from record to record:
// strings collect in one buffer and become one allocation. Not safe for concurrent use.
type draft struct {
	layout *layout
	slots  []slot
	// text and title are kept apart from the other strings, because the row wants them joined.
	text, title []byte
	strings     []byte
	built       int
}

// slot is what was found for one target. A String or Number spans [start, end) of the draft's strings.
type slot struct {
	found      bool
	kind       pipeline.Kind
	start, end int
	value      pipeline.Value
}

func newDraft(l *layout) *draft { return &draft{layout: l, slots: make([]slot, len(l.targets))} }

func (d *draft) reset() {
	clear(d.slots)
	d.built = 0
	for _, b := range []*[]byte{&d.text, &d.title, &d.strings} {
		if cap(*b) > maxScratch {
			*b = nil
		}
		*b = (*b)[:0]
	}
}

// literal notes a string, or the literal of a number. The content is what write appends.
func (d *draft) literal(n *node, kind pipeline.Kind, write func(dst []byte) []byte) {
	for _, i := range n.slots {
		s := &d.slots[i]
		*s = slot{found: true, kind: kind}
		switch i {
		case slotText:
			d.text = write(d.text[:0])
		case slotTitle:
			d.title = write(d.title[:0])
		default:
			s.start = len(d.strings)
			d.strings = write(d.strings)
			s.end = len(d.strings)
		}
	}
}

// value notes any other value. Of an object or array only the kind matters, unless a slot wants the whole.
func (d *draft) value(n *node, v pipeline.Value) {
	for _, i := range n.slots {
		d.slots[i] = slot{found: true, kind: v.Kind, value: v}
	}
}

// resolve descends into a value that was built whole.
func (d *draft) resolve(n *node, v pipeline.Value) {
	switch v.Kind {
	case pipeline.String, pipeline.Number:
		d.literal(n, v.Kind, func(dst []byte) []byte { return append(dst, v.Str...) })
	default:
		d.value(n, v)
	}
	for _, f := range v.Fields {
		if kid := n.kid([]byte(f.Name)); kid != nil {
			d.resolve(kid, f.Value)
		}
	}
	for i := range v.Len() {
		if kid := n.element(i); kid != nil {
			d.resolve(kid, v.At(i))
		}
	}
}

// spend counts one value built.
func (d *draft) spend() *pipeline.Fault {
	if d.built++; d.built > maxBuiltValues {
		return pipeline.Faultf(pipeline.ClassTooLarge, pipeline.StageDecode,
			"the fields that are copied or read hold more than %d values", maxBuiltValues)
	}
	return nil
}

// row makes the row, or says what is wrong with the event.
func (d *draft) row(record *pipeline.Record) (*pipeline.Row, *pipeline.Fault) {
	if fault := d.check(); fault != nil {
		return nil, fault
	}
	textStart := len(d.strings)
	d.strings = append(appendHeading(d.strings, d.title), d.text...)

	all := string(d.strings)
	row := &pipeline.Row{Record: record, Text: all[textStart:]}
	if id := d.slots[slotID]; id.found {
		row.ID = all[id.start:id.end]
		if id.kind == pipeline.Number {
			row.ID = pipeline.Digits(row.ID) // 318 for 318.0, too
		}
	}
	copied := 0
	copies, reads := d.slots[slotCopies:d.layout.reads], d.slots[d.layout.reads:]
	for _, s := range copies {
		if s.found {
			copied++
		}
	}
	if copied > 0 {
		row.Copied = make([]pipeline.Field, 0, copied)
	}
	for i, s := range copies {
		if s.found {
			row.Copied = append(row.Copied, pipeline.Field{Name: d.layout.targets[slotCopies+i].name, Value: s.valueFrom(all)})
		}
	}
	if len(reads) > 0 {
		row.Read = make([]pipeline.Value, len(reads))
	}
	for i, s := range reads {
		row.Read[i] = s.valueFrom(all)
	}
	return row, nil
}

// valueFrom is the slot's value, all being the strings of its draft; Null where nothing was found.
func (s *slot) valueFrom(all string) pipeline.Value {
	if s.kind == pipeline.String || s.kind == pipeline.Number {
		return pipeline.Value{Kind: s.kind, Str: all[s.start:s.end]}
	}
	return s.value
}

func (d *draft) check() *pipeline.Fault {
	switch id := d.slots[slotID]; {
	case !id.found || id.kind == pipeline.Null || id.kind == pipeline.String:
	case id.kind == pipeline.Number && pipeline.Whole(string(d.strings[id.start:id.end])):
	case id.kind == pipeline.Number:
		return d.invalid(slotID, "is a number that is no integer", "want a string or an integer")
	default:
		return d.invalid(slotID, "is "+kindName(id.kind), "want a string or an integer")
	}
	switch text := d.slots[slotText]; {
	case d.layout.targets[slotText].path == "":
		// Nobody reads it.
	case !text.found:
		return pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageDecode,
			"text is missing: the input maps text to %q", d.layout.targets[slotText].path)
	case text.kind != pipeline.String:
		return d.invalid(slotText, "is "+kindName(text.kind), "want a string")
	case len(d.text) == 0:
		return d.invalid(slotText, "is empty", "want some text")
	case len(bytes.TrimSpace(d.text)) == 0:
		return d.invalid(slotText, "is only white space", "want some text")
	}
	if title := d.slots[slotTitle]; title.found && title.kind != pipeline.Null && title.kind != pipeline.String {
		return d.invalid(slotTitle, "is "+kindName(title.kind), "want a string or null")
	}
	for i, s := range d.slots {
		if s.found && s.kind == pipeline.Number && !inRange(d.strings[s.start:s.end]) {
			return d.invalid(i, "is a number out of the range of a 64-bit float", "want a smaller one")
		}
	}
	return nil
}

func (d *draft) invalid(slot int, is, want string) *pipeline.Fault {
	t := d.layout.targets[slot]
	return &pipeline.Fault{Class: pipeline.ClassInvalid, Stage: pipeline.StageDecode,
		Cause: fmt.Sprintf("%s at %q %s: %s", t.name, t.path, is, want)}
}

// inRange says that a JSON number is finite as a 64-bit float.
func inRange(literal []byte) bool {
	if len(literal) < 300 && !bytes.ContainsAny(literal, "eE") {
		return true
	}
	f, _ := strconv.ParseFloat(string(literal), 64)
	return !math.IsInf(f, 0)
}

func kindName(kind pipeline.Kind) string {
	switch kind {
	case pipeline.Null:
		return "null"
	case pipeline.Bool:
		return "a boolean"
	case pipeline.Int, pipeline.Float, pipeline.Number:
		return "a number"
	case pipeline.String:
		return "a string"
	case pipeline.Object:
		return "an object"
	default:
		return "an array"
	}
}

// excerpt quotes content of a record in a message, never more than a few bytes of it.
func excerpt[T ~string | ~[]byte](content T) string { return strconv.Quote(clip(string(content), 40)) }

// clip shortens s to at most that many bytes, and says so.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

func tooLarge(got, most int) *pipeline.Fault {
	return pipeline.Faultf(pipeline.ClassTooLarge, pipeline.StageDecode,
		"the value is %d bytes: input.max_value_bytes is %d", got, most)
}

func tooDeep(most int) *pipeline.Fault {
	return pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode,
		"the value nests deeper than input.max_depth, which is %d", most)
}
