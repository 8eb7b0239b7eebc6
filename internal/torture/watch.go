package torture

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// watch follows the outputs as a read-committed consumer and remembers for how long nothing came of a partition of the
// input.
type watch struct {
	mu    sync.Mutex // guards all below
	last  map[int32]time.Time
	gaps  []gap
	count int64
}

// gap is a time in which nothing came of a partition.
type gap struct {
	partition int32
	from, to  time.Time
}

// shortGap is not worth remembering.
const shortGap = 250 * time.Millisecond

// run follows the outputs, which the options name, until ctx ends.
func (w *watch) run(ctx context.Context, connection kafka.Connection, t topics, options []kgo.Opt) error {
	client, err := connection.Client(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		w.came(time.Now(), fetches, t)
	}
}

func (w *watch) came(now time.Time, fetches kgo.Fetches, t topics) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) {
		w.count++
		w.see(now, int32(number(r, t.prefix(r.Topic)+"partition"))) //nolint:gosec // what does not fit is no partition either
	})
}

func (w *watch) see(now time.Time, partition int32) {
	if w.last == nil {
		w.last = map[int32]time.Time{}
	}
	if last, seen := w.last[partition]; seen && now.Sub(last) >= shortGap {
		w.gaps = append(w.gaps, gap{partition, last, now})
	}
	w.last[partition] = now
}

// seen is how many records came.
func (w *watch) seen() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}
