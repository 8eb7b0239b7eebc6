package features

import (
	"container/heap"

	"nearline/pipeline"
)

// How many keys a partition of a view takes.
//
// The bound is a partition's: its share of max_keys. So it does not depend on who holds the partition, nor on what else they hold. And whether a
// key is refused depends on the updates of the partition alone, not on how they were cut into cycles, nor on which expired keys a sweep has found:
// keys count until they expire, by the partition's clock. A refused update leaves no trace, so it does not move the clock either: whoever restores the
// partition knows the clock by the states there.
//
// The bound is one of keys and not of bytes. Known keys go on, and grow; so a bound that refuses new keys by the bytes of the known ones would not
// hold. With as many keys, of at most maxText bytes, and states of at most View.MaxState, it does.

// defaultMaxKeys of a view that says nothing: about a gigabyte where keys are short and have some numbers each (see BenchmarkBytesOfAKey).
const defaultMaxKeys = 1_000_000

// share of a partition among so many, at least one key.
func (v *View) share(partitions int) int {
	partitions = max(partitions, 1)
	return (v.maxKeys + partitions - 1) / partitions
}

// Partitions says how many the view's topics have, each of which keeps its share of the view's keys. It is called before the first Run.
func (t *Table) Partitions(n int) { t.partitionCount, t.share = n, t.view.share(n) }

// census counts the keys of a partition that have not expired, while a cycle adds updates. It is made where that matters: where there are as many
// keys as the partition takes, and some may have expired.
type census struct {
	live int
	now  int64 // up to which it has counted: that of the partition, or of a refused update that is later
	// aging are the keys that may expire within the cycle, the oldest first, each with the time of its latest event when it was added. One that had
	// another event since is there again.
	aging   ages
	horizon int64 // keys with an event after that do not expire within the cycle
}

type age struct {
	at  int64
	key string
}

// ages is a heap.
type ages []age

func (a ages) Len() int           { return len(a) }
func (a ages) Less(i, j int) bool { return a[i].at < a[j].at }
func (a ages) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *ages) Push(x any)        { *a = append(*a, x.(age)) } //nolint:errcheck // the heap's own
func (a *ages) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// state of a key as the cycle has it: nil where there is none. mu is held.
func (c *changes) state(k *kept, key string) *State {
	if s, changed := c.keys[key]; changed {
		return s
	}
	return k.keys[key]
}

// set the state of a key, nil to forget it; mu is held.
func (c *changes) set(k *kept, key string, s *State) {
	before := c.state(k, key)
	c.keys[key] = s
	switch {
	case before == nil && s != nil:
		c.total++
	case before != nil && s == nil:
		c.total--
	}
}

// hasRoom says whether a partition takes a key that is not known, or has expired, at the time of its update; mu is held. Before is what there is of it.
func (t *Table) hasRoom(k *kept, c *changes, before *State, now int64) bool {
	others := c.total
	if before != nil {
		others-- // it does not count itself
	}
	if others < t.share {
		return true
	}
	if !t.view.Expires() {
		return false
	}
	if c.census == nil {
		c.census = t.count(k, c)
	}
	return c.census.count(t.view, k, c, now) < t.share
}

// count the keys that have not expired by now; mu is held.
func (t *Table) count(k *kept, c *changes) *census {
	n := &census{now: c.now, horizon: c.latest - t.view.ttl}
	each := func(key string, s *State) {
		if s == nil || t.view.expired(s, c.now) {
			return
		}
		if n.live++; s.At < n.horizon {
			n.aging = append(n.aging, age{s.At, key})
		}
	}
	for key, s := range k.keys {
		if _, changed := c.keys[key]; !changed {
			each(key, s)
		}
	}
	for key, s := range c.keys {
		each(key, s)
	}
	heap.Init(&n.aging)
	return n
}

// count up to a later time; mu is held.
func (n *census) count(v *View, k *kept, c *changes, now int64) int {
	n.now = max(n.now, now)
	for len(n.aging) > 0 && n.now-n.aging[0].at > v.ttl {
		oldest := heap.Pop(&n.aging).(age) //nolint:errcheck // the heap's own
		if s := c.state(k, oldest.key); s != nil && s.At == oldest.at {
			n.live--
		}
	}
	return n.live
}

// heard of an update of a key, before which it was of a time, or had no state that counts.
func (n *census) heard(v *View, key string, before int64, counted bool, after int64) {
	if counted = counted && n.now-before <= v.ttl; counted && before == after {
		return
	}
	if n.now-after > v.ttl {
		return // refused ones have moved its time on: it would be counted and gone again
	}
	if !counted {
		n.live++
	}
	if after < n.horizon {
		heap.Push(&n.aging, age{after, key})
	}
}

// full is what becomes of an update that its partition has no room for.
func (t *Table) full(partition int32) *pipeline.Fault {
	return pipeline.Faultf(pipeline.ClassFull, pipeline.StageAggregate,
		"view %s is full: partition %d keeps its share of max_keys (%d keys of %d, among %d partitions), and this key is a new one; raise features.views[].max_keys of the view, or set its ttl, "+
			"then put the update back with nearline dlq replay",
		t.view.name, partition, t.share, t.view.maxKeys, t.partitionCount)
}
