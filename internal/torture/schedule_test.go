package torture

import (
	"reflect"
	"testing"
	"time"
)

func drawn(p plan, seed uint64, most int) []event {
	var events []event
	s := p.schedule(seed)
	for e, more := s.next(); more && len(events) < most; e, more = s.next() {
		events = append(events, e)
	}
	return events
}

func TestScheduleFollowsItsSeed(t *testing.T) {
	p := plan{lasts: 20 * time.Minute, replicas: 3, every: 2 * time.Second, givenUp: 7 * time.Second, expired: 20 * time.Second,
		weights: append(DefaultFaults(true), Weight{"hook:broker-kill", 1})}
	events := drawn(p, 1, 1e6)
	if again := drawn(p, 1, 1e6); !reflect.DeepEqual(events, again) {
		t.Error("the same seed gave another schedule")
	}
	if other := drawn(p, 2, 1e6); reflect.DeepEqual(events, other) {
		t.Error("another seed gave the same schedule")
	}
	seen, givenUp, expired := map[Fault]int{}, 0, 0
	for i, e := range events {
		seen[e.Fault]++
		if e.At < warmUp || e.At > p.lasts-warmUp || i > 0 && e.At < events[i-1].At {
			t.Errorf("fault %d is at %v: want them in their order, with %v of peace at both ends of %v", i, e.At, warmUp, p.lasts)
		}
		if e.Target < 0 || e.Target >= p.replicas || e.Lasts <= 0 || e.Seed <= 0 {
			t.Errorf("fault %d is %+v: want one of %d replicas, for a while, and a seed", i, e, p.replicas)
		}
		if e.Fault == Freeze && e.Lasts >= p.expired {
			expired++
		} else if e.Fault == Freeze && e.Lasts >= p.givenUp {
			givenUp++
		}
	}
	for _, w := range p.weights {
		if seen[w.Fault] == 0 {
			t.Errorf("no %s among %d faults", w.Fault, len(events))
		}
	}
	if seen[Kill] < 2*seen["hook:broker-kill"] {
		t.Errorf("%d kills, %d broker-kills: want about four times as many", seen[Kill], seen["hook:broker-kill"])
	}
	if givenUp == 0 || expired == 0 {
		t.Errorf("%d freezes outlast the session, and %d the transaction too: want some of each", givenUp, expired)
	}
	if mean := p.lasts / time.Duration(len(events)); mean < p.every/2 || mean > 2*p.every {
		t.Errorf("a fault every %v on average: want about %v", mean, p.every)
	}
}

func TestScheduleWithoutAnEndGoesOn(t *testing.T) {
	p := plan{replicas: 1, every: time.Second, givenUp: time.Second, expired: time.Second, weights: []Weight{{Kill, 1}}}
	if got := len(drawn(p, 1, 1000)); got != 1000 {
		t.Errorf("it ended after %d faults", got)
	}
	p.weights = nil
	if got := drawn(p, 1, 1000); got != nil {
		t.Errorf("without kinds of faults there are %d", len(got))
	}
}

func TestFaultsAreReadWithTheirWeights(t *testing.T) {
	got, err := ParseFaults([]string{"kill=4", "freeze", "hook", "hook:broker-kill=2"})
	if want := []Weight{{Kill, 4}, {Freeze, 1}, {Hook, 1}, {"hook:broker-kill", 2}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"", "die", "kill=0", "kill=many", "kill=1001", "hook:", "hook:=2", "broker-kill"} {
		if got, err := ParseFaults([]string{bad}); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
	if WantHook(DefaultFaults(false)) || !WantHook([]Weight{{Kill, 1}, {"hook:cut", 1}}) || !WantHook(DefaultFaults(true)) {
		t.Error("it is not the hook's faults that want a hook")
	}
}

func TestEventIsCountedUnderItsKind(t *testing.T) {
	for _, c := range []struct {
		event      event
		kind, says string
	}{
		{event{Fault: Kill, Target: 2, Lasts: time.Second}, "kill", "kill replica 2 for 1s"},
		{event{Fault: Hook, Lasts: time.Second}, "hook", "hook for 1s"},
		{event{Fault: Hook, Lasts: time.Second, Made: "broker-kill: kafka-2"}, "broker-kill", "broker-kill: kafka-2 for 1s"},
		{event{Fault: "hook:cut", Lasts: time.Second}, "cut", "cut for 1s"},
		{event{Fault: "hook:cut", Lasts: time.Second, Made: "kafka-1 is cut off"}, "cut", "kafka-1 is cut off for 1s"},
	} {
		if kind, says := c.event.kind(), c.event.String(); kind != c.kind || says != c.says {
			t.Errorf("got %q, %q; want %q, %q", kind, says, c.kind, c.says)
		}
	}
}
