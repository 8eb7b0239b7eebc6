package features

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"nearline/pipeline"
)

// topic of states that a test writes by hand, with one partition.
type statesTopic struct {
	records []struct {
		key   string
		value []byte
	}
	err  error
	from []int64 // that was asked for
}

func (s *statesTopic) publish(outputs []pipeline.Output) {
	for _, o := range outputs {
		s.records = append(s.records, struct {
			key   string
			value []byte
		}{string(o.Key), o.Value})
	}
}

func (s *statesTopic) restore(_ context.Context, _ int32, from int64, apply func(key, value []byte) error) (int64, error) {
	s.from = append(s.from, from)
	if s.err != nil {
		return 0, s.err
	}
	for i, r := range s.records {
		if int64(i) >= from {
			if err := apply([]byte(r.key), r.value); err != nil {
				return 0, err
			}
		}
	}
	return int64(len(s.records)) + 1, nil
}

func counting(t *testing.T, topic *statesTopic) *Table {
	t.Helper()
	view := NewView(ViewConfig{Name: "item", Key: "id", Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}, {Name: "lately", Count: &CountConfig{HalfLife: time.Hour}}}})
	return NewTable(view, "states", "0", topic.restore, slog.New(slog.DiscardHandler), nil)
}

// add updates of keys, and return the count of the last as it is published.
func add(t *testing.T, table *Table, keys ...string) ([]pipeline.Output, error) {
	t.Helper()
	rows := make([]*pipeline.Row, len(keys))
	for i, key := range keys {
		rows[i] = &pipeline.Row{Record: &pipeline.Record{Key: []byte(key)}, Read: []pipeline.Value{pipeline.IntValue(1000)}}
	}
	if err := table.Run(t.Context(), rows); err != nil {
		return nil, err
	}
	outputs, err := table.Changes()
	if err != nil {
		t.Fatal(err)
	}
	return outputs, nil
}

func wantCount(t *testing.T, table *Table, outputs []pipeline.Output, want int64) {
	t.Helper()
	state, _, err := table.view.DecodeState(outputs[len(outputs)-1].Value)
	if err != nil {
		t.Fatal(err)
	}
	if got := table.view.Values(state, state.At)[0].Value.Int; got != want {
		t.Errorf("it counts %d, want %d", got, want)
	}
}

func TestTableCountsOnFromWhatIsCommitted(t *testing.T) {
	topic := &statesTopic{}
	table := counting(t, topic)
	first, err := add(t, table, "a", "a", "b", "a")
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 2 {
		t.Fatalf("two keys have %d states", len(first))
	}
	table.Drop()
	second, _ := add(t, table, "a")
	wantCount(t, table, second, 1)
	table.Keep()
	topic.publish(second)
	third, _ := add(t, table, "a")
	wantCount(t, table, third, 2)
	table.Drop()

	// Another member counts meanwhile.
	table.Lost([]int32{0})
	other := counting(t, topic)
	theirs, _ := add(t, other, "a", "a", "a")
	wantCount(t, other, theirs, 4)
	other.Keep()
	topic.publish(theirs)
	fourth, _ := add(t, table, "a")
	wantCount(t, table, fourth, 5)
	if len(topic.from) != 3 || topic.from[2] == 0 {
		t.Errorf("states were read from %v, want the last time from where they were read before", topic.from)
	}
}

// A replica that is given many partitions has them all sooner.
func TestPartitionsOfACycleAreRestoredTogether(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	topic := &statesTopic{}
	table := counting(t, topic)
	var both sync.WaitGroup
	both.Add(2)
	table.restore = func(ctx context.Context, partition int32, _ int64, apply func(key, value []byte) error) (int64, error) {
		both.Done()
		met := make(chan struct{})
		go func() { both.Wait(); close(met) }()
		select {
		case <-met:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		state := table.view.newState()
		for range partition + 1 {
			table.view.add(state, &Update{At: 1000})
		}
		value, err := table.view.encodeState(state)
		if err != nil {
			return 0, err
		}
		return 7, apply([]byte("a"), value)
	}
	var rows []*pipeline.Row
	for p := range int32(2) {
		for range 3 {
			rows = append(rows, &pipeline.Row{Record: &pipeline.Record{Partition: p, Key: []byte("a")}, Read: []pipeline.Value{pipeline.IntValue(1000)}})
		}
	}
	if err := table.Run(ctx, rows); err != nil {
		t.Fatal(err)
	}
	outputs, err := table.Changes()
	if err != nil || len(outputs) != 2 {
		t.Fatalf("got %d states, %v, want one of each partition", len(outputs), err)
	}
	wantCount(t, table, outputs[:1], 4)
	wantCount(t, table, outputs[1:], 5)
}

func TestTableTriesARestoreAgain(t *testing.T) {
	topic := &statesTopic{err: errors.New("broker gone")}
	table := counting(t, topic)
	if _, err := add(t, table, "a"); !errors.Is(err, topic.err) {
		t.Fatalf("got %v, want the topic's error", err)
	}
	topic.err = nil
	outputs, err := add(t, table, "a")
	if err != nil {
		t.Fatal(err)
	}
	wantCount(t, table, outputs, 1)
}

func TestTableBeginsAnewWithItsTopic(t *testing.T) {
	topic := &statesTopic{}
	table := counting(t, topic)
	for range 3 {
		outputs, _ := add(t, table, "a")
		table.Keep()
		topic.publish(outputs)
		table.Forget()
	}
	topic.records = nil
	if _, err := add(t, table, "a"); err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Fatalf("got %v, want that the topic was made anew", err)
	}
	outputs, err := add(t, table, "a")
	if err != nil {
		t.Fatal(err)
	}
	wantCount(t, table, outputs, 1)
}

