package features

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"nearline/pipeline"
)

// Table is the step that keeps a view: it adds updates to the states of their keys, in the partitions that one member of the view's group
// holds.
//
// What must hold: the state of a key is that of the updates which were committed, each once, in the order of their partition. So a cycle
// changes copies. They become the table's when the cycle is committed, in the same transaction as they are published, and are dropped
// otherwise; and a partition that somebody else may have held meanwhile is brought up to what is committed before its first update.
//
// Each member has a table of its own. Run, Changes, Keep and Drop are called by its cycle, Lost by its client.
type Table struct {
	view    *View
	topic   string
	member  string
	restore Restore
	logger  *slog.Logger
	metrics *Metrics
	// partitionCount is how many the topic has, and share how many keys each takes.
	partitionCount, share int

	pending map[int32]*changes // of the cycle in hand

	mu         sync.Mutex // guards partitions, and what is in them
	partitions map[int32]*kept
}

var _ pipeline.Keeper = (*Table)(nil)

// kept is one partition of the view's state.
type kept struct {
	keys map[string]*State
	// bad says why the states of these keys, of which there is none in keys, cannot be read.
	bad map[string]error
	// next is the offset in the topic of states up to which keys are known.
	next int64
	// current says that nobody else has held the partition since.
	current bool
	since   time.Time // that it was restored from the beginning
	now     int64     // latest time of an event, in milliseconds since 1970: all keys together know it, for its own key is kept
	sweep   int64     // by when it is worth while to look for keys to forget
}

// changes of a cycle to one partition.
type changes struct {
	keys       map[string]*State // copies, nil where the key is forgotten
	now, sweep int64             // as in kept
	expired    int               // keys
	refused    int               // updates of keys that there is no room for
	total      int               // keys, those that have expired and are still there among them
	latest     int64             // time of an update of the cycle, be it refused
	census     *census           // nil where nobody had to know
}

// Restore reads a partition of a topic of states from an offset on, up to all that is committed, and returns the next offset. Value is nil
// where a state was deleted. It waits for transactions that are open.
type Restore func(ctx context.Context, partition int32, from int64, apply func(key, value []byte) error) (next int64, err error)

// NewTable makes an empty table for one member, whose name is for metrics. Topic is the one of states.
func NewTable(view *View, topic, member string, restore Restore, logger *slog.Logger, metrics *Metrics) *Table {
	t := &Table{view: view, topic: topic, member: member, restore: restore, logger: logger, metrics: metrics, partitions: make(map[int32]*kept)}
	t.Partitions(1)
	return t
}

// Name of the step.
func (t *Table) Name() string { return "keep " + t.view.name }

// Lost says that others may hold these partitions from now on. Safe for concurrent use with all else.
func (t *Table) Lost(partitions []int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range partitions {
		if kept := t.partitions[p]; kept != nil {
			kept.current = false
		}
	}
}

// Forget makes nothing of what is known certain: the member begins anew.
func (t *Table) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, kept := range t.partitions {
		kept.current = false
	}
}

// Run adds the updates of a cycle.
func (t *Table) Run(ctx context.Context, rows []*pipeline.Row) error {
	t.Drop()
	t.prune()
	t.pending = make(map[int32]*changes)
	if err := t.bringUp(ctx, rows); err != nil {
		return err
	}
	latest := latestOf(rows)
	for _, row := range rows {
		if row.Fault != nil {
			continue
		}
		p := row.Record.Partition
		kept, err := t.current(ctx, p)
		if err != nil {
			return err
		}
		if row.Fault = t.unreadable(kept, row.Record.Key); row.Fault != nil {
			continue
		}
		update := updateOf(row)
		c := t.pending[p]
		if c == nil {
			c = t.begin(kept, latest[p])
			t.pending[p] = c
		}
		if !t.changing(kept, c, string(row.Record.Key), &update) {
			row.Fault = t.full(p)
			c.refused++
		}
	}
	t.expire()
	return nil
}

// latestOf the rows of each partition is the latest time of an update.
func latestOf(rows []*pipeline.Row) map[int32]int64 {
	latest := make(map[int32]int64)
	for _, row := range rows {
		if row.Fault != nil {
			continue
		}
		at := updateOf(row).At
		if before, known := latest[row.Record.Partition]; !known || before < at {
			latest[row.Record.Partition] = at
		}
	}
	return latest
}

