package features

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nearline/pipeline"
)

// Emit is the step of a pipeline that says what each of its events means for a view: one update beside the row's result, keyed as the view
// is. An event without the key means nothing for the view, and goes on all the same; one whose values are of a kind that the view
// cannot take becomes a dead letter.
type Emit struct {
	view     *View
	topic    string
	key      pipeline.Path
	time     pipeline.Path // nowhere where the record's timestamp is meant
	operands []pipeline.Path
	metrics  *Metrics
}

var _ pipeline.Step = (*Emit)(nil)

// maxUpdate is how many bytes an update may have, key and value together; it is far below what any topic takes.
const maxUpdate = 64 << 10

// NewEmit makes the step. Paths gives the view's paths others in these events, from the view's to the event's. Columns are those of the
// predictions before the step, reads what earlier steps want the decoder to read. It returns those with the step's own added.
func NewEmit(view *View, topic string, paths map[string]string, columns []string, reads []string, metrics *Metrics) (*Emit, []string, error) {
	e := &Emit{view: view, topic: topic, metrics: metrics}
	used := map[string]bool{}
	var clashes []error
	locate := func(path string) (found pipeline.Path) {
		if path == "" {
			return found
		}
		used[path] = true
		if other, ok := paths[path]; ok {
			path = other
		}
		found, reads = pipeline.FindPath(path, columns, reads)
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
	key, err := e.view.KeyOf(e.key.Value(row), e.key.String())
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
	if at := e.time.Value(row); at.Kind != pipeline.Null {
		said, err := e.view.TimeOf(at, e.time.String())
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
	key, ok := value.Text()
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
	value := from.Value(row)
	if value.Kind == pipeline.Null {
		return value, nil
	}
	if o.label != "" {
		number, ok := value.Probability(o.label)
		if !ok {
			return value, e.fault("%s is no prediction of a label and a score, which view %s wants", from, e.view.name)
		}
		return pipeline.FloatValue(number), nil
	}
	if _, ok := value.Number(); o.numeric != "" && !ok {
		return value, e.fault("%s is no number, which %s.%s wants", from, e.view.name, o.numeric)
	}
	if o.text {
		text, ok := value.Text()
		switch {
		case !ok:
			return value, e.fault("%s is neither a text nor a number, which view %s wants", from, e.view.name)
		case len(text) > maxText:
			return value, e.fault("%s has %d bytes: a text of view %s has at most %d", from, len(text), e.view.name, maxText)
		}
	}
	return value, nil
}

func (e *Emit) fault(format string, args ...any) *pipeline.Fault {
	return pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageAggregate, format, args...)
}
