package torture

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Fault is one thing that is done to the processes.
type Fault string

// The faults.
const (
	Kill   Fault = "kill"   // kill -9 of a replica; it is started again after a while
	Freeze Fault = "freeze" // SIGSTOP of a replica, and SIGCONT after a while, beyond the timeouts too
	Leave  Fault = "leave"  // a replica is asked to end, and started again after a while
	Join   Fault = "join"   // one replica more, for a while
	Hook   Fault = "hook"   // the operator's command is run
)

// event of a schedule.
type event struct {
	At     time.Duration // after the start
	Fault  Fault
	Target int           // number of the replica
	Lasts  time.Duration // until it is undone
}

func (e event) String() string {
	switch e.Fault {
	case Hook:
		return fmt.Sprintf("%s for %v", e.Fault, e.Lasts)
	default:
		return fmt.Sprintf("%s replica %d for %v", e.Fault, e.Target, e.Lasts)
	}
}

// plan is what a schedule is drawn from.
type plan struct {
	lasts    time.Duration
	replicas int
	every    time.Duration // between faults, on average
	weights  []weight
	// longFreeze is longer than every timeout by which a silent replica is given up.
	longFreeze time.Duration
}

type weight struct {
	fault Fault
	of    int
}

// warmUp is left in peace at the start, so that there is something to hurt; the same at the end, so that the last fault
// has its effect while the load still comes.
const warmUp = 3 * time.Second

// schedule draws the faults, in their order. The same seed and plan give the same schedule.
func (p plan) schedule(random *rand.Rand) []event {
	total := 0
	for _, w := range p.weights {
		total += w.of
	}
	var events []event
	for at := warmUp; total > 0; {
		at += p.every/4 + time.Duration(random.Int64N(int64(p.every*3/2)))
		if at > p.lasts-warmUp {
			break
		}
		e := event{At: at.Round(time.Millisecond), Target: random.IntN(p.replicas)}
		draw := random.IntN(total)
		for _, w := range p.weights {
			if draw -= w.of; draw < 0 {
				e.Fault = w.fault
				break
			}
		}
		e.Lasts = p.pause(e.Fault, random).Round(time.Millisecond)
		events = append(events, e)
	}
	return events
}

// pause is how long a fault lasts. One freeze in three outlasts the timeouts: its replica wakes up as one that the others
// have given up.
func (p plan) pause(f Fault, random *rand.Rand) time.Duration {
	between := func(low, high time.Duration) time.Duration {
		return low + time.Duration(random.Int64N(int64(high-low)))
	}
	switch {
	case f == Freeze && random.IntN(3) == 0:
		return between(p.longFreeze, p.longFreeze*3/2)
	case f == Freeze:
		return between(200*time.Millisecond, p.longFreeze/2)
	case f == Join:
		return between(2*time.Second, 5*time.Second)
	default:
		return between(100*time.Millisecond, 3*time.Second)
	}
}