// begin the changes of a cycle to a partition.
func (t *Table) begin(k *kept, latest int64) *changes {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &changes{keys: make(map[string]*State), now: k.now, sweep: k.sweep, total: len(k.keys), latest: latest}
}

// bringUp the partitions of a cycle to what is committed, several at a time: a state that is read back is work for a core, and waits for a broker. What is lost
// meanwhile, current reads again.
func (t *Table) bringUp(ctx context.Context, rows []*pipeline.Row) error {
	var behind []int32
	t.mu.Lock()
	for _, row := range rows {
		p := row.Record.Partition
		if k := t.partitions[p]; row.Fault == nil && (k == nil || !k.current) && !slices.Contains(behind, p) {
			behind = append(behind, p)
		}
	}
	t.mu.Unlock()
	if len(behind) == 0 {
		return nil
	}
	restores, ctx := errgroup.WithContext(ctx)
	restores.SetLimit(max(4, runtime.GOMAXPROCS(0)))
	for _, p := range behind {
		restores.Go(func() error {
			_, err := t.current(ctx, p)
			return err
		})
	}
	return restores.Wait()
}

// prune lets go of partitions that others hold, once what is known of them is of no more use.
func (t *Table) prune() {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.partitions, func(_ int32, k *kept) bool { return !k.current && time.Since(k.since) > staleAfter })
}

// changing adds an update to the copy of its key's state that the cycle changes; one that has come too late for its key to be kept changes nothing.
// It is false where the partition takes no further key.
func (t *Table) changing(from *kept, c *changes, key string, u *Update) (room bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := max(c.now, u.At)
	if c.census != nil {
		c.census.count(t.view, from, c, now) // while the key is still as it was
	}
	s := c.state(from, key)
	_, changed := c.keys[key]
	before, counted := int64(0), false
	// By the time of events, whether or not a sweep has found it: what a key has depends on its partition's updates alone.
	gone := s != nil && t.view.expired(s, now)
	switch {
	case s != nil && !gone:
		before, counted = s.At, true
		if !changed {
			s = s.copy()
		}
	case t.view.Expires() && now-u.At > t.view.ttl:
		// It would expire at once. Nobody would see it, and no bound would count it.
		if gone {
			c.set(from, key, nil)
			c.expired++
		}
		return true
	case !t.hasRoom(from, c, s, now):
		return false
	default:
		if gone {
			c.expired++
		}
		s = t.view.newState()
	}
	c.now = now
	c.set(from, key, s)
	t.view.add(s, u)
	if c.census != nil {
		c.census.heard(t.view, key, before, counted, s.At)
	}
	return true
}

// staleAfter is how long after it was restored a partition is caught up with by reading on. Later it is read from the beginning: by then the brokers
// may have forgotten what was deleted (delete.retention.ms, a day).
const staleAfter = 12 * time.Hour

// maxBad is how many keys of a partition may have states that cannot be read, each of which is somebody else's record. Where there are more, it is the topic that is
// not as it should be, or a release that is older than the states, and the partition waits. A guess.
const maxBad = 100

// unreadable is the fault of an update whose key has a state that cannot be read: it must not begin anew unless somebody says so.
func (t *Table) unreadable(of *kept, key []byte) *pipeline.Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := of.bad[string(key)]
	if err == nil {
		return nil
	}
	return pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageAggregate,
		"the state of key %q in %s cannot be read; write it anew, or a tombstone with which the key begins anew, restart, and replay this: %v", key, t.topic, err)
}

