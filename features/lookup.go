package features

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/errgroup"

	"nearline/pipeline"
)

// Freshness says how far the features of a row can be trusted, from best to worst.
type Freshness uint8

// The degrees of freshness.
const (
	// Fresh features were read of the store, no longer ago than LookupConfig.FreshFor.
	Fresh Freshness = iota
	// Stale ones are remembered from when the store last answered.
	Stale
	// Default ones are those of a key of which nothing is known.
	Default
)

func (f Freshness) String() string { return [...]string{"fresh", "stale", "default"}[f] }

// ParseFreshness reads what String wrote; anything else is Default.
func ParseFreshness(s string) Freshness {
	for f := range Default {
		if f.String() == s {
			return f
		}
	}
	return Default
}

// FreshnessField of results says how fresh is what was looked up.
const FreshnessField = "features"

// LookupConfig bounds what lookups take.
type LookupConfig struct {
	// Deadline of one round trip to the store.
	Deadline time.Duration `yaml:"deadline"`
	// CacheKeys is how many keys of a view are remembered, those that have no values among them; 0 remembers none.
	CacheKeys int `yaml:"cache_keys"`
	// CacheBytes is how much memory these may take, for each view: about. Where values are large, fewer keys are remembered.
	CacheBytes pipeline.ByteSize `yaml:"cache_bytes"`
	// FreshFor is how long what is remembered is used without asking the store.
	FreshFor time.Duration `yaml:"fresh_for"`
	// StaleFor is how long it is used when the store does not answer.
	StaleFor time.Duration `yaml:"stale_for"`
	// TripAfter so many failures in a row the store is left in peace for RetryAfter.
	TripAfter  int           `yaml:"trip_after"`
	RetryAfter time.Duration `yaml:"retry_after"`
}

// DefaultLookup is what a configuration gets that says nothing. All of it are guesses on the safe side: a round trip within a data centre takes
// a millisecond, and a hundred thousand keys of five numbers each are 93 MB (BenchmarkBytesOfAKey).
func DefaultLookup() LookupConfig {
	return LookupConfig{
		Deadline: 100 * time.Millisecond, CacheKeys: 100_000, CacheBytes: 128 << 20, FreshFor: time.Second, StaleFor: 10 * time.Minute,
		TripAfter: 5, RetryAfter: 5 * time.Second,
	}
}

// Validate names every problem, each with its key below path, its value and the remedy.
func (c LookupConfig) Validate(path string) error {
	p := &checks{}
	if c.Deadline < time.Millisecond || c.Deadline > 10*time.Second {
		p.Add(path+".deadline", "is %v: want between 1ms and 10s", c.Deadline)
	}
	if c.CacheKeys < 0 || c.CacheKeys > maxMaxKeys {
		p.Add(path+".cache_keys", "is %d: want 0 for none, or how many, at most %d", c.CacheKeys, maxMaxKeys)
	}
	if c.CacheKeys > 0 && c.CacheBytes < 1<<20 {
		p.Add(path+".cache_bytes", "is %v: want at least 1MiB, or cache_keys: 0 for no cache", c.CacheBytes)
	}
	if c.CacheBytes > 1<<40 {
		p.Add(path+".cache_bytes", "is %v: want at most 1024GiB", c.CacheBytes)
	}
	if c.FreshFor < 0 || c.StaleFor < c.FreshFor {
		p.Add(path+".fresh_for", "is %v and stale_for is %v: want 0 or more, and stale_for not below fresh_for", c.FreshFor, c.StaleFor)
	}
	if c.FreshFor > pipeline.Longest {
		p.Add(path+".fresh_for", "is %v: want at most %v", c.FreshFor, pipeline.Longest)
	}
	if c.StaleFor > pipeline.Longest {
		p.Add(path+".stale_for", "is %v: want at most %v", c.StaleFor, pipeline.Longest)
	}
	if c.TripAfter < 1 || c.TripAfter > 1_000_000 {
		p.Add(path+".trip_after", "is %d: want at least 1 failure, and at most 1000000", c.TripAfter)
	}
	if c.RetryAfter < 10*time.Millisecond || c.RetryAfter > time.Hour {
		p.Add(path+".retry_after", "is %v: want at least 10ms, and at most 1h", c.RetryAfter)
	}
	return p.Err()
}

// Lookup is the step that adds the features of rows' keys: those of a whole cycle at once, each key asked for once, in one round trip a view, and
// the views at the same time. It never waits longer than the deadline, unless it is to wait for the store: what the store does not
// say in time is taken from the cache, or is the view's default, and the result says so.
type Lookup struct {
	views []*looked
	wait  bool
}

var _ pipeline.Step = (*Lookup)(nil)

// looked is one view that a step looks up.
type looked struct {
	finder *Finder
	key    pipeline.Path
	column string
	fields []int // that stand in the result
}

// ViewLookup says which features of a view a step adds.
type ViewLookup struct {
	Finder *Finder
	// As is the column's name in the result; "" is the view's name.
	As string
	// Fields that the result has; nil is all of the view.
	Fields []string
	// Key is the path of the key in these events; "" is the view's own.
	Key string
}

