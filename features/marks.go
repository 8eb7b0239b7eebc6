package features

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nearline/pipeline"
)

var (
	// ErrOlder says that a store lacks something of what was put into it.
	ErrOlder = errors.New("the store of features is older than what was put into it")
	// ErrRestarted says that what was put since the last marks may be lost, so it is put once more.
	ErrRestarted = errors.New("a server of the store of features was started again, or is another one")
)

// Condition is what a store says of its servers.
type Condition struct {
	// Life is another text once a server was started again, or another one took its place. "" where nobody says.
	Life string
	// Places have one text for each part of the store that may come back older by itself. A mark with that text in its key is kept there.
	Places []string
	// Evicted is how many keys each server has removed for want of memory, by the server's life.
	Evicted map[string]int64
	// Full says that a server has next to no memory left, and would remove keys to take more.
	Full bool
}

// Served is a store that knows its servers.
type Served interface {
	Lasting
	// Condition of the servers now.
	Condition(ctx context.Context) (Condition, error)
}

// Filling is one filling of a store with a view: from the beginning of its topic of states, by replicas that share the partitions.
//
// A store may come back older than it was: a snapshot is restored, a replica takes over that lagged, a server loses its last second. So the store
// has a mark for each partition: the next offset, up to which everything was put. The group's offsets are committed only after the marks. A store
// whose marks are below what the group has committed has lost something. Then the filling is given another name, hence another group, which
// begins anew. In a cluster each server may come back older by itself, so each mark is put in many places, some of them on every server.
//
// The order makes it safe. First the entries are put, then the marks, then the offsets are committed. A server that has the mark has all that
// was put before, unless it was started again in between. So each mark is put twice. First it is promised. Then the servers' lives are compared
// with what they were before the entries were put; where they differ, what was put since the last marks is put once more. Only then the mark
// itself is put, and it counts only beside its promise: a server that comes back older in this moment has the mark, but not the promise. All
// this is told by the store alone, so it also holds for a process that dies in between.
//
// Marks are entries like others, of a view of their own that is called VIEW@marks. Safe for concurrent use.
type Filling struct {
	// Name of the filling. Another one begins anew.
	Name string
	// Renewed is how often it was named anew since the store was empty.
	Renewed int64

	store      Lasting
	view       string
	base       string // the store's own name of it
	own        string // of who sweeps it
	marks      *View
	partitions int

	mu      sync.Mutex // guards all that follows
	life    string
	next    map[int32]int64  // marks that were put
	handled map[string]int64 // evicted keys, by server, at the filling's beginning
}

// Keys of VIEW@marks beside those of partitions.
const (
	renewedKey = "renewed" // BASE NAME TIMES
	evictedKey = "evicted" // NAME SERVER=KEYS…
	filledKey  = "filled"  // NAME
	sweepKey   = "sweep"   // NAME WHO
)

const markField = "mark"

// CurrentFilling of a view in a store, as it is named now.
func CurrentFilling(ctx context.Context, store Lasting, view *View, partitions int) (*Filling, error) {
	f := &Filling{
		store: store, view: view.name, own: rand.Text(), partitions: partitions, next: map[int32]int64{},
		marks: NewView(ViewConfig{Name: view.name + "@marks", Key: "partition", Source: SourceStore, Fields: []FieldConfig{{Name: markField, Type: TypeText}}}),
	}
	f.marks.marks = true
	var err error
	if f.base, err = store.Filling(ctx, view.name); err != nil {
		return nil, err
	}
	f.Name = f.base
	texts, err := f.get(ctx, renewedKey)
	if err != nil {
		return nil, err
	}
	f.Name, f.Renewed = f.renewed(texts[0])
	return f, nil
}

// renewed reads the name from the text of renewedKey.
func (f *Filling) renewed(text string) (name string, times int64) {
	if parts := strings.Fields(text); len(parts) == 3 && parts[0] == f.base {
		if n, err := strconv.ParseInt(parts[2], 10, 64); err == nil {
			return parts[1], n
		}
	}
	return f.base, 0 // of a store that was emptied since
}

// Renew names the filling anew, unless somebody else has. All of it is put again under the new name.
func (f *Filling) Renew(ctx context.Context) error {
	return f.put(ctx, map[string]mark{renewedKey: {f.base, f.Renewed + 1, fmt.Sprint(f.base, " ", rand.Text(), " ", f.Renewed+1)}})
}

