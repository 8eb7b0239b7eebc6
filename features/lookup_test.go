package features

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/pipeline"
)

// shelf is a store that a test can hurt.
type shelf struct {
	entries map[string]*Entry
	asked   [][]string
	err     error
	slow    bool
	outcome Outcome         // of puts
	log     strings.Builder // of the finder
}

func (s *shelf) Put(context.Context, []Entry) (Outcome, error) { return s.outcome, nil }
func (s *shelf) Job(context.Context, string) (int64, error)    { return 1, nil }
func (s *shelf) Close() error                                  { return nil }

func (s *shelf) Get(ctx context.Context, _ *View, keys []string) ([]*Entry, error) {
	s.asked = append(s.asked, slices.Clone(keys))
	if s.slow {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if s.err != nil {
		return nil, s.err
	}
	found := make([]*Entry, len(keys))
	for i, key := range keys {
		found[i] = s.entries[key]
	}
	return found, nil
}

func (s *shelf) have(view *View, key string, n int, at time.Time) {
	state := view.newState()
	for range n {
		view.add(state, &Update{At: at.UnixMilli(), Operands: make([]pipeline.Value, len(view.operands))})
	}
	s.entries[key] = &Entry{View: view.name, Key: key, At: at.UnixMilli(), Values: view.Values(state, at.UnixMilli())}
}

// inShelf runs a test in virtual time, with a step that looks up the view counts of a store.
func inShelf(t *testing.T, wait bool, f func(s *shelf, view *View, look func(keys ...string) ([]string, error))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		view := NewView(ViewConfig{Name: "item", Key: "item_id", MaxAge: 24 * time.Hour, Fields: []FieldConfig{
			{Name: "n", Count: &CountConfig{}}, {Name: "lately", Count: &CountConfig{HalfLife: time.Hour}},
		}})
		s := &shelf{entries: map[string]*Entry{}}
		config := DefaultLookup()
		if err := config.Validate("lookup"); err != nil {
			t.Fatal(err)
		}
		finder, err := NewFinder(view, s, config, slog.New(slog.NewTextHandler(&s.log, nil)), nil)
		if err != nil {
			t.Fatal(err)
		}
		step, reads, err := NewLookup([]ViewLookup{{Finder: finder}}, wait, nil, nil)
		if err != nil || !slices.Equal(reads, []string{"item_id"}) {
			t.Fatalf("got %v and reads %v, want item_id", err, reads)
		}
		// look returns for each row the count and the freshness, such as "3 fresh".
		f(s, view, func(keys ...string) ([]string, error) {
			rows := make([]*pipeline.Row, len(keys))
			for i, key := range keys {
				rows[i] = &pipeline.Row{Record: &pipeline.Record{}, Read: []pipeline.Value{{}}}
				if key != "" {
					rows[i].Read[0] = pipeline.StringValue(key)
				}
			}
			if err := step.Run(t.Context(), rows); err != nil {
				return nil, err
			}
			var out []string
			for _, row := range rows {
				n, _ := row.Features[0].Value.Lookup("n")
				out = append(out, fmt.Sprint(n.Int, " ", row.Features[1].Value.Str))
			}
			return out, nil
		})
	})
}

func wantLooked(t *testing.T, got []string, err error, want ...string) {
	t.Helper()
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
}

func TestLookupAsksForEachKeyOfACycleOnce(t *testing.T) {
	inShelf(t, false, func(s *shelf, view *View, look func(...string) ([]string, error)) {
		s.have(view, "a", 3, time.Now())
		got, err := look("a", "b", "a", "", "b", "a")
		wantLooked(t, got, err, "3 fresh", "0 default", "3 fresh", "0 default", "0 default", "3 fresh")
		if len(s.asked) != 1 || !slices.Equal(s.asked[0], []string{"a", "b"}) {
			t.Errorf("the store was asked %v, want once for a and b", s.asked)
		}
	})
}

func TestLookupRemembersWhatIsFreshAndThatThereIsNothing(t *testing.T) {
	inShelf(t, false, func(s *shelf, view *View, look func(...string) ([]string, error)) {
		s.have(view, "a", 1, time.Now())
		_, _ = look("a", "b")
		s.have(view, "a", 2, time.Now())
		s.have(view, "b", 2, time.Now())
		time.Sleep(time.Second)
		got, err := look("a", "b")
		wantLooked(t, got, err, "1 fresh", "0 default")
		time.Sleep(time.Millisecond)
		got, err = look("a", "b")
		wantLooked(t, got, err, "2 fresh", "2 fresh")
		if len(s.asked) != 2 {
			t.Errorf("the store was asked %d times, want 2", len(s.asked))
		}
	})
}

