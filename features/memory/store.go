// Package memory is a store of features in the process itself: what a replica has read of the topics of states. It is whole on every replica, and
// as large as all keys together.
package memory

import (
	"context"
	"errors"
	"sync"

	"nearline/features"
)

// Store of features in memory.
type Store struct {
	mu    sync.RWMutex // guards views
	views map[string]map[string]*features.Entry
	// filling are the views of which there is more than has been put.
	filling map[string]bool
}

// ErrFilling says that the store does not have all yet of what it is going to have.
var ErrFilling = errors.New("the store of features is being filled")

// Filling says whether there is more of a view than has been put: until there is not, the store does not answer for it.
func (s *Store) Filling(view string, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling[view] = more
}

var _ features.Store = (*Store)(nil)

// New makes an empty store.
func New() *Store {
	return &Store{views: make(map[string]map[string]*features.Entry), filling: make(map[string]bool)}
}

// Put takes entries, unless it has younger ones.
func (s *Store) Put(ctx context.Context, entries []features.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		view := s.views[e.View]
		if view == nil {
			view = make(map[string]*features.Entry)
			s.views[e.View] = view
		}
		if have := view[e.Key]; have != nil && have.Source == e.Source && have.Offset >= e.Offset {
			continue
		}
		kept := *e          // rather than all of entries for as long as one of them is kept
		view[e.Key] = &kept // a deleted one too, lest an older one come back
	}
	return nil
}

// Get reads keys of a view.
func (s *Store) Get(ctx context.Context, view *features.View, keys []string) ([]*features.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found := make([]*features.Entry, len(keys))
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.filling[view.Name()] {
		return nil, ErrFilling
	}
	have := s.views[view.Name()]
	for i, key := range keys {
		if e := have[key]; e != nil && !e.Deleted {
			found[i] = e
		}
	}
	return found, nil
}

// Keys of a view that it holds.
func (s *Store) Keys(view string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.views[view])
}

// Close has nothing to let go of.
func (s *Store) Close() error { return nil }