// mark is an entry of VIEW@marks: of the same source, the larger offset is the younger.
type mark struct {
	source string
	offset int64
	text   string
}

func (f *Filling) put(ctx context.Context, marks map[string]mark) error {
	entries := make([]Entry, 0, len(marks))
	now := time.Now().UnixMilli()
	for _, key := range slices.Sorted(maps.Keys(marks)) {
		m := marks[key]
		entries = append(entries, Entry{
			View: f.marks.name, Key: key, At: now, Source: m.source, Offset: m.offset, ForGood: true,
			Values: []pipeline.Field{{Name: markField, Value: pipeline.StringValue(m.text)}},
		})
	}
	outcome, err := f.store.Put(ctx, entries)
	if err == nil && len(outcome.Unfit) > 0 {
		err = outcome.Unfit[0].Err
	}
	if err != nil {
		return fmt.Errorf("put marks of view %s: %w", f.view, err)
	}
	return nil
}

// get texts, "" for none.
func (f *Filling) get(ctx context.Context, keys ...string) ([]string, error) {
	found, err := f.store.Get(ctx, f.marks, keys)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(keys))
	for i, e := range found {
		if e != nil && len(e.Values) == 1 {
			texts[i] = e.Values[0].Value.Str
		}
	}
	return texts, nil
}

func (f *Filling) condition(ctx context.Context) (Condition, error) {
	c := Condition{}
	if served, ok := f.store.(Served); ok {
		var err error
		if c, err = served.Condition(ctx); err != nil {
			return c, err
		}
	}
	if len(c.Places) == 0 {
		c.Places = []string{""}
	}
	return c, nil
}

func markKey(partition int32, place string) string { return strconv.Itoa(int(partition)) + place }

func promiseKey(partition int32, place string) string {
	return strconv.Itoa(int(partition)) + "-promised" + place
}

// compare the marks with what they are to be at least.
func (f *Filling) compare(ctx context.Context, c Condition, least map[int32]int64) error {
	partitions := slices.Sorted(maps.Keys(least))
	keys := []string{renewedKey}
	for _, p := range partitions {
		for _, place := range c.Places {
			keys = append(keys, markKey(p, place), promiseKey(p, place))
		}
	}
	texts, err := f.get(ctx, keys...)
	if err != nil {
		return err
	}
	if now, _ := f.renewed(texts[0]); now != f.Name {
		return fmt.Errorf("%w: the filling is called %s, and no longer %s", ErrRestarted, now, f.Name)
	}
	for i := 1; i < len(keys); i += 2 {
		p := partitions[(i-1)/(2*len(c.Places))]
		next, err := f.marked(keys[i], texts[i], least[p])
		if err != nil {
			return fmt.Errorf("%w: %w", ErrOlder, err)
		}
		if _, err := f.marked(keys[i+1], texts[i+1], next); err != nil {
			return fmt.Errorf("%w: its mark %s counts only beside its promise: %w", ErrOlder, keys[i], err)
		}
	}
	return nil
}

// marked reads a mark or a promise that is to be at an offset at least.
func (f *Filling) marked(key, text string, least int64) (next int64, err error) {
	name, digits, _ := strings.Cut(text, " ")
	next, err = strconv.ParseInt(digits, 10, 64)
	switch {
	case text == "":
		return 0, fmt.Errorf("it has no mark %s, and the partition was put up to offset %d", key, least)
	case err != nil || name != f.Name:
		return 0, fmt.Errorf("its mark %s is %q, of another filling than %s", key, text, f.Name)
	case next < least:
		return 0, fmt.Errorf("its mark %s is at offset %d, and the partition was put up to offset %d", key, next, least)
	}
	return next, nil
}

// putMarks promises them, and puts them if no server was started again since it had this life: ErrRestarted.
func (f *Filling) putMarks(ctx context.Context, c Condition, life string, next map[int32]int64) error {
	if err := f.putEach(ctx, c, next, promiseKey); err != nil {
		return err
	}
	now, err := f.condition(ctx)
	if err != nil {
		return err
	}
	if now.Life != life {
		return ErrRestarted
	}
	return f.putEach(ctx, c, next, markKey)
}

