package consumers

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka/decompress"
	"nearline/pipeline"
)

// taking is what one cycle has taken so far.
type taking struct {
	records []*pipeline.Record
	bytes   int
}

func (t *taking) empty() bool { return len(t.records) == 0 }

func (t *taking) add(record *pipeline.Record) {
	t.records = append(t.records, record)
	t.bytes += record.Size()
}

// fill polls once, waiting, and then as long as there is something buffered, without.
func (m *Member) fill(ctx context.Context, limits pipeline.Limits, into *taking) error {
	wait, done := m.patience(ctx)
	defer done()
	wait, cancel := m.quarantine.patience(wait)
	defer cancel()
	wait, stop := m.resumes.waking(wait)
	defer stop()
	for {
		helping := m.helping(limits, into)
		if helping == 0 {
			return nil
		}
		fetches := m.client.PollRecords(wait, helping)
		if err := m.fetchError(ctx, fetches); err != nil {
			return err
		}
		before := len(into.records)
		m.lost.observe(m.client, fetches)
		m.fetched(fetches)
		fetches.EachRecord(func(r *kgo.Record) { into.add(m.decompressor.Record(r)) })
		if n := len(into.records) - before; n == 0 {
			return nil
		}
		m.holding.took(into.records[before:])
		m.average += (float64(into.bytes)/float64(len(into.records)) - m.average) / 4
		wait = nil
	}
}

// helping is how many records to ask for next.
func (m *Member) helping(limits pipeline.Limits, taken *taking) int {
	n := limits.Records - len(taken.records)
	if limits.Records <= 0 {
		n = 1 << 16
	}
	if limits.Bytes > 0 {
		left := limits.Bytes - taken.bytes
		if left <= 0 {
			return 0
		}
		n = min(n, max(1, int(float64(left)/max(m.average, 1))))
	}
	return max(n, 0)
}

// fetchError picks the error of a poll that makes the member useless, if there is one.
func (m *Member) fetchError(ctx context.Context, fetches kgo.Fetches) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, e := range fetches.Errors() {
		var dataLoss *kgo.ErrDataLoss
		var refused *kgo.ErrDecompressTooLarge
		switch {
		case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, decompress.ErrFull):
			continue
		case errors.As(e.Err, &refused):
			m.stand(refused)
			continue
		case errors.As(e.Err, &dataLoss):
			// The client has already gone on from where the log now is.
			m.config.Metrics.lostToTruncation(dataLoss.ConsumedTo - dataLoss.ResetTo)
			m.config.Logger.Warn("the broker's log is shorter than what was read of it", "topic", e.Topic, "partition", e.Partition, "error", e.Err)
			continue
		}
		if e.Topic == "" { // the group's error
			// The client joins again by itself, under the same name. A new member would leave the old one behind as a ghost
			// that each rebalance waits for until its session ends, and a coordinator that is away makes many of them.
			if isPermanent(e.Err) || errors.Is(e.Err, kerr.FencedInstanceID) || errors.Is(e.Err, pipeline.ErrPermanent) {
				return fmt.Errorf("poll as a member of group %s: %w", m.config.Group, blame(e.Err))
			}
			m.config.Logger.Debug("the member joins its group again", "error", e.Err)
			continue
		}
		of := e.Topic
		if e.Partition >= 0 { // what is wrong with the whole topic is no partition's
			of = fmt.Sprintf("%s[%d]", e.Topic, e.Partition)
		}
		return fmt.Errorf("poll %s: %w", of, blame(e.Err))
	}
	return nil
}
