package torture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// finish waits until the group has committed all of the input, and says how many records it has not when patience ends.
func (r *run) finish(ctx context.Context) (unread int) {
	admin, err := r.admin()
	if err != nil {
		return -1
	}
	defer admin.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unread = -1
	for {
		if ends, err := admin.ListEndOffsets(ctx, r.topics.input); err == nil && ends.Error() == nil {
			if committed, err := admin.FetchOffsets(kadm.RequireStable(ctx), r.group); err == nil && committed.Error() == nil {
				unread = 0
				ends.Each(func(end kadm.ListedOffset) {
					done, _ := committed.Lookup(end.Topic, end.Partition)
					unread += int(end.Offset - max(0, done.At))
				})
			}
		}
		if unread == 0 {
			return 0
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return unread
		}
	}
}

// count reads everything back.
func (r *run) count(ctx context.Context) (Report, error) {
	l := newLedger(r.topics)
	if err := r.readAll(ctx, l.read, r.topics.input); err != nil {
		return Report{}, err
	}
	if err := r.readAll(ctx, l.see, r.topics.output, r.topics.deadLetters); err != nil {
		return Report{}, err
	}
	report := Report{Counts: l.close(), Seed: r.Seed, Notes: l.notes, Faults: len(r.events)}
	stalls := make([]time.Duration, len(r.events))
	for i, e := range r.events {
		to := r.tell.began.Add(r.Lasts)
		if i+1 < len(r.events) {
			to = r.tell.began.Add(r.events[i+1].At)
		}
		stalls[i] = r.watch.stall(r.tell.began.Add(e.At), to)
		report.Longest = max(report.Longest, Stall(stalls[i]))
	}
	for _, p := range append(r.replicas, r.broker) {
		if p == nil {
			continue
		}
		if err := p.surprises(); err != nil {
			report.Processes = append(report.Processes, err.Error())
		}
	}
	for _, err := range r.failed {
		report.Processes = append(report.Processes, err.Error())
	}
	r.tell.stalls(r.events, stalls)
	r.tell.report(report)
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
	client, err := kgo.NewClient(
		kgo.SeedBrokers(r.brokers...),
		kgo.ConsumeTopics(names...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the topics could not be read to their ends: is a transaction still open?"))
	defer cancel()
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
			if record.Offset == end-1 {
				partitions--
			}
		})
	}
	return nil
}