func (f *Filling) putEach(ctx context.Context, c Condition, next map[int32]int64, key func(partition int32, place string) string) error {
	marks := map[string]mark{}
	for p, n := range next {
		for _, place := range c.Places {
			marks[key(p, place)] = mark{f.Name, n, fmt.Sprint(f.Name, " ", n)}
		}
	}
	return f.put(ctx, marks)
}

// Open begins before anything is put. Committed are the group's offsets, asked for before. It returns ErrOlder where the store has less.
func (f *Filling) Open(ctx context.Context, committed map[int32]int64) error {
	c, err := f.condition(ctx)
	if err != nil {
		return err
	}
	if err := f.compare(ctx, c, committed); err != nil {
		return err
	}
	first := make(map[int32]int64, f.partitions)
	for p := range f.partitions {
		first[int32(p)] = committed[int32(p)] //nolint:gosec // a topic's
	}
	if err := f.putMarks(ctx, c, c.Life, first); err != nil {
		return err
	}
	switch err := f.compare(ctx, c, first); {
	case errors.Is(err, ErrOlder):
		if now, asked := f.condition(ctx); asked != nil || now.Life != c.Life {
			return errors.Join(ErrRestarted, asked)
		}
		return fmt.Errorf("the store does not keep what is put into it; look whether something else removes or changes keys of %s: %w", f.marks.name,
			errors.New(err.Error())) // not older: filling it anew would not help
	case err != nil:
		return err
	}
	handled, err := f.evictedBefore(ctx, c)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life, f.next, f.handled = c.Life, first, handled
	return nil
}

// Mark says that all from the committed offsets to the next ones was put. Only then may these be committed. What is before the committed offsets was put
// under marks of other replicas, so the store has to have them. ErrRestarted: all since the last marks is to be put again.
func (f *Filling) Mark(ctx context.Context, committed, next map[int32]int64) error {
	f.mu.Lock()
	life, last := f.life, maps.Clone(f.next)
	f.mu.Unlock()
	for p, n := range committed {
		last[p] = max(last[p], n)
	}
	before, err := f.condition(ctx)
	if err != nil {
		return err
	}
	if before.Life != life {
		return ErrRestarted
	}
	if err := f.compare(ctx, before, last); err != nil {
		return err
	}
	if err := f.putMarks(ctx, before, life, next); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for p, n := range next {
		f.next[p] = max(f.next[p], n)
	}
	return nil
}

// Check compares what the store has with what was put and committed. It returns how many keys the servers have evicted since the filling began,
// and whether there is no room for more.
func (f *Filling) Check(ctx context.Context, committed map[int32]int64) (evicted int64, full bool, err error) {
	f.mu.Lock()
	life, least, handled := f.life, maps.Clone(f.next), f.handled
	f.mu.Unlock()
	for p, n := range committed {
		least[p] = max(least[p], n)
	}
	c, err := f.condition(ctx)
	if err != nil {
		return 0, false, err
	}
	if c.Life != life {
		return 0, c.Full, ErrRestarted
	}
	for server, n := range c.Evicted {
		evicted += max(0, n-handled[server])
	}
	return evicted, c.Full, f.compare(ctx, c, least)
}

// evictedBefore is how many keys were evicted before the filling began. Who opens it first writes that down.
func (f *Filling) evictedBefore(ctx context.Context, c Condition) (map[string]int64, error) {
	var text strings.Builder
	text.WriteString(f.Name)
	for _, server := range slices.Sorted(maps.Keys(c.Evicted)) {
		fmt.Fprintf(&text, " %s=%d", server, c.Evicted[server])
	}
	if err := f.put(ctx, map[string]mark{evictedKey: {f.Name, 0, text.String()}}); err != nil {
		return nil, err
	}
	texts, err := f.get(ctx, evictedKey)
	if err != nil {
		return nil, err
	}
	handled := map[string]int64{}
	for part := range strings.FieldsSeq(texts[0]) {
		server, digits, _ := strings.Cut(part, "=")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			handled[server] = n
		}
	}
	return handled, nil
}

// Filled says whether all that there was when the filling began has been put.
func (f *Filling) Filled(ctx context.Context) (bool, error) {
	texts, err := f.get(ctx, filledKey)
	return err == nil && texts[0] == f.Name, err
}

// Done says that it is filled.
func (f *Filling) Done(ctx context.Context) error {
	return f.put(ctx, map[string]mark{filledKey: {f.Name, 0, f.Name}})
}
