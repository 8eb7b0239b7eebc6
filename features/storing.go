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
// A text that is no value of its field is told of, and the field has its default: it was declared otherwise, or somebody else wrote it.
func (v *View) Stored(key, at string, text func(i int) (string, bool), unread func(field string, err error)) (*Entry, error) {
	if at == "" && !v.others {
		return nil, nil
	}
	e := &Entry{View: v.name, Key: key, Values: slices.Clone(v.defaults)}
	anything := false
	for i := range v.fields {
		written, there := text(i)
		if !there {
			continue
		}
		anything = true
		value, err := v.Parse(i, written)
		if err != nil {
			unread(v.fields[i].name, err)
			continue
		}
		e.Values[i].Value = value
	}
	if at == "" {
		if !anything {
			return nil, nil
		}
		e.At = time.Now().UnixMilli()
		return e, nil
	}
	var err error
	if e.At, err = strconv.ParseInt(at, 10, 64); err != nil || !inTime(e.At) {
		return nil, fmt.Errorf("field @at is %q: want milliseconds since 1970", at)
	}
	return e, nil
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

// Left tells of a feature that a key has no room for in the store.
func (s *Strange) Left(store, view, key, field string, most int) {
	if _, told := s.told.LoadOrStore([3]string{view, field, "left"}, true); !told {
		slog.Warn("a key has more features than fit into "+store+"; lookups have the default of the largest: make its n smaller",
			"key", key, "feature", field, "max_bytes", most)
	}
}
