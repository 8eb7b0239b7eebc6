package features

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"nearline/pipeline"
)

// What a cycle adds that is taken back must not stay: it comes again.
func TestStatesStayAsTheyWereWhenACycleIsTakenBack(t *testing.T) {
	topic := &statesTopic{}
	view := NewView(ViewConfig{Name: "item", Key: "id", Fields: []FieldConfig{
		{Name: "n", Count: &CountConfig{}}, {Name: "last", Last: &LastConfig{Of: "by", N: 3}},
		{Name: "top", Top: &TopConfig{Of: "by", By: Operand{Of: "at"}, N: 3}}, {Name: "people", Distinct: &DistinctConfig{Of: "by"}},
	}})
	table := NewTable(view, "states", "0", topic.restore, slog.New(slog.DiscardHandler), nil)
	cycle := func(by string, at int64) string {
		t.Helper()
		update := Update{At: at, Operands: make([]pipeline.Value, len(view.operands))}
		for i, o := range view.operands {
			if update.Operands[i] = pipeline.StringValue(by); o.of == "at" {
				update.Operands[i] = pipeline.IntValue(at)
			}
		}
		row := &pipeline.Row{Record: &pipeline.Record{Key: []byte("a")}, Read: append([]pipeline.Value{pipeline.IntValue(at)}, update.Operands...)}
		if err := table.Run(t.Context(), []*pipeline.Row{row}); err != nil {
			t.Fatal(err)
		}
		outputs, err := table.Changes()
		if err != nil || len(outputs) != 1 {
			t.Fatalf("got %d states, %v, want one", len(outputs), err)
		}
		return string(outputs[0].Value)
	}
	for i := range int64(5) {
		at := 1000 + i
		once := cycle(fmt.Sprint("user ", i), at)
		table.Drop()
		cycle("somebody else", at+100)
		table.Drop()
		if again := cycle(fmt.Sprint("user ", i), at); again != once {
			t.Errorf("a cycle that was taken back and tried again gives\n%s, want\n%s", again, once)
		}
		table.Keep()
	}
}

// What a partition's other holders committed before it came back must count, even where it was lost again while it was being read.
func TestAPartitionThatIsLostWhileItIsRestoredIsRestoredAgain(t *testing.T) {
	topic := &statesTopic{}
	table := counting(t, topic)
	losing := true
	table.restore = func(ctx context.Context, partition int32, from int64, apply func(key, value []byte) error) (int64, error) {
		next, err := topic.restore(ctx, partition, from, apply)
		if losing {
			table.Lost([]int32{partition})
		}
		return next - 1, err // the fence has no place in this topic
	}
	if _, err := add(t, table, "a"); err != nil {
		t.Fatal(err)
	}
	table.Drop()
	other := counting(t, topic)
	theirs, err := add(t, other, "a", "a", "a")
	if err != nil {
		t.Fatal(err)
	}
	other.Keep()
	topic.publish(theirs)
	losing = false
	outputs, err := add(t, table, "a")
	if err != nil {
		t.Fatal(err)
	}
	wantCount(t, table, outputs, 4)
}

// The latest event of a partition is known after a restore as before, by the states themselves: a late update finds its key as forgotten as it was.
func TestARestoredPartitionKnowsItsLatestEvent(t *testing.T) {
	topic := &statesTopic{}
	cycle := func(table *Table, updates ...keyed) []pipeline.Output {
		t.Helper()
		var rows []*pipeline.Row
		for _, u := range updates {
			rows = append(rows, u.row())
		}
		if err := table.Run(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		outputs, err := table.Changes()
		if err != nil {
			t.Fatal(err)
		}
		return outputs
	}
	const began = 1_800_000_000_000
	ttl := testTTL.Milliseconds()
	first := forgetting(topic)
	topic.publish(cycle(first, keyed{"old", began}))
	first.Keep()
	// The topic still has the old key: the sweep need not have come to it.
	topic.publish(slices.DeleteFunc(cycle(first, keyed{"new", began + ttl + 1}), func(o pipeline.Output) bool { return o.Value == nil }))
	first.Keep()
	heir := forgetting(topic)
	for _, o := range cycle(heir, keyed{"old", began + 1}) {
		if string(o.Key) == "old" && o.Value != nil {
			wantCount(t, heir, []pipeline.Output{o}, 1)
			return
		}
	}
	t.Error("the key that was updated has no state")
}

// noted is a store that notes what is put.
type noted struct{ put []Entry }

func (n *noted) Put(_ context.Context, entries []Entry) (Outcome, error) {
	n.put = append(n.put, entries...)
	return Outcome{}, nil
}
func (n *noted) Get(context.Context, *View, []string) ([]*Entry, error) { return nil, nil }
func (n *noted) Job(context.Context, string) (int64, error)             { return 0, nil }
func (n *noted) Close() error                                           { return nil }

// A helping has several states of a key, and those of several partitions, whose offsets do not compare.
func TestSinkPutsTheLastStateOfEachKeyWithItsPartitionsOffset(t *testing.T) {
	store, view := &noted{}, NewView(ViewConfig{Name: "item", Key: "id", Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}})
	sink := Sink{View: view, Store: store, Source: "topic"}
	state := view.newState()
	record := func(key string, partition int32, offset int64) *pipeline.Record {
		view.add(state, &Update{At: offset})
		value, err := view.encodeState(state)
		if err != nil {
			t.Fatal(err)
		}
		return &pipeline.Record{Key: []byte(key), Value: value, Partition: partition, Offset: offset}
	}
	tombstone := func(key string, partition int32, offset int64) *pipeline.Record {
		return &pipeline.Record{Key: []byte(key), Partition: partition, Offset: offset}
	}
	if err := sink.Apply(t.Context(), []*pipeline.Record{
		record("a", 0, 7), record("b", 1, 3), record("a", 0, 8), tombstone("b", 1, 4), tombstone("c", 0, 9), record("c", 0, 10),
	}); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range store.put {
		n := int64(-1)
		if !e.Deleted {
			n = e.Values[0].Value.Int
		}
		got[e.Key] += fmt.Sprintf("%s at %d, %d", e.Source, e.Offset, n)
	}
	for key, want := range map[string]string{"a": "topic/0 at 8, 3", "b": "topic/1 at 4, -1", "c": "topic/0 at 10, 4"} {
		if got[key] != want {
			t.Errorf("of key %s the store was given %q, want %q", key, got[key], want)
		}
	}
}
