package features

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"nearline/pipeline"
)

const testTTL = time.Minute

func forgetting(topic *statesTopic) *Table {
	view := NewView(ViewConfig{Name: "item", Key: "id", TTL: testTTL, Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}})
	return NewTable(view, "states", "0", topic.restore, slog.New(slog.DiscardHandler), nil)
}

// states that the topic has, and how many tombstones were written to it.
func (s *statesTopic) states(t *testing.T, view *View) (states map[string]*State, tombstones int) {
	t.Helper()
	states = map[string]*State{}
	for _, r := range s.records {
		if r.value == nil {
			delete(states, r.key)
			tombstones++
			continue
		}
		state, _, err := view.DecodeState(r.value)
		if err != nil {
			t.Fatal(err)
		}
		states[r.key] = state
	}
	return states, tombstones
}

type keyed struct {
	key string
	at  int64
}

func (k keyed) row() *pipeline.Row {
	return &pipeline.Row{Record: &pipeline.Record{Key: []byte(k.key)}, Read: []pipeline.Value{pipeline.IntValue(k.at)}}
}

// Whatever cycles the updates come in, which of them are taken back, and who holds the partition when: what a key has depends on the updates
// of its partition alone, and training sees the same.
func TestKeysExpireAsTheUpdatesOfTheirPartitionSay(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		updates, now := make([]keyed, 600), int64(1_800_000_000_000)
		for i := range updates {
			now += rng.Int64N(2_000)
			updates[i] = keyed{fmt.Sprint("k", rng.ExpFloat64()*4)[:2], now - rng.Int64N(2)*rng.Int64N(90_000)} // late ones, too, beyond the ttl
		}
		topic := &statesTopic{}
		table := forgetting(topic)
		for done := 0; done < len(updates); {
			next := min(done+1+rng.IntN(30), len(updates))
			var rows []*pipeline.Row
			for _, u := range updates[done:next] {
				rows = append(rows, u.row())
			}
			if err := table.Run(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
			outputs, err := table.Changes()
			if err != nil {
				t.Fatal(err)
			}
			switch rng.IntN(4) {
			case 0:
				table.Drop() // aborted, and tried again, cut otherwise
				continue
			case 1:
				topic.publish(outputs)
				table = forgetting(topic) // another takes over
			default:
				topic.publish(outputs)
				table.Keep()
			}
			done = next
		}

		type want struct{ n, latest int64 }
		wants, replays, latest, anew := map[string]want{}, map[string]*Replay{}, int64(0), 0
		for _, u := range updates {
			latest = max(latest, u.at)
			w, known := wants[u.key]
			if known && latest-w.latest > testTTL.Milliseconds() {
				w, anew = want{}, anew+1
			}
			wants[u.key] = want{w.n + 1, max(w.latest, u.at)}
			if replays[u.key] == nil {
				replays[u.key] = NewReplay(table.view)
			}
			replays[u.key].Add(&Update{At: u.at}, latest)
		}
		states, tombstones := topic.states(t, table.view)
		for key, w := range wants {
			at := time.UnixMilli(w.latest)
			if values, _ := replays[key].Values(at); values[0].Value.Int != w.n {
				t.Fatalf("seed %d: %s has %d in a replay, want %d", seed, key, values[0].Value.Int, w.n)
			}
			state := states[key]
			if state == nil {
				if latest-w.latest <= testTTL.Milliseconds() {
					t.Fatalf("seed %d: %s is gone after %v", seed, key, time.Duration(latest-w.latest)*time.Millisecond)
				}
				continue
			}
			if got := table.view.Values(state, state.At)[0].Value.Int; got != w.n || state.At != w.latest {
				t.Fatalf("seed %d: %s has %d as of %d, want %d as of %d", seed, key, got, state.At, w.n, w.latest)
			}
		}
		if anew == 0 || tombstones == 0 {
			t.Fatalf("seed %d: %d keys began anew, %d were forgotten: nothing was shown", seed, anew, tombstones)
		}
	}
}

// A ttl that is declared later has many keys to forget at once.
func TestManyKeysAreForgottenInSeveralCycles(t *testing.T) {
	topic := &statesTopic{}
	table := forgetting(topic)
	const keys = 2*mostExpired + 500
	rows := make([]*pipeline.Row, keys)
	for i := range rows {
		rows[i] = keyed{fmt.Sprint("old", i), 1_000}.row()
	}
	later := 1_001 + testTTL.Milliseconds()
	for cycle, want := range []int{keys, keys - mostExpired + 1, keys - 2*mostExpired + 1, 1, 1} {
		if cycle > 0 {
			rows = []*pipeline.Row{keyed{"new", later}.row()}
		}
		if err := table.Run(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		outputs, err := table.Changes()
		if err != nil {
			t.Fatal(err)
		}
		topic.publish(outputs)
		table.Keep()
		states, _ := topic.states(t, table.view)
		if held := table.held(); len(states) != want || held != want {
			t.Errorf("cycle %d: the topic has %d keys and the table %d, want %d", cycle, len(states), held, want)
		}
	}
}

// The clock of who wrote a record may be ahead by a little, but keys are not forgotten for that.
func TestAClockThatIsAheadForgetsNothing(t *testing.T) {
	for _, ttl := range []time.Duration{0, testTTL} {
		view := NewView(ViewConfig{Name: "item", Key: "id", TTL: ttl, Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}})
		emit, _, err := NewEmit(view, "updates", nil, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		written := time.Now().Add(maxAhead - time.Minute)
		row := &pipeline.Row{Record: &pipeline.Record{Timestamp: written}, Read: []pipeline.Value{pipeline.StringValue("a")}}
		if fault := emit.emit(row); fault != nil {
			t.Fatal(fault)
		}
		update, fault := view.DecodeUpdate(&pipeline.Record{Key: []byte("a"), Value: row.Beside[0].Value})
		if fault != nil {
			t.Fatal(fault)
		}
		if ahead := update.At > time.Now().UnixMilli(); ahead != (ttl == 0) {
			t.Errorf("with a ttl of %v the update is of %v, it is %v now", ttl, time.UnixMilli(update.At), time.Now())
		}
	}
}

func TestLookupsHaveNothingOfAKeyThatShouldBeGone(t *testing.T) {
	view := NewView(ViewConfig{Name: "item", Key: "id", TTL: testTTL, Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}})
	replay := NewReplay(view)
	replay.Add(&Update{At: 1_000}, 1_000)
	if values, _ := replay.Values(time.UnixMilli(1_000).Add(testTTL)); values[0].Value.Int != 1 {
		t.Errorf("got %v within the ttl, want the event", values)
	}
	if values, latest := replay.Values(time.UnixMilli(1_001).Add(testTTL)); values[0].Value.Int != 0 || !latest.IsZero() {
		t.Errorf("got %v of %v after the ttl, want the default: no event of others came to have it forgotten", values, latest)
	}
}
