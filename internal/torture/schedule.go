package torture

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// event of a schedule.
type event struct {
	At     time.Duration // after the start
	Fault  Fault
	Target int           // number of the replica
	Lasts  time.Duration // until it is undone
	Seed   int32         // for the operator's command to draw from
	// Made is what the operator's command says that it does.
	Made string
}

func (e event) String() string {
	asked, hook := e.Fault.asked()
	switch {
	case hook && e.Made != "":
		return fmt.Sprintf("%s for %v", e.Made, e.Lasts)
	case hook && asked != "":
		return fmt.Sprintf("%s for %v", asked, e.Lasts)
	case hook:
		return fmt.Sprintf("%s for %v", e.Fault, e.Lasts)
	case words[e.Fault] != "":
		return string(e.Fault) + ", by one record"
	case e.Fault == StoreOlder:
		return fmt.Sprintf("%s: Redis is killed after %v, and comes back from a snapshot", e.Fault, e.Lasts)
	case e.Fault == Refuse:
		return fmt.Sprintf("%s all results for %v", e.Fault, e.Lasts)
	default:
		return fmt.Sprintf("%s replica %d for %v", e.Fault, e.Target, e.Lasts)
	}
}

// kind is what the report counts it under: where the operator's command chose, the first word of what it says.
func (e event) kind() string {
	asked, hook := e.Fault.asked()
	switch words := strings.Fields(e.Made); {
	case !hook:
		return string(e.Fault)
	case asked != "":
		return asked
	case len(words) > 0:
		return strings.TrimRight(words[0], ":,.")
	default:
		return string(Hook)
	}
}

// plan is what a schedule is drawn from.
type plan struct {
	lasts    time.Duration // 0 has no end
	replicas int
	every    time.Duration // between faults, on average
	weights  []Weight
	// givenUp is longer than it takes the group to give up a silent replica; expired is longer than its transaction may
	// last, too.
	givenUp, expired time.Duration
}

// warmUp is left in peace at the start, so that there is something to hurt; the same at the end, so that the last fault
// has its effect while the load still comes.
const warmUp = 3 * time.Second

// schedule draws the faults one by one, in their order. The same seed and plan give the same ones.
type schedule struct {
	plan
	random *rand.Rand
	total  int
	at     time.Duration
}

func (p plan) schedule(seed uint64) *schedule {
	s := &schedule{plan: p, random: rand.New(rand.NewPCG(seed, 0)), at: warmUp} //nolint:gosec // a schedule, not a secret
	for _, w := range p.weights {
		s.total += w.Of
	}
	return s
}

// next is the next fault; false is the end of the schedule.
func (s *schedule) next() (event, bool) {
	if s.total == 0 {
		return event{}, false
	}
	s.at += s.every/4 + time.Duration(s.random.Int64N(int64(s.every*3/2)))
	if s.lasts > 0 && s.at > s.lasts-warmUp {
		return event{}, false
	}
	e := event{At: s.at.Round(time.Millisecond), Target: s.random.IntN(s.replicas)}
	draw := s.random.IntN(s.total)
	for _, w := range s.weights {
		if draw -= w.Of; draw < 0 {
			e.Fault = w.Fault
			break
		}
	}
	e.Lasts = s.pause(e.Fault).Round(time.Millisecond)
	e.Seed = 1 + s.random.Int32N(math.MaxInt32)
	return e, true
}

// pause is how long a fault lasts. One freeze in three outlasts the timeouts: its replica wakes up as one that the others
// have given up.
func (s *schedule) pause(f Fault) time.Duration {
	between := func(low, high time.Duration) time.Duration {
		return low + time.Duration(s.random.Int64N(int64(high-low)))
	}
	switch {
	case words[f] != "":
		return 0
	case f == Freeze:
		switch s.random.IntN(6) {
		case 0:
			return between(s.expired, s.expired*3/2)
		case 1:
			return between(s.givenUp, s.givenUp*3/2)
		default:
			return between(200*time.Millisecond, s.givenUp/2)
		}
	case f == Join:
		return between(2*time.Second, 5*time.Second)
	case f == Kill || f == Leave || f == Refuse || f == StoreOlder:
		return between(100*time.Millisecond, 3*time.Second)
	default: // the operator's
		return between(time.Second, 10*time.Second)
	}
}
