// Package memory is a store of features in the process itself: what a replica has read of the topics of states. It is whole on every replica, and
// as large as all keys together, which max_keys of each view bounds.
package memory

import (
	"context"
	"errors"
	"sync"
	"time"

	"nearline/features"
)

// Store of features in memory.
type Store struct {
	mu    sync.RWMutex // guards all that follows
	views map[string]*view
	// gone are entries that say that their keys were deleted, in the order of time.
	gone []deletion
	// filling are the views of which there is more than has been put.
	filling map[string]bool
	// jobs are the numbers of the last jobs, by their views.
	jobs map[string]int64
}

// view is what there is of one.
type view struct {
	entries map[string]*features.Entry
	deleted int // of them
}

// deletion is an entry that says that its key was deleted, and when that was put.
type deletion struct {
	entry *features.Entry
	put   time.Time
}

// A deleted key is remembered for so long, and no more than so many are: what its topic's reader has put may come again, as long as that takes to
// succeed, and that is one helping of 10,000 records.
const (
	deletedFor  = time.Hour
	mostDeleted = 20_000
)

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
	return &Store{views: make(map[string]*view), filling: make(map[string]bool), jobs: make(map[string]int64)}
}

// Put takes entries, unless it has younger ones. There are none that it refuses for their own sake.
func (s *Store) Put(ctx context.Context, entries []features.Entry) (features.Outcome, error) {
	var outcome features.Outcome
	if err := ctx.Err(); err != nil {
		return outcome, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.prune(now)
	for i := range entries {
		e := &entries[i]
		of := s.views[e.View]
		if of == nil {
			of = &view{entries: make(map[string]*features.Entry)}
			s.views[e.View] = of
		}
		have := of.entries[e.Key]
		if have != nil && have.Source == e.Source && have.Offset >= e.Offset {
			if have.Offset > e.Offset {
				outcome.Newer++
			}
			continue
		}
		if have != nil && have.Deleted {
			of.deleted--
		}
		kept := *e // rather than all of entries for as long as one of them is kept
		of.entries[e.Key] = &kept
		if e.Deleted {
			of.deleted++
			s.gone = append(s.gone, deletion{&kept, now})
		}
	}
	s.prune(now)
	return outcome, nil
}

// prune forgets deletions once no older entry of their key can come back; mu is held.
func (s *Store) prune(now time.Time) {
	for len(s.gone) > 0 && (len(s.gone) > mostDeleted || now.Sub(s.gone[0].put) > deletedFor) {
		e := s.gone[0].entry
		if of := s.views[e.View]; of.entries[e.Key] == e {
			delete(of.entries, e.Key)
			of.deleted--
		}
		s.gone = s.gone[1:]
	}
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
	if have == nil {
		return found, nil
	}
	for i, key := range keys {
		if e := have.entries[key]; e != nil && !e.Deleted {
			found[i] = e
		}
	}
	return found, nil
}

// Job numbers a job of a view.
func (s *Store) Job(ctx context.Context, view string) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	number, err := features.JobNumber(s.jobs[view], time.Now())
	if err == nil {
		s.jobs[view] = number
	}
	return number, err
}

// Keys of a view that it holds.
func (s *Store) Keys(name string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	of := s.views[name]
	if of == nil {
		return 0
	}
	return len(of.entries) - of.deleted
}

// Close has nothing to let go of.
func (s *Store) Close() error { return nil }
