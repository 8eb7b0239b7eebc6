package torture

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// watch follows the outputs as a read-committed consumer and remembers for how long nothing came.
type watch struct {
	mu   sync.Mutex // guards all below
	last time.Time
	gaps []gap
}

// gap is a time in which nothing came.
type gap struct{ from, to time.Time }

// shortGap is not worth remembering.
const shortGap = 100 * time.Millisecond

// run follows the topics until ctx ends.
func (w *watch) run(ctx context.Context, brokers []string, t topics) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(t.output, t.deadLetters),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(250*time.Millisecond),
		kgo.DialTimeout(time.Second),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if fetches.NumRecords() > 0 {
			w.came(time.Now())
		}
	}
}

func (w *watch) came(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.last.IsZero() && now.Sub(w.last) >= shortGap {
		w.gaps = append(w.gaps, gap{w.last, now})
	}
	w.last = now
}

// stall is the longest time without a result that touches from..to.
func (w *watch) stall(from, to time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	longest := time.Duration(0)
	for _, g := range w.gaps {
		if g.to.After(from) && g.from.Before(to) {
			longest = max(longest, g.to.Sub(g.from))
		}
	}
	return longest
}
