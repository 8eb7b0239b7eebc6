package features

import (
	"context"
	"fmt"
	"time"

	"nearline/pipeline"
)

// Entry is what a store keeps of one key of a view: absolute values, so that it does not matter how often they are put.
type Entry struct {
	View string
	Key  string
	// At is the latest time of an event, in milliseconds since 1970, and what the values are as of.
	At int64
	// Values in the order of the view's fields.
	Values []pipeline.Field
	// Source and Offset say where the values come from. Of the same source, the larger offset is the younger.
	Source string
	Offset int64
	// Deleted says that the key has no values any more.
	Deleted bool
	// ForGood has a store keep it whatever ttl the store has.
	ForGood bool
	// Others says that others write to the view as well. What a store has under the key and is no entry at all is then theirs, and stays.
	Others bool

	// Bad says why what the store has under the key is no entry of the view; nil where it is one. Only Get sets it. The entry then has no values.
	Bad error
	// Unread is how many values are not of the kind that the view declares, and so are the view's defaults. Only Get sets it.
	Unread int
}

// Age of the entry's latest event.
func (e *Entry) Age(now time.Time) time.Duration { return now.Sub(time.UnixMilli(e.At)) }

// Store keeps the latest values of views' keys. Implementations are safe for concurrent use.
type Store interface {
	// Put takes entries, unless it has younger ones of the same source. After an error some may have been taken. It keeps nothing of the
	// slice. An error is the store's. An entry that cannot be put for its own sake is named by the outcome, and the others are put.
	Put(ctx context.Context, entries []Entry) (Outcome, error)
	// Get reads keys of a view, all in one round trip: an entry for each, nil where there is none. They are not to be written to, and
	// need not say their source and offset. An error is the store's. A key with something else than an entry has an entry that says so (Bad).
	Get(ctx context.Context, view *View, keys []string) ([]*Entry, error)
	// Job numbers a job that is going to put entries into a view that others fill: larger than all numbers of the view's jobs before, by whatever clock. It
	// is JobNumber of the one before, which the store remembers.
	Job(ctx context.Context, view string) (int64, error)
	// Close lets go of connections.
	Close() error
}

// Outcome of a Put: the entries that the store has not taken.
type Outcome struct {
	// Newer is how many entries were not taken since the store has a younger one of the same source.
	Newer int
	// Unfit are entries that the store refuses for their own sake, in the order of their places. Putting them again does not help.
	Unfit []Unfit
}

// Unfit is an entry that a store does not take, such as one that is too large.
type Unfit struct {
	Place int // in the slice of entries
	Err   error
}

// DeletedFor is how long a store that replicas share remembers that a key was deleted: for as long as an older entry of it may still be on its way, from a
// replica that fell behind.
const DeletedFor = 24 * time.Hour

// Lasting is a store that outlives the process, and may lose what it has.
type Lasting interface {
	Store
	// Filling names what the store has of a view. Once it has lost that, it names it otherwise, and all of it has to be put again.
	Filling(ctx context.Context, view string) (string, error)
}

// Lister is a store that knows its keys.
type Lister interface {
	// Keys yields each key of a view that is there, with where its values come from. Some may come twice, some while they are changed.
	Keys(ctx context.Context, view string, yield func(key, source string, offset int64)) error
}

// Sink puts into a store what is committed to a view's topic of states.
type Sink struct {
	View  *View
	Store Store
	// Source names the topic for good, such as by its id: after it was made anew its offsets begin anew.
	Source  string
	Metrics *Metrics
}

// Apply puts the states of some records, the last of each key.
func (s *Sink) Apply(ctx context.Context, records []*pipeline.Record) error {
	entries := make([]Entry, 0, len(records))
	place := make(map[string]int, len(records))
	for _, r := range records {
		e := Entry{View: s.View.name, Key: string(r.Key), Source: sourceOf(s.Source, r.Partition), Offset: r.Offset}
		if r.Value == nil {
			e.Deleted = true
		} else {
			state, _, err := s.View.DecodeState(r.Value)
			if err != nil {
				s.Metrics.unreadable() // somebody else's record; the view's own members refuse to go on with it
				continue
			}
			e.At, e.Values = state.At, s.View.Values(state, state.At)
		}
		if i, again := place[e.Key]; again {
			entries[i] = e
			continue
		}
		place[e.Key] = len(entries)
		entries = append(entries, e)
	}
	outcome, err := s.Store.Put(ctx, entries)
	if err != nil {
		return fmt.Errorf("put %d entries of view %s: %w", len(entries), s.View.name, err)
	}
	s.Metrics.notTaken(outcome) // which the store has told of; trying again would stop the view's other keys for ever
	s.Metrics.stored(records)
	return nil
}

// sourceOf entries of a partition of a topic.
func sourceOf(topic string, partition int32) string { return fmt.Sprintf("%s/%d", topic, partition) }