// current is the partition's state as it is committed.
func (t *Table) current(ctx context.Context, partition int32) (*kept, error) {
	t.mu.Lock()
	k := t.partitions[partition]
	if k == nil || !k.current && time.Since(k.since) > staleAfter {
		k = &kept{keys: make(map[string]*State), bad: make(map[string]error), since: time.Now()}
		t.partitions[partition] = k
	}
	if k.current {
		t.mu.Unlock()
		return k, nil
	}
	k.current = true // unless it is lost while it is read
	next := k.next
	t.mu.Unlock()

	began, read, anew := time.Now(), 0, 0
	next, err := t.restore(ctx, partition, next, func(key, value []byte) error {
		read++
		var s *State
		var bad error
		if value != nil {
			var fields int
			if s, fields, bad = t.view.DecodeState(value); fields > 0 {
				anew++
			}
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if delete(k.bad, string(key)); bad != nil {
			if k.bad[string(key)] = bad; len(k.bad) > maxBad {
				return fmt.Errorf("%w: the states of %d keys cannot be read, the last of them that of %q: is the topic this view's, and this release not older than "+
					"the one that wrote them? %w", pipeline.ErrPermanent, len(k.bad), key, bad)
			}
		}
		if s == nil {
			delete(k.keys, string(key))
			return nil
		}
		k.keys[string(key)] = s
		k.now = max(k.now, s.At)
		return nil
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		k.current = false
		return nil, fmt.Errorf("restore %s[%d]: %w", t.topic, partition, err)
	}
	if next < k.next {
		// The topic has been made anew, and what is known is of the one before.
		delete(t.partitions, partition)
		return nil, fmt.Errorf("topic %s was made anew while its partition %d was held", t.topic, partition)
	}
	k.next = next
	t.metrics.restored(read, time.Since(began))
	t.metrics.holds(t.member, t.held())
	t.metrics.fills(t.member, t.fullness())
	if anew > 0 {
		t.logger.Warn("features that are declared otherwise than before begin anew", "view", t.view.name, "partition", partition, "keys", anew)
	}
	for key, err := range k.bad {
		t.metrics.unreadable()
		t.logger.Error("a state cannot be read: updates of its key become dead letters until there is a tombstone for it, with which the key begins anew",
			"view", t.view.name, "topic", t.topic, "partition", partition, "key", key, "error", err)
	}
	t.logger.Info("restored a view's partition", "view", t.view.name, "partition", partition, "keys", len(k.keys),
		"read", read, "took", time.Since(began).Round(time.Millisecond))
	return k, nil
}

// held is how many keys there are; mu is held.
func (t *Table) held() (keys int) {
	for _, k := range t.partitions {
		keys += len(k.keys)
	}
	return keys
}

// fullness of the fullest partition that nobody else holds, where 1 is full; mu is held.
func (t *Table) fullness() (most float64) {
	for _, k := range t.partitions {
		if k.current {
			most = max(most, float64(len(k.keys))/float64(t.share))
		}
	}
	return most
}

// Changes are the states that the cycle has changed.
func (t *Table) Changes() ([]pipeline.Output, error) {
	var outputs []pipeline.Output
	for _, partition := range slices.Sorted(maps.Keys(t.pending)) {
		keys := t.pending[partition].keys
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			s := keys[key]
			if s == nil {
				outputs = append(outputs, pipeline.Output{Topic: t.topic, Key: []byte(key)})
				continue
			}
			value, err := t.view.encodeState(s)
			if err != nil {
				return nil, err
			}
			outputs = append(outputs, pipeline.Output{Topic: t.topic, Key: []byte(key), Value: value})
		}
	}
	return outputs, nil
}

// Keep the changes: they are committed.
func (t *Table) Keep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, c := range t.pending {
		// What was lost meanwhile is read again from where it was last read, and these with it.
		k := t.partitions[p]
		for key, s := range c.keys {
			if s == nil {
				delete(k.keys, key)
				continue
			}
			k.keys[key] = s
		}
		k.now, k.sweep = c.now, c.sweep
		t.metrics.forgot(c.expired)
		t.metrics.refused(c.refused)
	}
	t.metrics.holds(t.member, t.held())
	t.metrics.fills(t.member, t.fullness())
	t.pending = nil
}

// Drop the changes.
func (t *Table) Drop() { t.pending = nil }

// Decoder reads updates, which a Table takes out of the rows by updateOf.
type Decoder struct{ view *View }

var _ pipeline.Decoder = Decoder{}

// NewDecoder of a view's updates.
func NewDecoder(view *View) Decoder { return Decoder{view} }

// Decode an update.
func (d Decoder) Decode(record *pipeline.Record) (*pipeline.Row, *pipeline.Fault) {
	update, fault := d.view.DecodeUpdate(record)
	if fault != nil {
		return nil, fault
	}
	return update.row(record), nil
}

// row carries an update from the Decoder to the Table: Row.Read has the time, then the operands as the view lists them.
func (u *Update) row(record *pipeline.Record) *pipeline.Row {
	return &pipeline.Row{Record: record, Read: append([]pipeline.Value{pipeline.IntValue(u.At)}, u.Operands...)}
}

// updateOf takes out of a row what Update.row put in.
func updateOf(row *pipeline.Row) Update {
	return Update{At: row.Read[0].Int, Operands: row.Read[1:]}
}
