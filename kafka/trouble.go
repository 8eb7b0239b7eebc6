package kafka

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// trouble is what keeps this process and its brokers apart, as far as credentials and certificates go. The client library tries much again without a
// word, so whoever sees a failure tells it here: it is logged once, and is a reason of the health until what failed succeeds.
//
// Safe for concurrent use.
type trouble struct {
	mu     sync.Mutex
	logger *slog.Logger // nil where nobody listens
	open   map[place]*failure
}

// place of a failure: what failed, and with whom.
type place struct{ kind, address string }

type failure struct {
	words string
	// cause is what the same failure with another broker has in common with it.
	cause  string
	hard   bool
	since  time.Time
	latest time.Time
}

// forgotten is after which time a failure counts no longer that did not come again: its broker may be gone for good.
const forgotten = 10 * time.Minute

// say that something failed. Only the first of its cause is logged, and the first that will not pass by itself.
func (t *trouble) say(at place, cause, words string, hard bool) {
	t.mu.Lock()
	now := time.Now()
	t.forget(now)
	told := false
	for where, failure := range t.open {
		told = told || where.kind == at.kind && failure.cause == cause && failure.hard == hard
	}
	if t.open == nil {
		t.open = make(map[place]*failure)
	}
	since := now
	if before := t.open[at]; before != nil {
		since = before.since
	}
	t.open[at] = &failure{words, cause, hard, since, now}
	logger := t.logger
	t.mu.Unlock()
	switch {
	case told || logger == nil:
	case hard:
		logger.Error(words)
	default:
		logger.Warn(words + "; it is tried again")
	}
}

// clear what succeeds.
func (t *trouble) clear(at place, fresh bool) {
	t.mu.Lock()
	before := t.open[at]
	delete(t.open, at)
	logger := t.logger
	t.mu.Unlock()
	switch {
	case logger == nil:
	case fresh:
		logger.Info("the new "+at.kind+" is accepted", "by", at.address)
	case before != nil:
		logger.Info("the "+at.kind+" is accepted again", "by", at.address, "after", time.Since(before.since).Round(time.Second))
	}
}

// reason that the health has: all that will not pass by itself, and what should have passed by now. "" is none.
func (t *trouble) reason() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.forget(now)
	all := slices.Collect(maps.Values(t.open))
	all = slices.DeleteFunc(all, func(f *failure) bool { return !f.hard && now.Sub(f.since) < grace })
	slices.SortFunc(all, func(a, b *failure) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.words, b.words)) })
	var words []string
	for _, f := range all {
		words = append(words, f.words)
	}
	return strings.Join(words, "; ")
}

func (t *trouble) forget(now time.Time) {
	maps.DeleteFunc(t.open, func(_ place, f *failure) bool { return now.Sub(f.latest) > forgotten })
}

// tell a logger from now on.
func (t *trouble) tell(logger *slog.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logger = logger
}
