package batching

import (
	"slices"
	"time"
)

// policy decides which of the waiting rows a free slot runs next. It is a function of what waits, of the time and of how
// many slots are free; it knows no lock, no clock and no goroutine. The one thing it remembers is whose turn it is.
//
// First a row is chosen, then the rows that join it.
//
// The row: the one that came first in the most urgent class, unless a row has waited its class's MaxWait. Then the row
// whose time ran out first goes, whatever its class; but such rows do not go ahead of more urgent ones in two successive
// batches. Without that last clause a stream that lags by more than its MaxWait consists of overdue rows only, and an online
// row would wait behind all of them; with it, both get at least every second batch.
//
// The rows that join it: of the same queue, class by class, those nearest in cost, until a limit is reached. Class goes
// before nearness, or else a backlog would fill the batch of an online row with its own while another online row waits.
//
// As large as the load allows and no larger: with several slots free, a batch takes no more than its even share of what
// waits. Two slots that run four rows each end sooner than one that runs eight beside an idle one; where that is not so,
// because the device gains more from size than from company, it wants fewer slots.
type policy struct {
	maxWait [classes]time.Duration // 0: rows of this class are never overdue
	jumped  bool                   // the last batch was formed around an overdue row ahead of a more urgent one
}

// backlog is all that waits on a device.
type backlog struct {
	queues  []*queue
	retries [classes][]retry // halves of failed batches, by their most urgent row; the last is next
	rows    int              // in lanes and retries together
}

// retry is half of a batch that failed, to be run as it is.
type retry struct {
	rows  []*row // those withdrawn meanwhile have ended
	first *row   // its most urgent row, which speaks for it
}

// batch is what a slot runs.
type batch struct {
	queue   *queue
	rows    []*row
	retry   bool           // runs rows that have run before
	entered [classes]int64 // rows taken from lanes, which no longer wait
	real    int            // tokens
	longest int
}

func (b *batch) reset() {
	clear(b.rows)
	*b = batch{rows: b.rows[:0]}
}

// fits says whether a row of this cost may join.
func (b *batch) fits(cost int, limits *Limits, items int) bool {
	rows := len(b.rows) + 1
	if limits.Packed {
		return rows <= items && b.real+cost <= limits.MaxTokens
	}
	padded := max(b.longest, cost) * rows
	return rows <= items && padded <= limits.MaxTokens && float64(padded) <= limits.MaxPadding*float64(b.real+cost)
}

func (b *batch) append(r *row) {
	r.state = running
	b.rows = append(b.rows, r)
	b.real += r.cost
	b.longest = max(b.longest, r.cost)
}

// next moves the rows of the next batch out of the backlog into b, which is empty, and says whether there are any. The slot
// that asks counts as free. Its cost depends on the number of queues and of rows taken, not on that of rows waiting.
func (p *policy) next(now time.Duration, free int, from *backlog, b *batch) bool {
	first := p.choose(now, from)
	if first == nil {
		return false
	}
	share := (from.rows + free - 1) / free
	b.queue = first.queue
	if first.state == held {
		from.retry(first.class, b)
		return true
	}
	from.take(first, b)
	p.fill(from, b, min(b.queue.limits.MaxItems, share))
	return true
}

// choose returns the row to form a batch around, or nil.
func (p *policy) choose(now time.Duration, from *backlog) *row {
	var urgent, overdue *row
	var since time.Duration
	for class := range Class(classes) {
		// A retry goes before the rows of its class that have not run: what has begun ends, and little is under way at once.
		for _, first := range [...]*row{from.lastRetry(class), from.firstCome(class)} {
			if first == nil {
				continue
			}
			if urgent == nil {
				urgent = first
			}
			end := first.arrived + p.maxWait[class]
			if p.maxWait[class] > 0 && end <= now && (overdue == nil || end < since) {
				overdue, since = first, end
			}
		}
	}
	if overdue == nil || overdue == urgent || p.jumped {
		p.jumped = false
		return urgent
	}
	p.jumped = true
	return overdue
}

// fill adds the rows that join the first.
func (p *policy) fill(from *backlog, b *batch, items int) {
	for class := range b.queue.lanes {
		if len(b.rows) >= items {
			return
		}
		if l := &b.queue.lanes[class]; b.queue.limits.Order == FirstCome {
			for l.head != nil && b.fits(l.head.cost, &b.queue.limits, items) {
				from.take(l.head, b)
			}
		} else if l.size > 0 {
			fillNearest(from, l, b, items)
		}
	}
}

// fillNearest adds rows of one lane outward from the first row's cost, the shorter of two that are equally near, and stops
// in each direction at the first that does not fit.
func fillNearest(from *backlog, l *lane, b *batch, items int) {
	cost, limits := b.rows[0].cost, &b.queue.limits
	shorter, longer := l.upTo(cost), l.above(cost)
	for shorter != nil || longer != nil {
		if longer == nil || shorter != nil && cost-shorter.cost <= longer.cost-cost {
			if !b.fits(shorter.cost, limits, items) {
				shorter = nil
				continue
			}
			from.take(shorter, b)
			shorter = l.upTo(cost)
		} else {
			if !b.fits(longer.cost, limits, items) {
				longer = nil
				continue
			}
			from.take(longer, b)
			longer = l.above(cost)
		}
	}
}

// lastRetry returns the most urgent row of the latest retry of a class, or nil.
func (f *backlog) lastRetry(class Class) *row {
	for stack := f.retries[class]; len(stack) > 0; stack = f.retries[class] {
		last := &stack[len(stack)-1]
		last.rows = slices.DeleteFunc(last.rows, func(r *row) bool { return r.state != held })
		if last.first.state == held {
			return last.first
		}
		rest := last.rows
		f.pop(class)
		if len(rest) > 0 { // may be less urgent than the row that was withdrawn
			f.rows -= len(rest)
			f.hold(rest)
		}
	}
	return nil
}

// firstCome returns the row of a class that has waited longest to run at all, or nil.
func (f *backlog) firstCome(class Class) *row {
	var first *row
	for _, q := range f.queues {
		if head := q.lanes[class].head; head != nil && (first == nil || head.seq < first.seq) {
			first = head
		}
	}
	return first
}

// push adds a row that has just arrived.
func (f *backlog) push(r *row) {
	r.state = waiting
	r.queue.lanes[r.class].push(r)
	f.rows++
}

// remove takes a row out of its lane.
func (f *backlog) remove(r *row) {
	r.queue.lanes[r.class].remove(r)
	f.rows--
}

// take moves a row from its lane to a batch.
func (f *backlog) take(r *row, b *batch) {
	f.remove(r)
	b.entered[r.class]++
	b.append(r)
}

// hold puts back rows of a batch that failed, to be run again as they are.
func (f *backlog) hold(rows []*row) {
	r := retry{rows: slices.Clone(rows), first: rows[0]}
	for _, row := range rows {
		row.state = held
		if row.class < r.first.class || row.class == r.first.class && row.seq < r.first.seq {
			r.first = row
		}
	}
	f.retries[r.first.class] = append(f.retries[r.first.class], r)
	f.rows += len(rows)
}

// retry moves the next retry of a class to a batch. There is one, and it is not empty.
func (f *backlog) retry(class Class, b *batch) {
	stack := f.retries[class]
	b.retry = true
	for _, r := range stack[len(stack)-1].rows {
		b.append(r)
	}
	f.rows -= len(b.rows)
	f.pop(class)
}

func (f *backlog) pop(class Class) {
	last := len(f.retries[class]) - 1
	f.retries[class][last] = retry{}
	f.retries[class] = f.retries[class][:last]
}