func TestAStateThatCannotBeReadStopsItsOwnKeyAlone(t *testing.T) {
	topic := &statesTopic{}
	good, _ := add(t, counting(t, topic), "good", "good")
	topic.publish(good)
	topic.publish([]pipeline.Output{{Key: []byte("theirs"), Value: []byte(`{"at":1,"fields":{"n#`)}, {Key: []byte("mended"), Value: []byte(`x`)}})
	topic.publish([]pipeline.Output{{Key: []byte("mended"), Value: good[0].Value}})

	var log strings.Builder
	table := counting(t, topic)
	table.logger = slog.New(slog.NewTextHandler(&log, nil))
	rows := make([]*pipeline.Row, 4)
	for i, key := range []string{"good", "theirs", "mended", "theirs"} {
		rows[i] = &pipeline.Row{Record: &pipeline.Record{Key: []byte(key)}, Read: []pipeline.Value{pipeline.IntValue(1000)}}
	}
	if err := table.Run(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if bad := i == 1 || i == 3; bad != (row.Fault != nil) || bad && !strings.Contains(row.Fault.Cause, `key "theirs" in states cannot be read`) {
			t.Errorf("row %d has the fault %v", i, row.Fault)
		}
	}
	outputs, err := table.Changes()
	if err != nil || len(outputs) != 2 || string(outputs[0].Key) != "good" || string(outputs[1].Key) != "mended" {
		t.Fatalf("got the states %v and %v, want those of the two other keys, and none that begins anew", outputs, err)
	}
	wantCount(t, table, outputs, 3)
	if said := log.String(); strings.Count(said, "level=ERROR") != 1 || !strings.Contains(said, "key=theirs") || !strings.Contains(said, "tombstone") {
		t.Errorf("the log has %q, want one error of the key, with the remedy", said)
	}

	// With a tombstone, somebody has said so.
	topic.publish([]pipeline.Output{{Key: []byte("in the fence's place"), Value: good[0].Value}, {Key: []byte("theirs")}})
	table.Forget()
	anew, err := add(t, table, "theirs")
	if err != nil {
		t.Fatal(err)
	}
	wantCount(t, table, anew, 1)
}

func TestManyStatesThatCannotBeReadAreAPermanentFault(t *testing.T) {
	topic := &statesTopic{}
	for i := range maxBad + 1 {
		topic.publish([]pipeline.Output{{Key: fmt.Appendf(nil, "key-%d", i), Value: []byte(`{"at":1,"fields":{"n#`)}})
	}
	if _, err := add(t, counting(t, topic), "a"); pipeline.Assign(err) != pipeline.BlamePermanent || !strings.Contains(err.Error(), `"key-100"`) {
		t.Errorf("got %v, blamed on %v, want a permanent fault that names a key", err, pipeline.Assign(err))
	}
}

func TestTimesAtTheEndsOfTimeDoNotSpoilAState(t *testing.T) {
	view := NewView(shop())
	state := view.newState()
	for _, at := range []int64{lastMilli, firstMilli, 0, lastMilli, firstMilli} {
		view.add(state, view.updateOf(event{at: at, kind: "view", user: "u", review: "r", valued: true, judged: true, helped: true}))
	}
	written, err := view.encodeState(state)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := view.DecodeState(written); err != nil {
		t.Errorf("%s cannot be read: %v", written, err)
	}
	for _, at := range []string{"9000000000000000000", "-9000000000000000000", "253402300800000"} {
		if _, err := view.ParseUpdate([]byte(`{"at":` + at + `,"of":{}}`)); err == nil {
			t.Errorf("an update of the time %s was taken", at)
		}
	}
}
