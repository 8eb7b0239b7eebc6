package kafka

import (
	"cmp"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// weight of a failure in the health.
type weight int

const (
	// hard will not pass by itself, and counts at once.
	hard weight = iota
	// soft may pass: it counts once it should have passed, while it comes again.
	soft
	// faint is an end without a word, as the network, or a broker that goes, has them, too: it counts as soft does, and only while no broker answers.
	faint
)

// passes is the weight of what may pass, or may not.
func passes(may bool) weight {
	if may {
		return soft
	}
	return hard
}

// trouble is what keeps this process and its brokers apart, as far as credentials and certificates go. The client library tries much again without a
// word, so whoever sees a failure tells it here: it is logged once, and is a reason of the health until what failed succeeds.
//
// Safe for concurrent use.
type trouble struct {
	mu     sync.Mutex
	logger *slog.Logger // nil where nobody listens
	open   map[place]*failure
	// accepted is when something of a kind last succeeded, with anybody.
	accepted map[string]time.Time
}

// place of a failure: what failed, and with whom.
type place struct{ kind, address string }

type failure struct {
	words string
	// cause is what the same failure with another broker has in common with it.
	cause  string
	weight weight
	since  time.Time
	latest time.Time
}

// recurring is within which time a failure comes again that has not passed: members and clients try again after 30 seconds at the latest.
const recurring = 2 * grace

// forgotten is after which time a failure counts no longer that did not come again: its broker may be gone for good.
const forgotten = 10 * time.Minute

// say that something failed. Only the first of its cause is logged, and the first that will not pass by itself.
func (t *trouble) say(at place, cause, words string, w weight) {
	t.mu.Lock()
	now := time.Now()
	t.forget(now)
	told := false
	for where, failure := range t.open {
		told = told || where.kind == at.kind && failure.cause == cause && failure.weight == w
	}
	if t.open == nil {
		t.open = make(map[place]*failure)
	}
	since := now
	if before := t.open[at]; before != nil && now.Sub(before.latest) <= recurring {
		since = before.since
	}
	t.open[at] = &failure{words, cause, w, since, now}
	logger := t.logger
	t.mu.Unlock()
	switch {
	case told || logger == nil:
	case w == hard:
		logger.Error(words)
	default:
		logger.Warn(words + "; it is tried again")
	}
}

// steady is what an error says each time: a code, or the first cause of it. All that wraps that may have ports of connections and ids of questions.
func steady(err error) string {
	if coded, ok := errors.AsType[interface {
		error
		ErrorCode() string
	}](err); ok {
		return coded.ErrorCode()
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return "lookup " + lookup.Name
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// clear what succeeds.
func (t *trouble) clear(at place, fresh bool) {
	t.mu.Lock()
	before := t.open[at]
	delete(t.open, at)
	if t.accepted == nil {
		t.accepted = make(map[string]time.Time)
	}
	t.accepted[at.kind] = time.Now()
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

// reason that the health has: all that will not pass by itself, and what should have passed by now. "" is none. Answered says that brokers answer
// meanwhile.
func (t *trouble) reason(answered bool) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.forget(now)
	var all []*failure
	for at, f := range t.open {
		if f.counts(now, answered, t.accepted[at.kind]) {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b *failure) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.words, b.words)) })
	var words []string
	for _, f := range all {
		words = append(words, f.words)
	}
	return strings.Join(words, "; ")
}

// counts says that a failure is a reason of the health. Others is when something of its kind was accepted elsewhere, last: what may pass and has not come
// again since was of an address that nobody needs by now.
func (f *failure) counts(now time.Time, answered bool, others time.Time) bool {
	switch {
	case f.weight == hard:
		return true
	case f.weight == faint && answered, others.After(f.latest):
		return false
	}
	return now.Sub(f.since) >= grace && now.Sub(f.latest) <= recurring
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
