package features

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nearline/pipeline"
)

// bounded is a table of a view that takes so many keys, in so many partitions.
func bounded(topic *statesTopic, keys, partitions int, ttl time.Duration) *Table {
	view := NewView(ViewConfig{Name: "item", Key: "id", TTL: ttl, MaxKeys: keys, Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}})
	table := NewTable(view, "states", "0", topic.restore, slog.New(slog.DiscardHandler), nil)
	table.Partitions(partitions)
	return table
}

// cycle runs the updates, and returns the outputs and the rows that were refused.
func cycle(t *testing.T, table *Table, updates ...keyed) (outputs []pipeline.Output, refused []int) {
	t.Helper()
	rows := make([]*pipeline.Row, len(updates))
	for i, u := range updates {
		rows[i] = u.row()
	}
	if err := table.Run(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	outputs, err := table.Changes()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if row.Fault != nil {
			refused = append(refused, i)
		}
	}
	return outputs, refused
}

func TestAFullViewRefusesNewKeysAndGoesOnWithKnownOnes(t *testing.T) {
	topic := &statesTopic{}
	table := bounded(topic, 6, 2, 0) // three keys a partition
	rows := make([]*pipeline.Row, 0, 7)
	for _, key := range []string{"a", "b", "c", "d", "a", "e", "c"} {
		rows = append(rows, keyed{key, 1_000}.row())
	}
	if err := table.Run(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if want := i == 3 || i == 5; (row.Fault != nil) != want {
			t.Fatalf("update %d has the fault %v, want one: %t", i, row.Fault, want)
		}
	}
	fault := rows[3].Fault
	if fault.Class != pipeline.ClassFull || fault.Stage != pipeline.StageAggregate {
		t.Errorf("the dead letter is of class %s at %s, want full at aggregate", fault.Class, fault.Stage)
	}
	for _, want := range []string{"view item is full", "partition 0", "3 keys of 6, among 2 partitions", "max_keys", "ttl", "dlq replay"} {
		if !strings.Contains(fault.Cause, want) {
			t.Errorf("%q is missing in the cause: %s", want, fault.Cause)
		}
	}
	outputs, err := table.Changes()
	if err != nil {
		t.Fatal(err)
	}
	topic.publish(outputs)
	table.Keep()
	states, _ := topic.states(t, table.view)
	got := map[string]int64{}
	for key, s := range states {
		got[key] = table.view.Values(s, s.At)[0].Value.Int
	}
	if want := map[string]int64{"a": 2, "b": 1, "c": 2}; !maps.Equal(got, want) {
		t.Errorf("it has counted %v, want %v", got, want)
	}
	// Whoever takes the partition over refuses the same, and another partition has room of its own.
	heir := bounded(topic, 6, 2, 0)
	if _, refused := cycle(t, heir, keyed{"d", 2_000}, keyed{"b", 2_000}); !slices.Equal(refused, []int{0}) {
		t.Errorf("after a take-over updates %v were refused, want the first", refused)
	}
	other := keyed{"d", 2_000}.row()
	other.Record.Partition = 1
	heir.restore = func(context.Context, int32, int64, func(key, value []byte) error) (int64, error) { return 1, nil }
	if err := heir.Run(t.Context(), []*pipeline.Row{other}); err != nil || other.Fault != nil {
		t.Errorf("the other partition refuses a key: %v, %v", err, other.Fault)
	}
}

func TestExpiredKeysMakeRoomAndRefusedOnesDoNotMoveTheClock(t *testing.T) {
	ttl := testTTL.Milliseconds()
	topic := &statesTopic{}
	table := bounded(topic, 2, 1, testTTL)
	do := func(want []int, updates ...keyed) {
		t.Helper()
		outputs, refused := cycle(t, table, updates...)
		if !slices.Equal(refused, want) {
			t.Fatalf("updates %v were refused, want %v", refused, want)
		}
		topic.publish(outputs)
		table.Keep()
	}
	do(nil, keyed{"a", 1_000}, keyed{"b", 2_000})
	do([]int{0, 1}, keyed{"c", 1_000 + ttl}, keyed{"d", 1_500})
	// "a" has expired by the time of this one, which has its room; then there is none until "b" has.
	do([]int{1}, keyed{"c", 1_001 + ttl}, keyed{"d", 2_000 + ttl}, keyed{"d", 2_001 + ttl}, keyed{"c", 2_002 + ttl})
	// Too late to be kept: no dead letter, and no state.
	do(nil, keyed{"late", 5})
	states, _ := topic.states(t, table.view)
	if got := slices.Sorted(maps.Keys(states)); !slices.Equal(got, []string{"c", "d"}) || table.held() != 2 {
		t.Errorf("the topic has %v and the table %d keys, want c and d", got, table.held())
	}
}

