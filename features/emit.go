package features

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nearline/pipeline"
)

// Emit is the step of a pipeline that says what each of its events means for a view: one update beside the row's result, keyed as the view
// is. An event without the key means nothing for the view, and goes on all the same; one whose values are of a kind that the view
// cannot take becomes a dead letter.
type Emit struct {
	view     *View
	topic    string
	key      source
	time     source // its path is "" where the record's timestamp is meant
	operands []source
	metrics  *Metrics
}

var _ pipeline.Step = (*Emit)(nil)

// source is where in a row a value is.
type source struct {
	path string
	// column and rest split the path where it is one of a prediction's, or of what was looked up.
	column, rest string
	read         int // the index in Row.Read otherwise
	// own says that it is a candidate's instead: its id, or rest in its feature number field, -1 for all of them.
	own   ownership
	field int
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

// maxUpdate is how many bytes an update may have, key and value together; it is far below what any topic takes.
const maxUpdate = 64 << 10

// NewEmit makes the step. Paths gives the view's paths others in these events, from the view's to the event's. Columns are those of the
// predictions before the step, reads what earlier steps want the decoder to read. It returns those with the step's own added.
func NewEmit(view *View, topic string, paths map[string]string, columns []string, reads []string, metrics *Metrics) (*Emit, []string, error) {
	e := &Emit{view: view, topic: topic, metrics: metrics}
	used := map[string]bool{}
	var clashes []error
	locate := func(path string) source {
		if path == "" {
			return source{read: -1}
		}
		used[path] = true
		if other, ok := paths[path]; ok {
			path = other
		}
		var found source
		found, reads = find(path, columns, reads)
		return found
	}
	e.key, e.time = locate(view.key), locate(view.time)
	for _, o := range view.operands {
		e.operands = append(e.operands, locate(o.of))
	}
	for path := range paths {
		if !used[path] {
			clashes = append(clashes, fmt.Errorf("map has %q: view %s has no such path, remove it", path, view.name))
		}
	}
	return e, reads, errors.Join(clashes...)
}

// Name is aggregate and the view.
func (e *Emit) Name() string { return "aggregate " + e.view.name }

// Run puts an update beside each row.
func (e *Emit) Run(_ context.Context, rows []*pipeline.Row) error {
	for _, row := range rows {
		if row.Fault == nil {
			row.Fault = e.emit(row)
		}
	}
	return nil
}

func (e *Emit) emit(row *pipeline.Row) *pipeline.Fault {
	key, err := e.view.KeyOf(e.key.value(row), e.key.path)
	if err != nil {
		return e.fault("%v", err)
	}
	if key == "" {
		e.metrics.skipped()
		return nil
	}
	// Nothing bounds a record's timestamp but the topic's settings, and some clients write none, or microseconds. Then the event's own time counts, or
	// else the time of processing.
	now := time.Now()
	update := Update{At: row.Record.Written(now).UnixMilli(), Operands: make([]pipeline.Value, len(e.operands))}
	ahead := maxAhead
	if e.view.Expires() {
		ahead = 0 // a clock that is ahead would have the partition's other keys forgotten too early
	}
	if latest := now.Add(ahead).UnixMilli(); update.At > latest {
		update.At = now.UnixMilli()
	}
	if at := e.time.value(row); at.Kind != pipeline.Null {
		said, err := e.view.TimeOf(at, e.time.path)
		if err != nil {
			return e.fault("%v", err)
		}
		// An event from the future would make all others old. It counts as of when it was written.
		if update.Said = said.UnixMilli(); update.Said < update.At {
			update.At = update.Said
		}
		update.Alone = !pipeline.Plausible(row.Record.Timestamp)
	}
	if !inTime(update.At) {
		return e.fault("the event is of the year %d: want one from 1 to 9999", time.UnixMilli(update.At).UTC().Year())
	}
	for i := range e.operands {
		value, fault := e.operand(row, i)
		if fault != nil {
			return fault
		}
		update.Operands[i] = value
	}
	out := pipeline.Output{
		Topic: e.topic, Key: []byte(key), Value: e.view.appendUpdate(nil, &update), // and the time of writing: that is its arrival
	}
	if size := len(out.Key) + len(out.Value); size > maxUpdate {
		return e.fault("the update of view %s would have %d bytes: want at most %d", e.view.name, size, maxUpdate)
	}
	row.Beside = append(row.Beside, out)
	return nil
}

// maxAhead is how far the clock of who wrote a record may be ahead of ours.
const maxAhead = time.Hour

// KeyOf reads a key of the view; "" is that of a row without one. Path is where the value was, for the error.
func (v *View) KeyOf(value pipeline.Value, path string) (string, error) {
	key, ok := textOf(value)
	switch {
	case !ok && value.Kind != pipeline.Null:
		return "", fmt.Errorf("%s is neither a text nor a number: it is the key of view %s", path, v.name)
	case len(key) > maxText:
		return "", fmt.Errorf("%s has %d bytes: a key of view %s has at most %d", path, len(key), v.name, maxText)
	case key != "" && key[0] == 0:
		return "", fmt.Errorf("%s begins with a zero byte, which no key of view %s may", path, v.name)
	}
	return key, nil
}

// operand is what the view wants of the row, Null where there is none.
func (e *Emit) operand(row *pipeline.Row, i int) (pipeline.Value, *pipeline.Fault) {
	o, from := &e.view.operands[i], &e.operands[i]
	value := from.value(row)
	if value.Kind == pipeline.Null {
		return value, nil
	}
	if o.label != "" {
		number, ok := probability(value, o.label)
		if !ok {
			return value, e.fault("%s is no prediction of a label and a score, which view %s wants", from.path, e.view.name)
		}
		return pipeline.FloatValue(number), nil
	}
	if _, ok := numberOf(value); o.numeric != "" && !ok {
		return value, e.fault("%s is no number, which %s.%s wants", from.path, e.view.name, o.numeric)
	}
	if o.text {
		text, ok := textOf(value)
		switch {
		case !ok:
			return value, e.fault("%s is neither a text nor a number, which view %s wants", from.path, e.view.name)
		case len(text) > maxText:
			return value, e.fault("%s has %d bytes: a text of view %s has at most %d", from.path, len(text), e.view.name, maxText)
		}
	}
	return value, nil
}

// probability of one of two labels.
func probability(v pipeline.Value, label string) (float64, bool) {
	is, ok := v.Lookup("label")
	score, scored := v.Lookup("score")
	number, numeric := numberOf(score)
	switch {
	case !ok || !scored || is.Kind != pipeline.String || !numeric:
		return 0, false
	case is.Str == label:
		return number, true
	default:
		return 1 - number, true
	}
}

// find says where the value at a path is: a column of an earlier prediction or lookup, or of the event, whose decoder then has to read it.
func find(path string, columns, reads []string) (source, []string) {
	column, rest, _ := strings.Cut(path, ".")
	if slices.Contains(columns, column) {
		return source{path: path, column: column, rest: rest, read: -1}, reads
	}
	at := slices.Index(reads, path)
	if at < 0 {
		at = len(reads)
		reads = append(reads, path)
	}
	return source{path: path, read: at}, reads
}

// value of the source in a row, Null where there is none.
func (s *source) value(row *pipeline.Row) pipeline.Value {
	if s.column == "" {
		if s.read < 0 || s.read >= len(row.Read) {
			return pipeline.Value{}
		}
		return row.Read[s.read]
	}
	for _, prediction := range slices.Backward(row.Predictions) {
		for _, column := range prediction.Columns {
			if column.Name == s.column {
				return inside(column.Value, s.rest)
			}
		}
	}
	for _, feature := range row.Features {
		if feature.Name == s.column {
			return inside(feature.Value, s.rest)
		}
	}
	return pipeline.Value{}
}

// inside follows a path into an object.
func inside(v pipeline.Value, path string) pipeline.Value {
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, ".")
		v, _ = v.Lookup(name)
	}
	return v
}

func (e *Emit) fault(format string, args ...any) *pipeline.Fault {
	return pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageAggregate, format, args...)
}