// NewLookup makes the step. Columns are those of predictions before it, reads what earlier steps want the decoder to read; it returns those with its own added.
// With wait the cycle is given back when the store does not answer, and tried again.
func NewLookup(views []ViewLookup, wait bool, columns, reads []string) (*Lookup, []string, error) {
	l := &Lookup{wait: wait}
	var errs []error
	for _, c := range views {
		view := c.Finder.view
		v := &looked{finder: c.Finder, column: c.As}
		if v.column == "" {
			v.column = view.name
		}
		path := c.Key
		if path == "" {
			path = view.key
		}
		v.key, reads = pipeline.FindPath(path, columns, reads)
		for i, f := range view.fields {
			if c.Fields == nil || slices.Contains(c.Fields, f.name) {
				v.fields = append(v.fields, i)
			}
		}
		for _, name := range c.Fields {
			if !slices.Contains(view.Fields(), name) {
				errs = append(errs, fmt.Errorf("fields has %q: view %s has %v", name, view.name, view.Fields()))
			}
		}
		l.views = append(l.views, v)
	}
	return l, reads, errors.Join(errs...)
}

// Name of the step.
func (l *Lookup) Name() string {
	names := []string{"lookup"}
	for _, v := range l.views {
		names = append(names, v.finder.view.name)
	}
	return strings.Join(names, " ")
}

// Columns that the step adds to a result, with the defaults as examples of what they hold.
func (l *Lookup) Columns() []pipeline.Field {
	var columns []pipeline.Field
	for _, v := range l.views {
		columns = append(columns, v.columnOf(v.finder.view.Defaults()))
	}
	return append(columns, pipeline.Field{Name: FreshnessField, Value: pipeline.StringValue(Fresh.String())})
}

// columnOf is the column that values become.
func (v *looked) columnOf(values []pipeline.Field) pipeline.Field {
	chosen := make([]pipeline.Field, len(v.fields))
	for i, field := range v.fields {
		chosen[i] = values[field]
	}
	return pipeline.Field{Name: v.column, Value: pipeline.ObjectValue(chosen...)}
}

// Run looks up all rows.
func (l *Lookup) Run(ctx context.Context, rows []*pipeline.Row) error {
	keys := make([][]string, len(l.views)) // by view and row; "" where a row has none
	for i, v := range l.views {
		keys[i] = make([]string, len(rows))
		for j, row := range rows {
			keys[i][j], _ = v.key.Value(row).Text()
		}
	}
	found := make([]Answers, len(l.views))
	group, asking := errgroup.WithContext(ctx)
	for i, v := range l.views {
		group.Go(func() (err error) {
			found[i], err = v.finder.FindAll(asking, keys[i], l.wait)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	now := time.Now()
	for j, row := range rows {
		if row.Fault != nil {
			continue
		}
		worst := Fresh
		for i, v := range l.views {
			of := found[i].Key(keys[i][j])
			values := v.finder.view.defaults
			if of.Entry != nil {
				values = of.Entry.Now(v.finder.view, now)
			}
			worst = max(worst, of.Freshness)
			row.Features = append(row.Features, v.columnOf(values))
		}
		row.Features = append(row.Features, pipeline.Field{Name: FreshnessField, Value: pipeline.StringValue(worst.String())})
	}
	return nil
}

// Found is what is known of a key.
type Found struct {
	Entry     *Entry // nil for nothing
	Freshness Freshness
	bad       error // says why the store's value of the key cannot be read
}

// Value of a field of the view as of now, in milliseconds since 1970: the default where nothing is known.
func (f Found) Value(view *View, field int, now int64) pipeline.Value {
	if f.Entry == nil {
		return view.defaults[field].Value
	}
	value := f.Entry.Values[field].Value
	f.Entry.age(view, field, now, &value)
	return value
}

// Values of all fields, as one.
func (f Found) Values(view *View, now int64) pipeline.Value {
	if f.Entry == nil {
		return pipeline.ObjectValue(view.defaults...)
	}
	return pipeline.ObjectValue(f.Entry.Now(view, time.UnixMilli(now))...)
}

// Finder looks keys of one view up, for all steps and requests of a process: it has the cache, and the breaker that leaves a store in peace which
// does not answer. Safe for concurrent use.
type Finder struct {
	view    *View
	store   Store
	config  LookupConfig
	cache   *cache // nil for none
	breaker *gobreaker.CircuitBreaker[[]*Entry]
	failed  atomic.Pointer[error] // what the store said last that was no answer
	logger  *slog.Logger
	metrics *Metrics
}

// View that the keys are of.
func (f *Finder) View() *View { return f.view }

// NewFinder makes a finder with an empty cache.
func NewFinder(view *View, store Store, config LookupConfig, logger *slog.Logger, metrics *Metrics) (f *Finder, err error) {
	f = &Finder{view: view, store: store, config: config, logger: logger, metrics: metrics}
	if config.CacheKeys > 0 {
		if f.cache, err = newCache(config); err != nil {
			return nil, err
		}
	}
	f.breaker = gobreaker.NewCircuitBreaker[[]*Entry](gobreaker.Settings{
		Name:        view.name,
		Timeout:     config.RetryAfter,
		ReadyToTrip: func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= config.TripAfter },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
				logger.Warn("the store of features does not answer; lookups have what is remembered, or defaults", "again_in", config.RetryAfter, "error", *f.failed.Load())
			case to == gobreaker.StateClosed:
				logger.Info("the store of features answers again")
			}
		},
		// Whoever was not waited for says nothing of the store.
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
	})
	return f, nil
}