// Whatever cycles the updates come in, which of them are taken back, and who holds the partition when: which updates are refused, and what is left, depends
// on the updates of the partition alone. And what a table holds is bounded all along.
func TestWhichKeysAreRefusedDependsOnTheirPartitionAlone(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 2))
		ttl := testTTL
		if seed%4 == 3 {
			ttl = 0
		}
		const most = 12
		updates, now := make([]keyed, 800), int64(1_800_000_000_000)
		for i := range updates {
			now += rng.Int64N(4_000)
			updates[i] = keyed{fmt.Sprint("k", rng.IntN(60)), now - rng.Int64N(2)*rng.Int64N(90_000)}
		}
		// A naive computation, update by update.
		type known struct{ n, latest int64 }
		keys, latest, want := map[string]known{}, int64(0), []int(nil)
		for i, u := range updates {
			clock := max(latest, u.at)
			live := func(k known) bool { return ttl == 0 || clock-k.latest <= ttl.Milliseconds() }
			others := 0
			for key, k := range keys {
				if key != u.key && live(k) {
					others++
				}
			}
			k, is := keys[u.key]
			switch {
			case is && live(k):
			case !live(known{latest: u.at}):
				delete(keys, u.key)
				continue
			case others >= most:
				want = append(want, i)
				continue
			default:
				k = known{}
			}
			keys[u.key], latest = known{k.n + 1, max(k.latest, u.at)}, clock
		}
		if len(want) < 50 {
			t.Fatalf("seed %d: only %d updates are refused: nothing is shown", seed, len(want))
		}
		topic := &statesTopic{}
		table := bounded(topic, most, 1, ttl)
		var got []int
		for done := 0; done < len(updates); {
			next := min(done+1+rng.IntN(30), len(updates))
			outputs, refused := cycle(t, table, updates[done:next]...)
			switch rng.IntN(4) {
			case 0:
				table.Drop()
				continue
			case 1:
				topic.publish(outputs)
				table = bounded(topic, most, 1, ttl)
			default:
				topic.publish(outputs)
				table.Keep()
			}
			if held := table.held(); held > most+30 {
				t.Fatalf("seed %d: the table holds %d keys, want at most %d and those of a cycle", seed, held, most)
			}
			for _, i := range refused {
				got = append(got, done+i)
			}
			done = next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: refused were %v, want %v", seed, got, want)
		}
		states, _ := topic.states(t, table.view)
		for key, k := range keys {
			expired := ttl > 0 && latest-k.latest > ttl.Milliseconds()
			switch s := states[key]; {
			case s == nil && !expired:
				t.Fatalf("seed %d: %s is gone", seed, key)
			case s != nil && (table.view.Values(s, s.At)[0].Value.Int != k.n || s.At != k.latest):
				t.Fatalf("seed %d: %s has %v of %d, want %v", seed, key, table.view.Values(s, s.At), s.At, k)
			}
		}
	}
}

// Updates that come too late for their key to be kept are no way around the bound.
func TestLateUpdatesOfNewKeysDoNotFillTheTable(t *testing.T) {
	topic := &statesTopic{}
	table := bounded(topic, 10, 1, testTTL)
	now := int64(1_800_000_000_000)
	for i := range 50 {
		updates := []keyed{{"fresh", now}}
		for j := range 100 {
			updates = append(updates, keyed{fmt.Sprint("late", i, "-", j), now - 2*testTTL.Milliseconds()})
		}
		outputs, refused := cycle(t, table, updates...)
		if len(refused) > 0 || len(outputs) != 1 {
			t.Fatalf("%d updates were refused and %d records published, want none and the state of the one key", len(refused), len(outputs))
		}
		topic.publish(outputs)
		table.Keep()
	}
	if held := table.held(); held != 1 {
		t.Errorf("the table holds %d keys, want 1", held)
	}
}
