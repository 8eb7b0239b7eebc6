package batching

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// wide are limits that bind nothing.
var wide = Limits{MaxItems: 1 << 20, MaxTokens: 1 << 30, MaxPadding: 1 << 20, Bound: 1 << 20}

// table is a policy with its backlog and no device around them.
type table struct {
	policy  policy
	backlog backlog
	seq     uint64
}

func newTable(maxWait [classes]time.Duration, limits ...Limits) *table {
	tb := &table{policy: policy{maxWait: maxWait}}
	for i, l := range limits {
		tb.backlog.queues = append(tb.backlog.queues, newQueue(fmt.Sprint("q", i), l))
	}
	return tb
}

func (tb *table) push(queue int, class Class, cost int, arrived time.Duration) *row {
	tb.seq++
	r := &row{queue: tb.backlog.queues[queue], group: &tally{}, class: class, cost: cost, arrived: arrived, seq: tb.seq}
	tb.backlog.push(r)
	return r
}

func (tb *table) next(now time.Duration, free int) []*row {
	var b batch
	if !tb.policy.next(now, free, &tb.backlog, &b) {
		return nil
	}
	return b.rows
}

func costsOf(rows []*row) (all []int) {
	for _, r := range rows {
		all = append(all, r.cost)
	}
	return all
}

func TestPolicyFillsWithNearestRows(t *testing.T) {
	limits := func(change func(*Limits)) Limits {
		l := wide
		change(&l)
		return l
	}
	for _, c := range []struct {
		name    string
		limits  Limits
		waiting []int // costs, the first of which is chosen
		want    []int
	}{
		{"alone", wide, []int{7}, []int{7}},
		{"outward from the first", limits(func(l *Limits) { l.MaxItems = 4 }), []int{10, 2, 9, 30, 12, 11}, []int{10, 9, 11, 12}},
		{"shorter of two equally near", limits(func(l *Limits) { l.MaxItems = 2 }), []int{10, 12, 8}, []int{10, 8}},
		{"first come among equals", limits(func(l *Limits) { l.MaxItems = 3 }), []int{10, 10, 5, 10}, []int{10, 10, 10}},
		{"one at a time", limits(func(l *Limits) { l.MaxItems = 1 }), []int{10, 10}, []int{10}},
		{"tokens counted padded", limits(func(l *Limits) { l.MaxTokens = 39 }), []int{10, 9, 8, 7}, []int{10, 9, 8}},
		{"a longer row would pad the others over the limit", limits(func(l *Limits) { l.MaxTokens = 32 }), []int{10, 11, 9}, []int{10, 9}},
		{"padding", limits(func(l *Limits) { l.MaxPadding = 1.1 }), []int{100, 90, 109, 50}, []int{100, 109, 90}},
		{"no padding at all", limits(func(l *Limits) { l.MaxPadding = 1 }), []int{100, 99, 100, 101, 100}, []int{100, 100, 100}},
		{"shorter ones go on when longer ones do not fit", limits(func(l *Limits) { l.MaxPadding = 1.2 }), []int{100, 150, 99, 80}, []int{100, 99, 80}},
		{"first come takes the next, near or not", limits(func(l *Limits) { l.Order, l.MaxItems = FirstCome, 3 }), []int{10, 500, 3, 10}, []int{10, 500, 3}},
		{"first come stops at the first that does not fit", limits(func(l *Limits) { l.Order, l.MaxPadding = FirstCome, 1.1 }), []int{10, 10, 50, 10}, []int{10, 10}},
		{"packed rows add up, long ones and short", limits(func(l *Limits) { l.Packed, l.Order, l.MaxTokens, l.MaxPadding = true, FirstCome, 115, 1 }),
			[]int{100, 5, 10, 1}, []int{100, 5, 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tb := newTable([classes]time.Duration{}, c.limits)
			for _, cost := range c.waiting {
				tb.push(0, Stream, cost, 0)
			}
			if got := costsOf(tb.next(0, 1)); !slices.Equal(got, c.want) {
				t.Errorf("batch of %v: got %v, want %v", c.waiting, got, c.want)
			}
			if got, want := tb.backlog.rows, len(c.waiting)-len(c.want); got != want {
				t.Errorf("rows left: got %d, want %d", got, want)
			}
		})
	}
}