func TestLookupGoesOnWithoutItsStore(t *testing.T) {
	for _, c := range []struct {
		name string
		hurt func(*shelf)
		why  string
	}{
		{"down", func(s *shelf) { s.err = errors.New("connection refused") }, "connection refused"},
		{"slow", func(s *shelf) { s.slow = true }, context.DeadlineExceeded.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			inShelf(t, false, func(s *shelf, view *View, look func(...string) ([]string, error)) {
				s.have(view, "a", 1, time.Now())
				_, _ = look("a")
				c.hurt(s)
				time.Sleep(2 * time.Second)
				began := time.Now()
				got, err := look("a", "new")
				wantLooked(t, got, err, "1 stale", "0 default")
				if took := time.Since(began); took > DefaultLookup().Deadline {
					t.Errorf("it took %v, want at most the deadline", took)
				}
				for range 20 {
					_, _ = look("a")
				}
				if n := len(s.asked); n != 1+DefaultLookup().TripAfter {
					t.Errorf("the store was asked %d times, want once and then until the breaker opens", n)
				}
				if log := s.log.String(); strings.Count(log, "does not answer") != 1 || !strings.Contains(log, c.why) {
					t.Errorf("the log has %s, want once that the store does not answer, and why: %s", log, c.why)
				}
				time.Sleep(DefaultLookup().StaleFor)
				got, err = look("a")
				wantLooked(t, got, err, "0 default")
				s.err, s.slow = nil, false
				s.have(view, "a", 7, time.Now())
				time.Sleep(DefaultLookup().RetryAfter + time.Millisecond)
				got, err = look("a")
				wantLooked(t, got, err, "7 fresh")
			})
		})
	}
}

func TestLookupWaitsForItsStoreWhereItIsToldTo(t *testing.T) {
	inShelf(t, true, func(s *shelf, view *View, look func(...string) ([]string, error)) {
		s.have(view, "a", 1, time.Now())
		s.err = errors.New("connection refused")
		for range 10 {
			if _, err := look("a"); pipeline.Assign(err) != pipeline.BlameRuntime || !errors.Is(err, s.err) {
				t.Fatalf("got %v, blamed on %v, want the store's error, to back off for", err, pipeline.Assign(err))
			}
		}
		s.err = nil
		got, err := look("a")
		wantLooked(t, got, err, "1 fresh")
	})
}

func TestLookupTakesNothingThatIsTooOld(t *testing.T) {
	inShelf(t, false, func(s *shelf, view *View, look func(...string) ([]string, error)) {
		s.have(view, "a", 1, time.Now().Add(-24*time.Hour))
		s.have(view, "b", 1, time.Now().Add(-24*time.Hour-time.Millisecond))
		got, err := look("a", "b")
		wantLooked(t, got, err, "1 fresh", "0 default")
	})
}

