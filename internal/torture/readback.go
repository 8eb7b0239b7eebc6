package torture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// count reads everything back. Features are compared only where the replicas have read all, as unread says.
func (r *run) count(ctx context.Context, unread int64) (Report, error) {
	l := newLedger(r.topics)
	l.refusals = anyOf(r.Faults, Refuse)
	if err := r.readAll(ctx, l.read, r.topics.input); err != nil {
		return Report{}, err
	}
	if err := r.readAll(ctx, l.see, r.topics.output, r.topics.deadLetters); err != nil {
		return Report{}, err
	}
	counts := l.close()
	if r.view.Name != "" && unread == 0 {
		if err := r.compare(ctx, l); err != nil {
			return Report{}, err
		}
		counts.Aggregates, counts.Miscounted = l.counts.Aggregates, l.counts.Miscounted
	}
	report := Report{Counts: counts, Seed: r.Seed, Notes: l.notes, Faults: len(r.events), Written: r.progress.written.Load(), Unread: unread}
	report.stalls = attribute(r.tell.began, r.events, r.watch.gaps)
	report.Kinds = summarize(report.stalls)
	for _, s := range report.stalls {
		report.Longest = max(report.Longest, Seconds(s.stall))
	}
	for _, p := range append(r.replicas, r.broker) {
		if p == nil {
			continue
		}
		ends := p.surprises()
		report.Deaths += len(ends)
		if !anyDeadly(r.Faults) {
			report.Failures = append(report.Failures, ends...)
		}
	}
	for _, err := range r.failed {
		report.Failures = append(report.Failures, err.Error())
	}
	return report, nil
}

// readAll gives see every record of the topics as a read-committed consumer gets it, each partition in its order. A
// transaction that is still open is waited for: it ends by the transaction timeout.
func (r *run) readAll(ctx context.Context, see func(*kgo.Record), names ...string) error {
	admin, err := r.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	ends, err := admin.ListEndOffsets(ctx, names...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	left := map[string]map[int32]int64{}
	partitions := 0
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset == 0 {
			return
		}
		if left[end.Topic] == nil {
			left[end.Topic] = map[int32]int64{}
		}
		left[end.Topic][end.Partition] = end.Offset
		partitions++
	})
	client, err := r.reached().Client(append(r.reading(names...), kgo.KeepControlRecords())...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(patience, func() { cancel(errors.New("the topics could not be read to their ends: is a transaction still open?")) })
	defer stuck.Stop()
	for partitions > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("read back %v: %w", names, context.Cause(ctx))
		}
		fetches.EachRecord(func(record *kgo.Record) {
			end := left[record.Topic][record.Partition]
			if record.Offset < end && !record.Attrs.IsControl() {
				see(record)
			}
			// The last record may be one of an aborted transaction, which does not come; the mark of the abort does.
			if record.Offset >= end-1 && end > 0 {
				left[record.Topic][record.Partition] = 0
				partitions--
			}
		})
		if fetches.NumRecords() > 0 {
			stuck.Reset(patience)
		}
	}
	return nil
}
