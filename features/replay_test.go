package features

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"nearline/pipeline"
)

func TestReplayHasWhatAStoreWouldHave(t *testing.T) {
	view := NewView(shop())
	rng := rand.New(rand.NewPCG(3, 1))
	replay := NewReplay(view)
	if values, latest := replay.Values(time.UnixMilli(1)); !latest.IsZero() || !reflect.DeepEqual(values, view.Defaults()) {
		t.Errorf("before the first update: got %v of %v, want the defaults of no time", values, latest)
	}
	state := view.newState()
	for _, e := range randomEvents(rng, 300) {
		// Through the bytes of both topics, as online.
		written := view.appendUpdate(nil, view.updateOf(e))
		update, fault := view.DecodeUpdate(&pipeline.Record{Key: []byte("kettle"), Value: written})
		if fault != nil {
			t.Fatal(fault)
		}
		replay.Add(update, update.At)
		view.add(state, update)
		encoded, err := view.encodeState(state)
		if err != nil {
			t.Fatal(err)
		}
		if state, _, err = view.DecodeState(encoded); err != nil {
			t.Fatal(err)
		}
		now := time.UnixMilli(state.At + rng.Int64N(100_000))
		want := (&Entry{At: state.At, Values: view.Values(state, state.At)}).Now(view, now)
		if got, latest := replay.Values(now); !reflect.DeepEqual(got, want) || latest.UnixMilli() != state.At {
			t.Fatalf("got %v of %v, want %v of %v", got, latest, want, state.At)
		}
	}
}

func TestReplayOfWhatIsTooOldHasDefaults(t *testing.T) {
	declared := shop()
	declared.MaxAge = time.Hour
	view := NewView(declared)
	replay := NewReplay(view)
	replay.Add(view.updateOf(event{at: 1_800_000_000_000, user: "u"}), 1_800_000_000_000)
	at := time.UnixMilli(1_800_000_000_000)
	if values, latest := replay.Values(at.Add(time.Hour)); values[0].Value.Int != 1 || !latest.Equal(at) {
		t.Errorf("an hour later: got %v of %v, want one review", values[0], latest)
	}
	if values, latest := replay.Values(at.Add(time.Hour + time.Millisecond)); values[0].Value.Int != 0 || !latest.IsZero() {
		t.Errorf("after more than an hour: got %v of %v, want the default", values[0], latest)
	}
}

func TestUpdatesOfAFutureTellOfIt(t *testing.T) {
	view := NewView(ViewConfig{Name: "v", Key: "k", Time: "t", Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}})
	emit, reads, err := NewEmit(view, "updates", nil, nil, nil, nil)
	if err != nil || len(reads) != 2 {
		t.Fatalf("got %v, %v, want an emit of two values", reads, err)
	}
	for _, c := range []struct{ said, want string }{
		{"2020-01-01T00:00:04Z", `{"at":1577836804000,"of":{}}`},
		{"2020-01-01T00:00:05Z", `{"at":1577836805000,"of":{}}`},
		{"2020-01-01T00:00:06.5Z", `{"at":1577836805000,"said":1577836806500,"of":{}}`},
	} {
		r := &pipeline.Row{Record: &pipeline.Record{Timestamp: time.UnixMilli(1577836805000)}, Read: []pipeline.Value{pipeline.StringValue("a"), pipeline.StringValue(c.said)}}
		if fault := emit.emit(r); fault != nil || string(r.Beside[0].Value) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.said, r.Beside[0].Value, fault, c.want)
			continue
		}
		update, fault := view.DecodeUpdate(&pipeline.Record{Key: []byte("a"), Value: r.Beside[0].Value})
		if fault != nil || update.At > 1577836805000 || (update.Said == 1577836806500) != strings.Contains(c.want, "said") {
			t.Errorf("%s: got %+v, %v", c.want, update, fault)
		}
	}
}
