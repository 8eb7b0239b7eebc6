package features

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"
)

// What stores have in common that keep a key's values as texts, or as what has a text.

// Stored makes the entry of what a store has of a key: the time of its latest event in milliseconds since 1970, "" where the store has none, and the text of
// each of the view's fields by its index. It is nil where there is no entry. A view that others fill needs no time: what is there is as of now.
//
// A text that is no value of its field is told of, and the field has its default: it was declared otherwise, or somebody else wrote it. A time that is none
// makes the entry a bad one.
func (v *View) Stored(key, at string, text func(i int) (string, bool), unread func(field string, err error)) *Entry {
	if at == "" && !v.others {
		return nil
	}
	e := &Entry{View: v.name, Key: key, At: time.Now().UnixMilli()}
	if at != "" {
		var err error
		if e.At, err = strconv.ParseInt(at, 10, 64); err != nil || !inTime(e.At) {
			return v.BadEntry(key, fmt.Errorf("field @at is %q: want milliseconds since 1970, of a year from 1 to 9999", at))
		}
	}
	e.Values = slices.Clone(v.defaults)
	anything := false
	for i := range v.fields {
		written, there := text(i)
		if !there {
			continue
		}
		anything = true
		value, err := v.Parse(i, written)
		if err != nil {
			e.Unread++
			unread(v.fields[i].name, err)
			continue
		}
		e.Values[i].Value = value
	}
	if at == "" && !anything {
		return nil
	}
	return e
}

// BadEntry stands for what a store has under a key and is no entry of the view.
func (v *View) BadEntry(key string, err error) *Entry {
	return &Entry{View: v.name, Key: key, Bad: err}
}

// Putting collects the outcome of a Put. Safe for concurrent use.
type Putting struct {
	store   string
	strange *Strange
	entries []Entry

	mu      sync.Mutex // guards outcome
	outcome Outcome
}

// NewPutting collects the outcome of these entries, and tells of those that a store, such as Redis, does not take.
func NewPutting(store string, strange *Strange, entries []Entry) *Putting {
	return &Putting{store: store, strange: strange, entries: entries}
}

// Newer counts entries that were not taken since the store has younger ones.
func (p *Putting) Newer(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcome.Newer += n
}

// Unfit notes that the entry at a place is refused for its own sake.
func (p *Putting) Unfit(place int, err error) {
	p.strange.unfit(p.store, &p.entries[place], err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcome.Unfit = append(p.outcome.Unfit, Unfit{place, err})
}

// Outcome of what was put; all that put have ended.
func (p *Putting) Outcome() Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortFunc(p.outcome.Unfit, func(a, b Unfit) int { return cmp.Compare(a.Place, b.Place) })
	return p.outcome
}

// jobBits are those of a job's number: it is about seconds since 1970, until the year 2242.
const jobBits = 33

// JobNumber is the number of the job after one, 0 for the first: the next one, or the seconds since 1970 where these are more. So a job has a larger number than
// all before it, however far its clock is behind; and a store that lost the number goes on above those that its entries may have.
func JobNumber(before int64, now time.Time) (int64, error) {
	if before < 0 || before >= 1<<jobBits-1 {
		return 0, fmt.Errorf("the number of the job before is %d, which no job has: remove it", before)
	}
	return max(before+1, now.Unix()), nil
}

// ByKey has the places of each key's entries, in their order: those of one key are put one after the other.
func ByKey(entries []Entry) [][]int {
	places := make([][]int, 0, len(entries))
	seen := make(map[[2]string]int, len(entries))
	for i := range entries {
		of := [2]string{entries[i].View, entries[i].Key}
		at, again := seen[of]
		if !again {
			seen[of] = len(places)
			places = append(places, []int{i})
			continue
		}
		places[at] = append(places[at], i)
	}
	return places
}

// Beyond says which texts have to go, the longest first, for the others to have no more bytes than most.
func Beyond(texts []string, most int) []int {
	sum := 0
	for _, t := range texts {
		sum += len(t)
	}
	if sum <= most {
		return nil
	}
	places := make([]int, len(texts))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(len(texts[b]), len(texts[a])) })
	n := 0
	for ; sum > most; n++ {
		sum -= len(texts[places[n]])
	}
	return places[:n]
}

// Strange tells of features that a store has otherwise than they should be, of each once for all keys. The zero value has told of none.
type Strange struct{ told sync.Map }

// Unread tells of a feature that is not what its view declares. Key is as the store, such as Redis, calls it.
func (s *Strange) Unread(store, view, key, field string, err error) {
	if _, told := s.told.LoadOrStore([2]string{view, field}, true); !told {
		slog.Warn("a feature in "+store+" is not what its view declares; lookups have its default until the key's next event",
			"key", key, "feature", field, "error", err)
	}
}

// Foreign tells of a key that has something else than an entry, once for all keys of a view. Then says what becomes of it.
func (s *Strange) Foreign(store, view, key, then string, err error) {
	if _, told := s.told.LoadOrStore([2]string{view, "\x00" + then}, true); !told {
		slog.Warn("a key in "+store+" has something else than features of its view; "+then, "view", view, "key", key, "error", err)
	}
}

// What becomes of a key that has something else than an entry.
const (
	ForeignFound    = "lookups of such keys have the view's defaults until it is removed or put right"
	ForeignReplaced = "the key is the view's own, so its entry takes the place"
)

// unfit tells of an entry that a store does not take, once for all keys of a view.
func (s *Strange) unfit(store string, e *Entry, err error) {
	if _, told := s.told.LoadOrStore([2]string{e.View, "\x00unfit"}, true); !told {
		slog.Error(store+" does not take an entry, which is left out; lookups have what was there before, until the key's next event",
			"view", e.View, "key", e.Key, "error", err)
	}
}

// Left tells of a feature that a key has no room for in the store.
func (s *Strange) Left(store, view, key, field string, most int) {
	if _, told := s.told.LoadOrStore([3]string{view, field, "left"}, true); !told {
		slog.Warn("a key has more features than fit into "+store+"; lookups have the default of the largest: make its n smaller",
			"key", key, "feature", field, "max_bytes", most)
	}
}