func TestLookupEndsWithItsCycle(t *testing.T) {
	inShelf(t, false, func(s *shelf, view *View, _ func(...string) ([]string, error)) {
		s.slow = true
		finder, err := NewFinder(view, s, DefaultLookup(), slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if _, err := finder.FindAll(ctx, []string{"a"}, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the cycle", err)
		}
	})
}

func TestLookupRefusesFieldsThatTheViewLacks(t *testing.T) {
	view := NewView(ViewConfig{Name: "item", Key: "item_id", Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}})
	finder, err := NewFinder(view, &shelf{}, DefaultLookup(), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := NewLookup([]ViewLookup{{Finder: finder, Fields: []string{"m"}}}, false, nil, nil); err == nil {
		t.Error("a field that the view lacks was taken")
	}
}

func TestLookupAsksForNoKeyThatNoViewHas(t *testing.T) {
	inShelf(t, false, func(s *shelf, _ *View, look func(...string) ([]string, error)) {
		got, err := look(strings.Repeat("k", maxText+1), "\x00fence")
		wantLooked(t, got, err, "0 default", "0 default")
		if len(s.asked) != 0 {
			t.Errorf("the store was asked for %d keys that it cannot have", len(s.asked[0]))
		}
	})
}

// What a replica remembers is bounded by bytes, too: values may be large.
func TestTheCacheIsBoundedByKeysAndBytes(t *testing.T) {
	for name, c := range map[string]struct {
		value      int // bytes
		most       int // keys that may be remembered
		atLeastOne bool
	}{
		"small values: as many keys as it says": {10, 1_000, true},
		"large values: as many as fit":          {100 << 10, 10, true},
		"a value that is larger than all":       {2 << 20, 0, false},
	} {
		made, err := newCache(LookupConfig{CacheKeys: 1_000, CacheBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		value := pipeline.StringValue(strings.Repeat("x", c.value))
		for i := range 5_000 {
			e := &Entry{Key: fmt.Sprint("k", i), Values: []pipeline.Field{{Name: "l", Value: value}}}
			made.Set(e.Key, remembered{entry: e})
			if i%100 == 0 {
				made.CleanUp()
			}
		}
		made.CleanUp()
		if got := made.EstimatedSize(); got > c.most || c.atLeastOne && got < c.most/2 {
			t.Errorf("%s: %d keys are remembered, want at most %d", name, got, c.most)
		}
	}
}

func TestOneBadKeyOfTheStoreHurtsNobodyElse(t *testing.T) {
	for _, wait := range []bool{false, true} {
		inShelf(t, wait, func(s *shelf, view *View, look func(...string) ([]string, error)) {
			s.have(view, "a", 3, time.Now())
			s.entries["bad"] = view.BadEntry("bad", errors.New("it is no hash"))
			s.have(view, "c", 4, time.Now())
			for range 10 { // more often than trips the breaker
				got, err := look("a", "bad", "c")
				wantLooked(t, got, err, "3 fresh", "0 default", "4 fresh")
				time.Sleep(2 * time.Second)
			}
			if len(s.asked) != 10 || s.log.Len() > 0 {
				t.Errorf("the store was asked %d times, and the log has %q: want 10 times, and nothing of a store that does not answer", len(s.asked), s.log.String())
			}
		})
	}
}

func TestWhoeverAsksForABadKeyAloneIsToldOfIt(t *testing.T) {
	view := NewView(ViewConfig{Name: "item", Key: "item_id", Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}})
	registry := prometheus.NewRegistry()
	s := &shelf{entries: map[string]*Entry{"bad": view.BadEntry("bad", errors.New("it is no hash")), "half": {View: "item", Key: "half", Values: view.Defaults(), Unread: 1}}}
	s.have(view, "good", 3, time.Now())
	finder, err := NewFinder(view, s, DefaultLookup(), slog.New(slog.DiscardHandler), NewMetrics(registry, "item"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is remembered
		if e, err := finder.Find(t.Context(), "bad"); e != nil || !errors.Is(err, ErrBadEntry) || !strings.Contains(err.Error(), "it is no hash") {
			t.Errorf("got %v and %v, want an error that says what is wrong with the key", e, err)
		}
	}
	for _, key := range []string{"good", "half", "absent"} {
		if _, err := finder.Find(t.Context(), key); err != nil {
			t.Errorf("of %s got %v", key, err)
		}
	}
	if got := counterOf(t, registry, "nearline_features_bad_entries_total"); got != 2 {
		t.Errorf("the metric counts %v bad entries, want 2", got)
	}
}

func counterOf(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func TestTheSinkGoesOnWithoutWhatTheStoreRefuses(t *testing.T) {
	view := NewView(ViewConfig{Name: "item", Key: "item_id", Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}})
	registry := prometheus.NewRegistry()
	s := &shelf{outcome: Outcome{Newer: 2, Unfit: []Unfit{{Place: 1, Err: errors.New("too large")}}}}
	sink := Sink{View: view, Store: s, Source: "id", Metrics: NewMetrics(registry, "item")}
	records := make([]*pipeline.Record, 4)
	for i := range records {
		records[i] = &pipeline.Record{Key: []byte{'a' + byte(i)}, Value: []byte(`{"at":1,"fields":{}}`), Offset: int64(i)}
	}
	if err := sink.Apply(t.Context(), records); err != nil {
		t.Errorf("got %v: the entries would come again and again", err)
	}
	for name, want := range map[string]float64{"nearline_features_unfit_entries_total": 1, "nearline_features_older_entries_total": 2} {
		if got := counterOf(t, registry, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
