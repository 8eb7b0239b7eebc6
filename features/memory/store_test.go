package memory

import (
	"errors"
	"testing"

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
