package batching

import "time"

// Stats are totals since the device was made; the difference of two is a measurement. Tokens and batches include the runs
// that search a failed batch for the guilty row, rows do not.
type Stats struct {
	Elapsed      time.Duration // since Run began
	Busy         time.Duration // of all slots
	Share        float64       // of the slots' time that they were busy, 0 to 1
	Rows         uint64        // taken by a slot
	Batches      uint64        // run
	RealTokens   uint64        // sum of costs
	PaddedTokens uint64        // width times rows, summed over batches
}

// counters is what a device counts, plain numbers under its mu: a slot holds that lock anyway when there is something to
// count, and a metric that is read once in 15 seconds need not cost an atomic each time it is written.
type counters struct {
	began  time.Duration
	busy   time.Duration // of runs that have ended
	totals series
	series map[string]*series // by queue name
	waits  [classes]histogram
}

// series is what is counted for the queues of one name.
type series struct {
	queues       int // that share it
	rows         [classes]uint64
	failed       uint64
	batches      uint64
	searches     uint64 // runs of part of a failed batch
	realTokens   uint64
	paddedTokens uint64
	sizes        histogram
}

func newCounters() counters {
	c := counters{series: make(map[string]*series)}
	for class := range c.waits {
		c.waits[class] = newHistogram(waitBounds)
	}
	return c
}

func (c *counters) open(name string) *series {
	s := c.series[name]
	if s == nil {
		s = &series{sizes: newHistogram(sizeBounds)}
		c.series[name] = s
	}
	s.queues++
	return s
}

func (c *counters) close(name string) {
	if s := c.series[name]; s.queues > 1 {
		s.queues--
	} else {
		delete(c.series, name)
	}
}

// formed counts a batch that is about to run.
func (c *counters) formed(now time.Duration, b *batch) {
	s := b.queue.series
	padded := b.queue.limits.padded(b.longest, len(b.rows), b.real)
	for _, s := range [...]*series{s, &c.totals} {
		s.batches++
		s.realTokens += uint64(b.real)
		s.paddedTokens += uint64(padded)
		for class, n := range b.entered {
			s.rows[class] += uint64(n)
		}
	}
	if b.retry {
		s.searches++
		return
	}
	s.sizes.observe(int64(len(b.rows)))
	for _, r := range b.rows {
		c.waits[r.class].observe(int64(now - r.arrived))
	}
}

// Stats returns the totals so far.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, totals := d.now(), &d.stats.totals
	s := Stats{
		Busy:         d.busy(now),
		Rows:         totals.rows[Online] + totals.rows[Stream] + totals.rows[Backfill],
		Batches:      totals.batches,
		RealTokens:   totals.realTokens,
		PaddedTokens: totals.paddedTokens,
	}
	if d.started {
		s.Elapsed = now - d.stats.began
	}
	if s.Elapsed > 0 {
		s.Share = float64(s.Busy) / float64(s.Elapsed) / float64(d.config.Slots)
	}
	return s
}

// Bounds of the histograms: rows in a batch, and nanoseconds of waiting.
var (
	sizeBounds = []int64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}
	waitBounds = []int64{1e6, 2e6, 5e6, 10e6, 20e6, 50e6, 100e6, 200e6, 500e6, 1e9, 2e9, 5e9, 10e9, 30e9, 60e9}
)

// histogram counts values up to each bound. prometheus.Histogram would do, at ten times the cost a row.
type histogram struct {
	bounds []int64
	counts []uint64 // not cumulative; the last is of values above all bounds
	sum    int64
}

func newHistogram(bounds []int64) histogram {
	return histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)}
}

func (h *histogram) observe(v int64) {
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += v
}