func TestPolicySharesRowsBetweenFreeSlots(t *testing.T) {
	for _, c := range []struct {
		rows, free int
		want       []int // sizes of the batches
	}{
		{8, 1, []int{8}},
		{8, 2, []int{4, 4}},
		{8, 3, []int{3, 3, 2}},
		{2, 4, []int{1, 1}},
		{9, 4, []int{3, 2, 2, 2}},
	} {
		tb := newTable([classes]time.Duration{}, wide)
		for range c.rows {
			tb.push(0, Stream, 5, 0)
		}
		var got []int
		for free := c.free; free > 0; free-- {
			if rows := tb.next(0, free); len(rows) > 0 {
				got = append(got, len(rows))
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d rows on %d free slots: got batches of %v, want %v", c.rows, c.free, got, c.want)
		}
	}
}

func TestPolicyChoosesByClassUntilOverdue(t *testing.T) {
	type arrival struct {
		name  string
		queue int
		class Class
		at    time.Duration
	}
	one := wide
	one.MaxItems = 1
	maxWait := [classes]time.Duration{Online: 10, Stream: 100, Backfill: 1000}
	for _, c := range []struct {
		name    string
		now     time.Duration
		waiting []arrival
		want    []string
	}{
		{"by class, whatever came first", 5,
			[]arrival{{"b", 0, Backfill, 0}, {"s", 0, Stream, 1}, {"o", 0, Online, 2}}, []string{"o", "s", "b"}},
		{"by arrival within a class, over all queues", 5,
			[]arrival{{"1", 0, Stream, 0}, {"2", 1, Stream, 1}, {"3", 0, Stream, 2}}, []string{"1", "2", "3"}},
		{"a row is overdue at its max wait, not before", 99,
			[]arrival{{"s", 0, Stream, 0}, {"o", 1, Online, 98}}, []string{"o", "s"}},
		{"an overdue row goes first", 100,
			[]arrival{{"s", 0, Stream, 0}, {"o", 1, Online, 98}}, []string{"s", "o"}},
		{"overdue rows and urgent ones take turns", 200,
			[]arrival{{"s1", 0, Stream, 0}, {"s2", 0, Stream, 1}, {"s3", 0, Stream, 2}, {"o1", 1, Online, 199}, {"o2", 1, Online, 199}},
			[]string{"s1", "o1", "s2", "o2", "s3"}},
		{"among overdue rows, the one whose time ran out first", 1050,
			[]arrival{{"b", 0, Backfill, 0}, {"s", 1, Stream, 901}, {"o", 0, Online, 1045}}, []string{"b", "o", "s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tb := newTable(maxWait, one, one)
			names := map[*row]string{}
			for _, a := range c.waiting {
				names[tb.push(a.queue, a.class, 1, a.at)] = a.name
			}
			var got []string
			for rows := tb.next(c.now, 1); rows != nil; rows = tb.next(c.now, 1) {
				got = append(got, names[rows[0]])
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("order: got %v, want %v", got, c.want)
			}
		})
	}
}

func TestPolicyNeverOverdueWithoutMaxWait(t *testing.T) {
	tb := newTable([classes]time.Duration{}, wide, wide)
	tb.push(0, Backfill, 1, 0)
	tb.push(1, Online, 2, time.Hour)
	if got, want := costsOf(tb.next(1000*time.Hour, 1)), []int{2}; !slices.Equal(got, want) {
		t.Errorf("first batch: got %v, want the online row %v", got, want)
	}
}

func TestPolicyFillsClassByClass(t *testing.T) {
	limits := wide
	limits.MaxItems = 3
	tb := newTable([classes]time.Duration{}, limits)
	tb.push(0, Stream, 10, 0)
	tb.push(0, Stream, 11, 0)
	tb.push(0, Online, 10, 0)
	tb.push(0, Online, 15, 0)
	if got, want := costsOf(tb.next(0, 1)), []int{10, 15, 10}; !slices.Equal(got, want) {
		t.Errorf("batch: got %v, want %v: the online row before nearer ones of the stream", got, want)
	}
}

// plain is the policy said in the plainest words, for a backlog without retries: every step looks at every row.
type plain struct {
	maxWait [classes]time.Duration
	jumped  bool
	rows    []*row // by arrival
}

func (p *plain) next(now time.Duration, free int) []*row {
	if len(p.rows) == 0 {
		return nil
	}
	urgent := slices.MinFunc(p.rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.seq, b.seq))
	})
	first := urgent
	if !p.jumped {
		for _, r := range p.rows {
			end := r.arrived + p.maxWait[r.class]
			if p.maxWait[r.class] > 0 && end <= now {
				best := first.arrived + p.maxWait[first.class]
				if !(p.maxWait[first.class] > 0 && best <= now) || cmp.Or(cmp.Compare(end, best), cmp.Compare(r.class, first.class), cmp.Compare(r.seq, first.seq)) < 0 {
					first = r
				}
			}
		}
	}
	p.jumped = first != urgent
	limits := first.queue.limits
	items := min(limits.MaxItems, (len(p.rows)+free-1)/free)
	batch := []*row{first}
	fits := func(r *row) bool {
		longest, real := 0, 0
		for _, r := range append(slices.Clip(batch), r) {
			longest, real = max(longest, r.cost), real+r.cost
		}
		padded := longest * (len(batch) + 1)
		if limits.Packed {
			return len(batch) < items && real <= limits.MaxTokens
		}
		return len(batch) < items && padded <= limits.MaxTokens && float64(padded) <= limits.MaxPadding*float64(real)
	}
	for class := range Class(classes) {
		var same []*row
		for _, r := range p.rows {
			if r.queue == first.queue && r.class == class && r != first {
				same = append(same, r)
			}
		}
		if limits.Order == Nearest {
			far := func(r *row) int { return max(first.cost-r.cost, r.cost-first.cost) }
			slices.SortStableFunc(same, func(a, b *row) int {
				return cmp.Or(cmp.Compare(far(a), far(b)), cmp.Compare(a.cost, b.cost))
			})
		}
		var shut [2]bool // shorter, longer
		for _, r := range same {
			side := 0
			if r.cost > first.cost && limits.Order == Nearest {
				side = 1
			}
			if shut[side] {
				continue
			}
			if !fits(r) {
				shut[side] = true
				continue
			}
			batch = append(batch, r)
		}
	}
	p.rows = slices.DeleteFunc(p.rows, func(r *row) bool { return slices.Contains(batch, r) })
	return batch
}

