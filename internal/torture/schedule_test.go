package torture

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

func TestScheduleFollowsItsSeed(t *testing.T) {
	p := plan{lasts: 10 * time.Minute, replicas: 3, every: 2 * time.Second, longFreeze: 7 * time.Second,
		weights: []weight{{Kill, 4}, {Freeze, 3}, {Leave, 2}, {Join, 2}}}
	draw := func(seed uint64) []event { return p.schedule(rand.New(rand.NewPCG(seed, 0))) } //nolint:gosec // a schedule
	events := draw(1)
	if again := draw(1); !reflect.DeepEqual(events, again) {
		t.Error("the same seed gave another schedule")
	}
	if other := draw(2); reflect.DeepEqual(events, other) {
		t.Error("another seed gave the same schedule")
	}
	seen, long := map[Fault]int{}, 0
	for i, e := range events {
		seen[e.Fault]++
		if e.At < warmUp || e.At > p.lasts-warmUp || i > 0 && e.At < events[i-1].At {
			t.Errorf("fault %d is at %v: want them in their order, with %v of peace at both ends of %v", i, e.At, warmUp, p.lasts)
		}
		if e.Target < 0 || e.Target >= p.replicas || e.Lasts <= 0 {
			t.Errorf("fault %d is %v: want one of %d replicas, for a while", i, e, p.replicas)
		}
		if e.Fault == Freeze && e.Lasts >= p.longFreeze {
			long++
		}
	}
	for _, w := range p.weights {
		if seen[w.fault] == 0 {
			t.Errorf("no %s among %d faults", w.fault, len(events))
		}
	}
	if long == 0 {
		t.Error("no freeze outlasts the timeouts")
	}
	if mean := p.lasts / time.Duration(len(events)); mean < p.every/2 || mean > 2*p.every {
		t.Errorf("a fault every %v on average: want about %v", mean, p.every)
	}
}

func TestStallIsTheLongestGapThatTouchesAFault(t *testing.T) {
	var w watch
	zero := time.Now()
	at := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	for _, s := range []float64{0, 1, 1.05, 4, 4.01, 4.6} {
		w.came(at(s))
	}
	for _, c := range []struct {
		from, to float64
		want     time.Duration
	}{
		{0, 0.5, time.Second},                // it is in the midst of a gap
		{1.01, 2, 2950 * time.Millisecond},   // one that begins after it
		{1.01, 5, 2950 * time.Millisecond},   // the longest of several
		{4.005, 4.1, 590 * time.Millisecond}, // and not those before
		{5, 6, 0},
	} {
		if got := w.stall(at(c.from), at(c.to)); got.Round(time.Millisecond) != c.want {
			t.Errorf("from %v to %v: got %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
