package memory

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"nearline/features"
	"nearline/features/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) features.Store { return New() })
}

func TestStoreDoesNotAnswerBeforeItIsFilled(t *testing.T) {
	s := New()
	item := features.NewView(features.ViewConfig{Name: "item", Key: "id", Fields: []features.FieldConfig{{Name: "n", Count: &features.CountConfig{}}}})
	s.Filling("item", true)
	if _, err := s.Get(t.Context(), item, []string{"a"}); !errors.Is(err, ErrFilling) {
		t.Errorf("got %v, want ErrFilling", err)
	}
	s.Filling("item", false)
	if found, err := s.Get(t.Context(), item, []string{"a"}); err != nil || found[0] != nil {
		t.Errorf("got %v and %v, want that nothing is known", found, err)
	}
}

// Keys come and go: what is remembered of those that went must not grow for ever.
func TestDeletedKeysAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		put := func(key string, offset int64, deleted bool) {
			t.Helper()
			if _, err := s.Put(t.Context(), []features.Entry{{View: "item", Key: key, Source: "topic/0", Offset: offset, Deleted: deleted}}); err != nil {
				t.Fatal(err)
			}
		}
		for day := range int64(5) {
			for i := range int64(100) {
				put(fmt.Sprint(day, "-", i), 1000*day+i, false)
			}
			for i := range int64(99) {
				put(fmt.Sprint(day, "-", i), 1000*day+500+i, true)
			}
			put(fmt.Sprint(day, "-0"), 1000*day+700, false) // one came back
			if keys := s.Keys("item"); keys != 2*int(day+1) {
				t.Errorf("after %d days there are %d keys, want %d", day+1, keys, 2*(day+1))
			}
			time.Sleep(24 * time.Hour)
		}
		put("last", 10_000, false)
		if keys := s.Keys("item"); keys != 11 || len(s.views["item"].entries) != 11 || len(s.gone) != 0 {
			t.Errorf("at last there are %d keys, %d entries and %d deletions, want 11, 11 and 0", keys, len(s.views["item"].entries), len(s.gone))
		}
	})
}

// Keys that expire in great numbers are not remembered in great numbers.
func TestRememberedDeletionsAreBounded(t *testing.T) {
	s := New()
	for round := range int64(5) {
		for _, deleted := range []bool{false, true} {
			entries := make([]features.Entry, mostDeleted)
			for i := range entries {
				offset := round*2*mostDeleted + int64(i)
				if deleted {
					offset += mostDeleted
				}
				entries[i] = features.Entry{View: "item", Key: fmt.Sprint(round, "-", i), Source: "topic/0", Offset: offset, Deleted: deleted}
			}
			if _, err := s.Put(t.Context(), entries); err != nil {
				t.Fatal(err)
			}
		}
	}
	if keys, held := s.Keys("item"), len(s.views["item"].entries); keys != 0 || held != mostDeleted || len(s.gone) != mostDeleted {
		t.Errorf("there are %d keys, %d entries and %d deletions, want 0, and %d that are remembered", keys, held, len(s.gone), mostDeleted)
	}
}