func randomLimits(rnd *rand.Rand) Limits {
	l := Limits{
		MaxItems:   1 + rnd.IntN(12),
		MaxTokens:  300 + rnd.IntN(600),
		MaxPadding: 1 + rnd.Float64(),
		Order:      Order(rnd.IntN(2)),
		Bound:      1 << 10,
	}
	switch rnd.IntN(3) {
	case 0:
		l.Buckets = DefaultBuckets(300)
	case 1:
		l.Packed = true
	}
	return l
}

func TestPolicyDecidesAsThePlainOne(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var maxWait [classes]time.Duration
		for class := range maxWait {
			maxWait[class] = time.Duration(rnd.IntN(200))
		}
		tb := newTable(maxWait, randomLimits(rnd), randomLimits(rnd))
		ref := &plain{maxWait: maxWait}
		var now time.Duration
		for step := range 200 {
			now += time.Duration(rnd.IntN(4))
			for range rnd.IntN(6) {
				ref.rows = append(ref.rows, tb.push(rnd.IntN(2), Class(rnd.IntN(3)), 1+rnd.IntN(300), now))
			}
			if len(ref.rows) > 0 && rnd.IntN(4) == 0 { // withdrawn
				i := rnd.IntN(len(ref.rows))
				tb.backlog.remove(ref.rows[i])
				ref.rows = slices.Delete(ref.rows, i, i+1)
			}
			if rnd.IntN(3) == 0 {
				continue
			}
			free := 1 + rnd.IntN(3)
			got, want := tb.next(now, free), ref.next(now, free)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: got rows of cost %v, want %v", seed, step, costsOf(got), costsOf(want))
			}
			if tb.backlog.rows != len(ref.rows) {
				t.Fatalf("seed %d, step %d: %d rows left, want %d", seed, step, tb.backlog.rows, len(ref.rows))
			}
		}
	}
}