// Find a key, for whoever would rather have an error than a default: nil where nothing is known of it. The error wraps ErrBadEntry where it is the key's.
func (f *Finder) Find(ctx context.Context, key string) (*Entry, error) {
	found, err := f.FindAll(ctx, []string{key}, true)
	of := found.Key(key)
	if err == nil && of.bad != nil {
		err = fmt.Errorf("%w: %w", ErrBadEntry, of.bad)
	}
	return of.Entry, err
}

// ErrBadEntry says that what the store has under a key is no entry of its view. The store answers, and asking again does not help.
var ErrBadEntry = errors.New("the store of features has something else under this key")

// Answers hold what was found for each key. Each key was looked up once.
type Answers struct {
	at    map[string]int
	found []Found
}

// Key tells what was found of a key. Nothing is known of one that was not asked for, or where all failed.
func (a *Answers) Key(key string) Found {
	if at, ok := a.at[key]; ok {
		return a.found[at]
	}
	return Found{Freshness: Default}
}

// FindAll keys, however often each is among them. With wait, a store that does not answer is an error; the context's end is one always.
func (f *Finder) FindAll(ctx context.Context, keys []string, wait bool) (Answers, error) {
	a, distinct := Answers{at: make(map[string]int, len(keys))}, make([]string, 0, len(keys))
	for _, key := range keys {
		if _, again := a.at[key]; !again {
			a.at[key], distinct = len(distinct), append(distinct, key)
		}
	}
	a.found = make([]Found, len(distinct))
	return a, f.Look(ctx, distinct, a.found, wait)
}

// Look different keys up, and put into found what is known of each.
func (f *Finder) Look(ctx context.Context, keys []string, found []Found, wait bool) error {
	began := time.Now()
	var ask []string
	var asked []int // which of the keys they are
	cached := 0
	for i, key := range keys {
		found[i] = Found{Freshness: Default}                // until it is answered
		if key == "" || len(key) > maxText || key[0] == 0 { // no view has such a key
			continue
		}
		known, ok := f.remembered(key)
		if ok && began.Sub(known.at) <= f.config.FreshFor {
			found[i] = f.judge(known.entry, Fresh, began)
			cached++
			continue
		}
		ask, asked = append(ask, strings.Clone(key)), append(asked, i) // cloned lest the cache keep all of its row
	}
	f.metrics.looked("cache", cached)
	if len(ask) == 0 {
		return nil
	}
	entries, err := f.ask(ctx, ask, wait)
	switch {
	case err == nil:
		for n, key := range ask {
			f.remember(key, entries[n], began)
			found[asked[n]] = f.judge(entries[n], Fresh, began)
		}
		f.metrics.looked("store", len(ask))
		f.metrics.answered(entries)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case wait:
		return fmt.Errorf("%w for the store of features: look up %d keys of view %s: %w", pipeline.ErrAway, len(ask), f.view.name, err)
	default:
		f.metrics.looked("unanswered", len(ask))
		for n, key := range ask {
			if known, ok := f.remembered(key); ok && began.Sub(known.at) <= f.config.StaleFor {
				found[asked[n]] = f.judge(known.entry, Stale, began)
			}
		}
	}
	f.metrics.took(began)
	return nil
}

// judge says what an entry is good for: nothing is known of a key whose latest event is older than the view allows.
func (f *Finder) judge(e *Entry, as Freshness, now time.Time) Found {
	if e != nil && e.Bad != nil {
		return Found{Freshness: Default, bad: e.Bad}
	}
	if e == nil || f.view.maxAge > 0 && e.Age(now) > f.view.maxAge {
		return Found{Freshness: Default}
	}
	return Found{Entry: e, Freshness: as}
}

// ask the store, within the deadline.
func (f *Finder) ask(ctx context.Context, keys []string, wait bool) ([]*Entry, error) {
	get := func() ([]*Entry, error) {
		asking, cancel := context.WithTimeout(ctx, f.config.Deadline)
		defer cancel()
		entries, err := f.store.Get(asking, f.view, keys)
		if err != nil && ctx.Err() != nil {
			return nil, context.Canceled
		}
		if err != nil {
			f.failed.Store(&err)
		}
		return entries, err
	}
	if wait {
		return get() // the cycle backs off by itself
	}
	return f.breaker.Execute(get)
}
