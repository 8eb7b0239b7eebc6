package features

// Expires says that keys are forgotten.
func (v *View) Expires() bool { return v.ttl > 0 }

// expired says that a state is forgotten by a time, in milliseconds since 1970: that of the latest event in its partition.
func (v *View) expired(s *State, now int64) bool { return v.ttl > 0 && now-s.At > v.ttl }

// mostExpired is how many keys a cycle forgets: their tombstones are part of its transaction.
const mostExpired = 10_000

// expire forgets keys without events for as long as the view says.
func (t *Table) expire() {
	if !t.view.Expires() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	left := mostExpired
	for p, c := range t.pending {
		// Where there are more keys than the partition takes, some have expired, or max_keys was larger once.
		if c.now >= c.sweep || c.total > t.share {
			left -= t.sweep(t.partitions[p], c, left)
		}
	}
}

// sweep forgets keys of a partition, most at the most, and says how many; mu is held.
func (t *Table) sweep(k *kept, c *changes, most int) (forgotten int) {
	oldest := c.now
	for _, s := range c.keys {
		if s != nil {
			oldest = min(oldest, s.At)
		}
	}
	for key, s := range k.keys {
		if _, changed := c.keys[key]; changed {
			continue
		}
		if !t.view.expired(s, c.now) {
			oldest = min(oldest, s.At)
			continue
		}
		if forgotten == most {
			return forgotten // the next cycle goes on
		}
		c.set(k, key, nil)
		c.expired++
		forgotten++
	}
	// Each sweep looks at all keys: twenty in the time that one lives are enough.
	c.sweep = max(oldest+t.view.ttl+1, c.now+t.view.ttl/20)
	return forgotten
}