// TestPolicyKeepsItsWordToOverdueRows follows every row from the moment its time runs out. Each batch formed before its own
// must be around a row whose time ran out earlier, or be the one batch that may follow such a one.
func TestPolicyKeepsItsWordToOverdueRows(t *testing.T) {
	jumps := 0
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		maxWait := [classes]time.Duration{Online: 30, Stream: 60, Backfill: 90}
		tb := newTable(maxWait, randomLimits(rnd), randomLimits(rnd))
		end := func(r *row) time.Duration { return r.arrived + maxWait[r.class] }
		type formed struct {
			at   time.Duration
			rows []*row
		}
		var history []formed
		var now time.Duration
		for step := 0; step < 300 || tb.backlog.rows > 0; step++ {
			now += time.Duration(1 + rnd.IntN(3))
			for range rnd.IntN(6) {
				if step < 300 {
					tb.push(rnd.IntN(2), Class(rnd.IntN(3)), 1+rnd.IntN(300), now)
				}
			}
			rows := tb.next(now, 1)
			if rows == nil {
				continue
			}
			if tb.policy.jumped {
				jumps++
			}
			for _, r := range rows {
				others := 0 // successive batches not of rows whose time ran out earlier
				for i := len(history) - 1; i >= 0 && history[i].at >= end(r); i-- {
					if first := history[i].rows[0]; end(first) <= end(r) {
						others = 0
					} else if others++; others > 1 {
						t.Fatalf("seed %d, step %d: two successive batches formed while a %v row was overdue that is in neither", seed, step, r.class)
					}
				}
			}
			history = append(history, formed{now, slices.Clone(rows)})
		}
	}
	if jumps == 0 {
		t.Error("no overdue row ever went ahead of a more urgent one: the test shows nothing")
	}
}

func TestPolicyRunsRetriesAsTheyWere(t *testing.T) {
	tb := newTable([classes]time.Duration{}, wide)
	for i := range 4 {
		tb.push(0, Backfill, 10+i, 0)
	}
	tb.push(0, Stream, 99, 0)
	failed := slices.Clone(tb.next(0, 1))
	tb.push(0, Online, 1, 0)
	tb.push(0, Stream, 2, 0)
	tb.push(0, Backfill, 3, 0)
	tb.backlog.hold(failed[3:])
	tb.backlog.hold(failed[:3])
	tb.backlog.queues[0].limits.MaxItems = 1

	// The half with the stream's row goes as one of the stream: before rows that have not run, after the online row.
	want := [][]int{{1}, {99, 13, 12}, {2}, {11, 10}, {3}}
	for i, want := range want {
		if got := costsOf(tb.next(0, 1)); !slices.Equal(got, want) {
			t.Errorf("batch %d: got %v, want %v", i, got, want)
		}
	}
	if tb.backlog.rows != 0 {
		t.Errorf("rows left: got %d, want 0", tb.backlog.rows)
	}
}

func TestPolicyRunsWhatIsLeftOfARetry(t *testing.T) {
	tb := newTable([classes]time.Duration{}, wide)
	urgent := tb.push(0, Stream, 10, 0)
	tb.push(0, Backfill, 11, 0)
	gone := tb.push(0, Backfill, 12, 0)
	failed := slices.Clone(tb.next(0, 1))
	tb.backlog.hold(failed)
	fresh := tb.push(0, Stream, 50, 0)
	fresh.queue.limits.MaxItems = 1
	for _, r := range []*row{urgent, gone} { // withdrawn
		r.state = ended
		tb.backlog.rows--
	}
	for i, want := range [][]int{{50}, {11}, nil} {
		if got := costsOf(tb.next(0, 1)); !slices.Equal(got, want) {
			t.Errorf("batch %d: got %v, want %v", i, got, want)
		}
	}
	if tb.backlog.rows != 0 {
		t.Errorf("rows left: got %d, want 0", tb.backlog.rows)
	}
}

func TestPolicyTakesARetryForItsMostUrgentRow(t *testing.T) {
	tb := newTable([classes]time.Duration{}, wide)
	backfill, online1, online2 := tb.push(0, Backfill, 1, 0), tb.push(0, Online, 2, 0), tb.push(0, Online, 3, 0)
	tb.next(0, 1)
	for _, rows := range [][]*row{{backfill, online2, online1}, {online1, online2, backfill}, {online2, backfill, online1}} {
		tb.backlog.hold(rows)
		if got := tb.backlog.lastRetry(Online); got != online1 {
			t.Errorf("retry of rows of cost %v: got %+v to speak for it, want the online row that came first", costsOf(rows), got)
		}
		if got := tb.next(0, 1); !slices.Equal(got, rows) {
			t.Errorf("next: got rows of cost %v, want %v", costsOf(got), costsOf(rows))
		}
	}
}
