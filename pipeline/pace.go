package pipeline

import (
	"math/rand/v2"
	"time"
)

// firstCycle is how many records a member takes before it knows its pace: few enough to be done within the shutdown deadline
// at some ten a second, which is what a busy laptop does.
const firstCycle = 64

// pace predicts how long a cycle takes, and how heavy its outputs are, from the ones before. The zero pace has seen none.
type pace struct {
	perSecond float64 // records
	weight    float64 // bytes of outputs that a record has
}

// observe that n records took so long from poll to predictions.
func (p *pace) observe(n int, took time.Duration) {
	perSecond := float64(n) / max(took.Seconds(), 1e-6)
	switch {
	case p.perSecond == 0:
		p.perSecond = perSecond
	default:
		// A few records tell less than many: a cycle of firstCycle or more counts half, a lone record next to nothing.
		weight := 0.5 * min(1, float64(n)/firstCycle)
		p.perSecond += weight * (perSecond - p.perSecond)
	}
}

// weigh the outputs of n records. Heavier ones than before count at once, lighter ones half.
func (p *pace) weigh(n, bytes int) {
	weight := float64(bytes) / float64(max(n, 1))
	p.weight = max(weight, (p.weight+weight)/2)
}

// limits of the next cycle, so that it takes no longer, and its outputs are no heavier, than the config allows.
func (p *pace) limits(c CycleConfig) Limits {
	records := firstCycle
	if p.perSecond > 0 {
		records = max(1, int(min(p.perSecond*c.MaxTime.Seconds(), float64(c.MaxRecords))))
	}
	if p.weight > 0 {
		records = max(1, int(min(float64(records), float64(c.maxOutput())/p.weight)))
	}
	return Limits{Records: min(records, c.MaxRecords), Bytes: int(c.MaxBytes)}
}

// backoff is how long to wait before the next attempt, by whose fault the last one was. The zero backoff is ready.
type backoff struct {
	attempts int
}

// The longest waits. Passing faults are retried soon enough to be back within seconds of the broker; permanent ones rarely
// enough that neither the log nor the model burns.
const (
	passingBackoff   = 5 * time.Second
	permanentBackoff = 30 * time.Second
	firstBackoff     = 50 * time.Millisecond
)

// promptAttempts is how often a cycle is repeated at once because a record was refused. Two do: one to find the guilty,
// one to publish the rest. Whatever takes more is not the record's fault.
const promptAttempts = 4

func (b *backoff) next(blame Blame) time.Duration {
	limit := passingBackoff
	switch blame {
	case BlameRecord:
		if b.attempts < promptAttempts {
			b.attempts++
			return 0 // the record is dealt with in the next cycle
		}
	case BlamePermanent:
		limit = permanentBackoff
	}
	wait := min(firstBackoff<<min(b.attempts, 16), limit)
	b.attempts++
	// Between half and all of it, so that members do not come back in step.
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // jitter, not a secret
}

func (b *backoff) reset() { b.attempts = 0 }
