package torture

import (
	"slices"
	"time"
)

// faultStall is how long the records then waited.
type faultStall struct {
	event event
	stall time.Duration
	// of is the fault in whose stall this one struck, so that nobody can tell what it cost by itself; nil where that can be
	// told.
	of *event
}

// attribute each gap to one fault: to the first that struck in it, or else to the last before it, as what follows from a fault may
// follow late. A fault's stall is the longest gap that is its own. The events are in their order.
func attribute(began time.Time, events []*event, gaps []gap) []faultStall {
	stalls := make([]faultStall, len(events))
	for i, e := range events {
		stalls[i].event = *e
	}
	// struck is how many faults had struck by then.
	struck := func(by time.Time) int {
		n, _ := slices.BinarySearchFunc(events, by, func(e *event, by time.Time) int {
			if began.Add(e.At).After(by) {
				return 1
			}
			return -1
		})
		return n
	}
	for _, g := range gaps {
		before, until := struck(g.from), struck(g.to)
		cause := before - 1
		if until > before {
			cause = before
		}
		if cause < 0 {
			continue
		}
		stalls[cause].stall = max(stalls[cause].stall, g.to.Sub(g.from))
		for i := cause + 1; i < until; i++ {
			stalls[i].of = events[cause]
		}
	}
	for i := range stalls {
		if stalls[i].stall > 0 {
			stalls[i].of = nil
		}
	}
	return stalls
}

// Kind is what faults of one kind cost.
type Kind struct {
	Count int `json:"count"`
	// Measured are those that did not strike in the stall of another one; the other fields are theirs.
	Measured int     `json:"measured"`
	Median   Seconds `json:"median_seconds"`
	Longest  Seconds `json:"longest_seconds"`
}

func summarize(stalls []faultStall) map[string]Kind {
	kinds, measured := map[string]Kind{}, map[string][]time.Duration{}
	for _, s := range stalls {
		name := s.event.kind()
		k := kinds[name]
		k.Count++
		kinds[name] = k
		if s.of == nil {
			measured[name] = append(measured[name], s.stall)
		}
	}
	for name, stalls := range measured {
		slices.Sort(stalls)
		n := len(stalls)
		k := kinds[name]
		k.Measured, k.Median, k.Longest = n, Seconds((stalls[(n-1)/2]+stalls[n/2])/2), Seconds(stalls[n-1])
		kinds[name] = k
	}
	return kinds
}
