package torture

import (
	"testing"
	"time"
)

func TestGapIsTheFirstFaultsThatStruckInIt(t *testing.T) {
	began := time.Now()
	at := func(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }
	var events []*event
	for _, second := range []int{10, 12, 20, 30} {
		events = append(events, &event{At: time.Duration(second) * time.Second, Fault: Kill})
	}
	got := attribute(began, events, []gap{
		{0, at(1), at(2)},   // before any fault: nobody's
		{0, at(9), at(15)},  // the first's, which the second struck in
		{0, at(16), at(17)}, // the second's, as it may follow late
		{1, at(9), at(14)},
		{1, at(19), at(36)}, // the third's, which the fourth struck in
		{2, at(20), at(21)}, // it begins with the third
	})
	for i, want := range []struct {
		stall time.Duration
		of    *event
	}{{6 * time.Second, nil}, {time.Second, nil}, {17 * time.Second, nil}, {0, events[2]}} {
		if got[i].stall != want.stall || got[i].of != want.of {
			t.Errorf("fault %d: got %v, in the stall of %v; want %v, %v", i, got[i].stall, got[i].of, want.stall, want.of)
		}
	}
}

func TestStallsOfAKindAreSummedUp(t *testing.T) {
	of := func(f Fault, hidden bool, seconds ...int) (stalls []faultStall) {
		for _, n := range seconds {
			s := faultStall{event: event{Fault: f}, stall: time.Duration(n) * time.Second}
			if hidden {
				s.of = &s.event
			}
			stalls = append(stalls, s)
		}
		return stalls
	}
	s := func(n int) Seconds { return Seconds(time.Duration(n) * time.Second) }
	var all []faultStall
	for _, part := range [][]faultStall{of(Kill, false, 9, 1, 2), of(Kill, true, 0), of(Freeze, false, 9, 1, 2, 4), of(Join, true, 0), of(Leave, false, 3)} {
		all = append(all, part...)
	}
	got := summarize(all)
	for kind, want := range map[string]Kind{
		"kill": {4, 3, s(2), s(9)}, "freeze": {4, 4, s(3), s(9)}, "join": {Count: 1}, "leave": {1, 1, s(3), s(3)},
	} {
		if got[kind] != want {
			t.Errorf("%s: got %+v, want %+v", kind, got[kind], want)
		}
	}
}
