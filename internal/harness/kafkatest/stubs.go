//go:build synctests

package kafkatest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"nearline/pipeline"
)

// Headers that the stub builder writes.
const (
	headerNumber = "n"
	headerSource = "source"
	headerClass  = "class"
	headerCause  = "cause"
	headerTry    = "attempt"
)

// Decoder reads what loads write.
type Decoder struct{}

// Decode implements pipeline.Decoder.
func (Decoder) Decode(record *pipeline.Record) (*pipeline.Row, *pipeline.Fault) {
	if kindOf(record.Value) == Poison {
		return nil, pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode, "poison at %v", record.Coordinates())
	}
	return &pipeline.Row{Text: string(record.Value)}, nil
}

// Programs hand out one that takes what loads write through the steps.
func Programs(steps ...pipeline.Step) *pipeline.Programs {
	return pipeline.NewPrograms(&pipeline.Program{Decoder: Decoder{}, Steps: steps})
}

// Always is the same builder, of whatever program.
func Always(b pipeline.Builder) func(*pipeline.Program) pipeline.Builder {
	return func(*pipeline.Program) pipeline.Builder { return b }
}

// Model is a step that takes its time. Safe for concurrent use.
type Model struct {
	// Takes is how long a run over n rows takes; nil takes no time.
	Takes func(n int) time.Duration
	// Fails, if set, is asked before every run.
	Fails func(run int) error
	// Dies ends the process, for a record of kind Deadly. The run does not come back from it.
	Dies func()

	mu   sync.Mutex // guards all below
	runs int
	rows int
	seen [][]int // the numbers of each run
}

// Name implements pipeline.Step.
func (m *Model) Name() string { return "predict stub" }

// Run implements pipeline.Step.
func (m *Model) Run(ctx context.Context, rows []*pipeline.Row) error {
	m.mu.Lock()
	run := m.runs
	m.runs++
	numbers := make([]int, len(rows))
	for i, row := range rows {
		numbers[i] = number(row.Record)
	}
	m.seen = append(m.seen, numbers)
	m.mu.Unlock()
	if m.Fails != nil {
		if err := m.Fails(run); err != nil {
			return err
		}
	}
	if m.Takes != nil {
		timer := time.NewTimer(m.Takes(len(rows)))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for _, row := range rows {
		if kindOf(row.Record.Value) == Deadly {
			m.Dies()
			<-ctx.Done()
			return context.Cause(ctx)
		}
		if kindOf(row.Record.Value) == Guilty {
			row.Fault = pipeline.Faultf(pipeline.ClassModel, pipeline.StagePredict, "the model chokes on it")
			continue
		}
		row.Predictions = append(row.Predictions, pipeline.Prediction{Model: "stub", Version: 1, At: time.Now()})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows += len(rows)
	return nil
}

// Runs so far, and the rows in those that ended well.
func (m *Model) Runs() (runs, rows int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs, m.rows
}

// Seen are the numbers of the records in each run.
func (m *Model) Seen() [][]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen)
}

// Builder writes what Check reads.
type Builder struct {
	// TooLarge is how many bytes are added to the result of a record of kind Refused.
	TooLarge int
	// LargeLetters adds them to its dead letter too.
	LargeLetters bool
}

// Result implements pipeline.Builder.
func (b Builder) Result(row *pipeline.Row) (pipeline.Output, *pipeline.Fault) {
	kind := kindOf(row.Record.Value)
	if kind == Unfit {
		return pipeline.Output{}, pipeline.Faultf(pipeline.ClassEncode, pipeline.StageEncode, "does not fit the format")
	}
	if len(row.Predictions) == 0 {
		return pipeline.Output{}, pipeline.Faultf(pipeline.ClassEncode, pipeline.StageEncode, "no prediction: the record passed the model by")
	}
	value := "scored " + string(row.Record.Value)
	if kind == Refused {
		value += filler(b.TooLarge)
	}
	return pipeline.Output{Topic: Output, Key: row.Record.Key, Value: []byte(value), Headers: lineage(row.Record)}, nil
}

// filler of n bytes that no compression makes smaller.
func filler(n int) string {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same bytes every time
	bytes := make([]byte, n)
	for i := range bytes {
		bytes[i] = byte(random.Uint32())
	}
	return string(bytes)
}

// DeadLetter implements pipeline.Builder.
func (b Builder) DeadLetter(record *pipeline.Record, fault *pipeline.Fault, attempt int) pipeline.Output {
	value := record.Value
	if b.LargeLetters && kindOf(value) == Refused {
		value = append(slices.Clip(value), filler(b.TooLarge)...)
	}
	return pipeline.Output{Topic: DeadLetters, Key: record.Key, Value: value, Headers: append(lineage(record),
		pipeline.Header{Key: headerClass, Value: []byte(fault.Class)},
		pipeline.Header{Key: headerCause, Value: []byte(fault.Cause)},
		pipeline.Header{Key: headerTry, Value: strconv.AppendInt(nil, int64(attempt), 10)})}
}

// Tombstone implements pipeline.Builder.
func (Builder) Tombstone(record *pipeline.Record) pipeline.Output {
	return pipeline.Output{Topic: Output, Key: record.Key, Headers: lineage(record)}
}

func lineage(record *pipeline.Record) []pipeline.Header {
	return []pipeline.Header{
		{Key: headerNumber, Value: strconv.AppendInt(nil, int64(number(record)), 10)},
		{Key: headerSource, Value: []byte(record.Coordinates().String())},
	}
}

// number of a record in its load; -1 when it is of none.
func number(record *pipeline.Record) int {
	for _, h := range record.Headers {
		if h.Key == headerNumber {
			if n, err := strconv.Atoi(string(h.Value)); err == nil {
				return n
			}
		}
	}
	return -1
}

// ErrModel is what a Model may fail with.
var ErrModel = errors.Join(errors.New("out of memory"), pipeline.ErrRuntime)
