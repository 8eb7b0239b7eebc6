package storetest

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"nearline/features"
	"nearline/pipeline"
)

// Spoil is a way in which somebody else may leave a key of a view.
type Spoil struct {
	Name string
	// Do it to the key, which has an entry.
	Do func(t *testing.T, s features.Store, view, key string)
	// Stays says that an entry of a view that others fill is not put in its place.
	Stays bool
}

// facts is a view that others fill.
var facts = features.NewView(features.ViewConfig{Name: "facts", Key: "item_id", Source: features.SourceStore, Fields: []features.FieldConfig{
	{Name: "price", Type: features.TypeNumber}, {Name: "brand", Type: features.TypeText},
}})

func fact(key string, offset int64) features.Entry {
	e := entry(facts, key, "topic/0", offset, pipeline.FloatValue(float64(offset)), pipeline.StringValue(key))
	e.Others = true
	return e
}

func (of Spoil) test(t *testing.T, s store) {
	s.put(plain("a", "topic/0", 1, 1), plain("bad", "topic/0", 2, 2), plain("c", "topic/0", 3, 3))
	of.Do(t, s.Store, item.Name(), "bad")
	got := s.get(item, "a", "bad", "absent", "c", "bad")
	for i, want := range []features.Entry{0: plain("a", "topic/0", 1, 1), 3: plain("c", "topic/0", 3, 3)} {
		if want.Key != "" && !same(got[i], &want) {
			t.Errorf("beside the bad key got %s, want %s", show(got[i]), show(&want))
		}
	}
	if got[2] != nil {
		t.Errorf("of a key that is not there got %s", show(got[2]))
	}
	for _, bad := range []*features.Entry{got[1], got[4]} {
		if bad == nil || bad.Bad == nil || bad.Key != "bad" {
			t.Errorf("of the bad key got %+v, want an entry that says what is wrong with it", bad)
		}
	}
	// The key is the view's own: the next entry takes its place.
	next := []features.Entry{plain("a", "topic/0", 4, 4), plain("bad", "topic/0", 5, 5), plain("c", "topic/0", 6, 6)}
	if outcome := s.put(next...); outcome.Newer != 0 || len(outcome.Unfit) != 0 {
		t.Errorf("put has the outcome %+v, want that all are taken", outcome)
	}
	for i := range next {
		s.want(item, next[i].Key, &next[i])
	}
	of.Do(t, s.Store, item.Name(), "bad")
	s.put(deletion(item, "bad", "topic/0", 7))
	s.want(item, "bad", nil)

	// In a view that others fill it is theirs.
	s.put(fact("a", 1), fact("bad", 2), fact("c", 3))
	of.Do(t, s.Store, facts.Name(), "bad")
	outcome := s.put(fact("a", 4), fact("bad", 5), fact("c", 6))
	if outcome.Newer != 0 || of.Stays != (len(outcome.Unfit) == 1 && outcome.Unfit[0].Place == 1 && outcome.Unfit[0].Err != nil) || !of.Stays && len(outcome.Unfit) != 0 {
		t.Errorf("put into a view that others fill has the outcome %+v, want that the bad key stays: %v", outcome, of.Stays)
	}
	for _, want := range []features.Entry{fact("a", 4), fact("c", 6)} {
		s.want(facts, want.Key, &want)
	}
	if bad := s.get(facts, "bad")[0]; bad == nil || of.Stays != (bad.Bad != nil) {
		t.Errorf("in a view that others fill the bad key is %+v, want that it stays: %v", bad, of.Stays)
	}
}

// refused puts a key that is too long for some stores, and one that is no text: each is whole, or is said to be refused.
func refused(t *testing.T, s store) {
	long := strings.Repeat("k", 5000)
	entries := []features.Entry{plain("a", "topic/0", 1, 1), plain("long", "topic/0", 2, 2), plain("no text", "topic/0", 3, 3), plain("c", "topic/0", 4, 4)}
	entries[1].Key, entries[2].Key = long, "\xff"
	outcome := s.put(entries...)
	refused := map[int]bool{}
	for _, unfit := range outcome.Unfit {
		if refused[unfit.Place] = true; unfit.Err == nil || unfit.Place != 1 && unfit.Place != 2 {
			t.Errorf("entry %d is refused: %v", unfit.Place, unfit.Err)
		}
	}
	for i := range entries {
		if refused[i] {
			s.want(item, entries[i].Key, nil)
		} else {
			s.want(item, entries[i].Key, &entries[i])
		}
	}
}

func counted(t *testing.T, s store) {
	for i, c := range []struct {
		put   []features.Entry
		newer int
	}{
		{[]features.Entry{plain("key", "topic/0", 100, 1)}, 0},
		{[]features.Entry{plain("key", "topic/0", 99, 2), plain("other", "topic/0", 1, 2)}, 1},
		{[]features.Entry{plain("key", "topic/0", 100, 1)}, 0}, // it is there
		{[]features.Entry{plain("key", "topic/0", 101, 3)}, 0},
		{[]features.Entry{plain("key", "topic/1", 3, 4), plain("key", "topic/1", 5, 5), plain("key", "topic/1", 4, 6)}, 1},
		{[]features.Entry{deletion(item, "key", "topic/1", 4)}, 1},
		{[]features.Entry{deletion(item, "key", "topic/1", 9)}, 0},
		{[]features.Entry{plain("key", "topic/1", 8, 7), plain("key", "topic/1", 7, 7)}, 2},
	} {
		if got := s.put(c.put...); got.Newer != c.newer || len(got.Unfit) != 0 {
			t.Errorf("put %d has the outcome %+v, want %d that are older", i, got, c.newer)
		}
	}
}

// numbered begins jobs one after the other, and many at once, beside keys that might take the number's place.
func numbered(t *testing.T, s store) {
	last := int64(0)
	next := func(view *features.View) int64 {
		t.Helper()
		number, err := s.Job(t.Context(), view.Name())
		if err != nil || number < 1 {
			t.Fatalf("got the number %d and %v, want one", number, err)
		}
		return number
	}
	for range 5 {
		number := next(facts)
		if number <= last {
			t.Errorf("a job has the number %d, the one before has %d", number, last)
		}
		last = number
		s.put(fact("@job", number), fact("job", number))
		next(small)
	}
	var mu sync.Mutex
	numbers := map[int64]bool{last: true}
	var jobs sync.WaitGroup
	for range 8 {
		jobs.Go(func() {
			number, err := s.Job(t.Context(), facts.Name())
			mu.Lock()
			defer mu.Unlock()
			if err != nil || number <= last || numbers[number] {
				t.Errorf("got the number %d and %v, want one above %d that no other job has", number, err, last)
			}
			numbers[number] = true
		})
	}
	jobs.Wait()
	if number := next(facts); number <= slices.Max(slices.Collect(maps.Keys(numbers))) {
		t.Errorf("the last job has the number %d, those before have %v", number, numbers)
	}
}
