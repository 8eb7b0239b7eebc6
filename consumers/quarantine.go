package consumers

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// quarantine is a member's part in the search for records that end the process: it has the first cycles of every partition that
// the member is given marked, and where it finds a mark that somebody did not come to an end with, it has that range taken
// in small cycles, one partition at a time, the others paused.
//
// Marked are as many records as the largest cycle has: if the member before died, it died of one of them. After that there
// are no marks until the partition changes hands, and if a later cycle ends the process, it does. A nil quarantine marks
// nothing.
type quarantine struct {
	attempts *Attempts
	group    string
	topic    string
	largest  int // cycle, in records
	logger   *slog.Logger
	metrics  *Metrics

	looked map[int32]bool // partitions whose last mark was looked at
	marked map[int32]int  // records of each partition that were marked
	doubts map[int32]doubt
	paused map[int32]bool
	hand   map[int32]attempt // marks of the cycle in hand, as long as nothing says that it was survived
	weight int64             // of the process's room that the cycle in hand takes
	until  time.Time         // of waiting for the range in doubt; zero while nobody waits for it
	taken  int64             // offset of the partition in doubt up to which the cycle in hand goes
}

func newQuarantine(c Config) *quarantine {
	if c.Attempts == nil {
		return nil
	}
	q := &quarantine{attempts: c.Attempts, group: c.Group, topic: c.Topic, largest: max(c.MaxRecords, 1), logger: c.Logger,
		metrics: c.Metrics, paused: make(map[int32]bool)}
	q.forget()
	return q
}

// forget what partitions the member had.
func (q *quarantine) forget() {
	if q == nil {
		return
	}
	q.looked, q.marked, q.doubts, q.hand = make(map[int32]bool), make(map[int32]int), make(map[int32]doubt), nil
	q.until = time.Time{}
}

// renew says that others may have held the partition since it was looked at.
func (q *quarantine) renew(partition int32) {
	if q == nil {
		return
	}
	delete(q.looked, partition)
	delete(q.marked, partition)
}

// current is the partition whose turn it is.
func (q *quarantine) current() (int32, doubt, bool) {
	if q == nil || len(q.doubts) == 0 {
		return 0, doubt{}, false
	}
	partition := slices.Min(slices.Collect(maps.Keys(q.doubts)))
	return partition, q.doubts[partition], true
}

// limit is what the next cycle may take. It pauses and resumes the partitions that the member holds accordingly.
func (q *quarantine) limit(client *kgo.Client, held []int32, limits pipeline.Limits) pipeline.Limits {
	partition, doubt, on := q.current()
	if !on && (q == nil || len(q.paused) == 0) {
		return limits
	}
	var pause, resume []int32
	for _, p := range held {
		if on && p != partition && !q.paused[p] {
			pause = append(pause, p)
		}
	}
	for p := range q.paused {
		if !on || p == partition {
			resume = append(resume, p)
		}
	}
	for _, p := range pause {
		q.paused[p] = true
	}
	for _, p := range resume {
		delete(q.paused, p)
	}
	if len(pause) > 0 {
		client.PauseFetchPartitions(map[string][]int32{q.topic: pause})
	}
	if len(resume) > 0 {
		client.ResumeFetchPartitions(map[string][]int32{q.topic: resume})
	}
	if on && (limits.Records <= 0 || doubt.size < limits.Records) {
		limits.Records = doubt.size
	}
	return limits
}

// quarantinePatience is how long the others wait for records of a range in doubt that do not come: retention may have taken
// them. It is a guess, above what a partition is without a leader for.
const quarantinePatience = 15 * time.Second

// patience is how long a poll may wait.
func (q *quarantine) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, _, on := q.current(); !on {
		return ctx, func() {}
	}
	if q.until.IsZero() {
		q.until = time.Now().Add(quarantinePatience)
	}
	return context.WithDeadline(ctx, q.until)
}

// waited is told of each poll that brought nothing: the client may come back early, as from a fetch that has only partitions
// which were paused meanwhile.
func (q *quarantine) waited() {
	partition, _, on := q.current()
	if !on || time.Now().Before(q.until) {
		return
	}
	q.logger.Warn("the records in doubt do not come: the other partitions go on", "topic", q.topic, "partition", partition)
	q.settle(partition)
}

// done is that there is nothing left of the range in doubt.
func (q *quarantine) done(partition int32, doubt doubt) {
	q.logger.Info("the range in doubt is done with", "topic", q.topic, "partition", partition, "until", doubt.end)
	q.settle(partition)
}

// settle the doubt about a partition.
func (q *quarantine) settle(partition int32) {
	delete(q.doubts, partition)
	q.until = time.Time{}
}

// begin marks the attempt at what was polled. It says false where that is to be given back first and taken anew, because there is
// doubt about it. A record that must not be worked on again says so itself.
func (q *quarantine) begin(ctx context.Context, records []*pipeline.Record) (bool, error) {
	if q == nil {
		return true, nil
	}
	q.hand = nil
	taken := spans(records)
	if found, err := q.look(ctx, taken); err != nil || found {
		return false, err
	}
	partition, doubt, on := q.current()
	if !on {
		if err := q.enter(ctx, 1); err != nil {
			return false, err
		}
		return true, q.markFirst(ctx, taken)
	}
	span, present := taken[partition]
	if !present || len(taken) > 1 || len(records) > doubt.size {
		return false, nil // the client had others at hand, or has been given more partitions
	}
	if span.from >= doubt.end {
		q.done(partition, doubt)
		return false, nil
	}
	q.until, q.taken = time.Time{}, span.until
	if doubt.deaths >= guilty {
		q.logger.Error("a record ends the process: it becomes a dead letter", "topic", q.topic, "partition", partition,
			"offset", span.from, "deaths", doubt.deaths)
		records[0].Deaths = doubt.deaths
		return true, nil
	}
	weight := int64(1)
	if doubt.size == 1 {
		weight = whole
	}
	if err := q.enter(ctx, weight); err != nil {
		return false, err
	}
	q.hand = map[int32]attempt{partition: {From: span.from, Until: span.until, Size: doubt.size, End: doubt.end, Deaths: doubt.deaths}}
	return true, q.attempts.mark(ctx, q.group, q.topic, q.hand)
}

// look at the last marks of partitions that are new here, and say whether there is doubt about one.
func (q *quarantine) look(ctx context.Context, taken map[int32]span) (found bool, err error) {
	var anew []int32
	for partition := range taken {
		if !q.looked[partition] {
			anew = append(anew, partition)
		}
	}
	if len(anew) == 0 {
		return false, nil
	}
	marks, err := q.attempts.last(ctx, q.group, q.topic, anew)
	if err != nil {
		return false, err
	}
	for partition, span := range taken {
		if q.looked[partition] {
			continue
		}
		mark, marked := marks[partition]
		doubt, doubted := mark.doubt(q.attempts.by, span.from)
		if marked && doubted {
			end, err := q.attempts.end(ctx, q.topic, partition)
			if err != nil {
				return false, fmt.Errorf("find the end of %s: %w", q.topic, err)
			}
			doubted = doubt.end <= end // no process has read beyond
		}
		q.looked[partition] = true
		if marked && doubted {
			q.doubts[partition], found = doubt, true
			q.metrics.doubted()
			q.logger.Warn("a process did not come to an end with these records: they are taken in small cycles", "topic", q.topic,
				"partition", partition, "from", span.from, "until", doubt.end, "at_a_time", doubt.size, "deaths", doubt.deaths)
		}
	}
	return found, nil
}

// markFirst marks the first cycles of partitions.
func (q *quarantine) markFirst(ctx context.Context, taken map[int32]span) error {
	marks := make(map[int32]attempt)
	for partition, span := range taken {
		if q.marked[partition] < q.largest {
			marks[partition] = attempt{From: span.from, Until: span.until}
		}
	}
	if len(marks) == 0 {
		return nil
	}
	q.hand = marks
	if err := q.attempts.mark(ctx, q.group, q.topic, marks); err != nil {
		return err
	}
	for partition, span := range taken {
		q.marked[partition] += span.records
	}
	return nil
}

// enter the process's room with the cycle in hand.
func (q *quarantine) enter(ctx context.Context, weight int64) error {
	if err := q.attempts.room.Acquire(ctx, weight); err != nil {
		return context.Cause(ctx)
	}
	q.weight = weight
	return nil
}

// leave it: nobody works on the cycle in hand any more.
func (q *quarantine) leave() {
	if q.weight > 0 {
		q.attempts.room.Release(q.weight)
		q.weight = 0
	}
}

// survive is told when the work on the cycle in hand is done, before its commit: what goes wrong from here on is not the
// records' doing. An ordinary cycle is as good as committed then, which says it without a mark.
func (q *quarantine) survive(ctx context.Context) error {
	if q == nil {
		return nil
	}
	q.leave()
	if _, _, on := q.current(); !on || len(q.hand) == 0 {
		return nil
	}
	return q.clear(ctx)
}

// clear the records in hand of the suspicion that they ended the process.
func (q *quarantine) clear(ctx context.Context) error {
	marks := q.hand
	q.hand = nil
	for partition, mark := range marks {
		mark.Survived = true
		marks[partition] = mark
	}
	return q.attempts.mark(ctx, q.group, q.topic, marks)
}

// clearTimeout is how long giving up a cycle waits for its marks.
const clearTimeout = time.Second

// giveUp the cycle in hand while the process lives: whoever takes the records next need not doubt them. Where the mark cannot be
// written, they are doubted without need, and nothing worse.
func (q *quarantine) giveUp() {
	if q == nil {
		return
	}
	q.leave()
	if len(q.hand) == 0 {
		return
	}
	clear(q.marked) // what is taken again is marked again
	ctx, cancel := context.WithTimeout(context.Background(), clearTimeout)
	defer cancel()
	if err := q.clear(ctx); err != nil {
		q.logger.Debug("an attempt that was given up stays marked", "error", err)
	}
}

// committed is told of every commit.
func (q *quarantine) committed() {
	if q == nil {
		return
	}
	q.hand = nil
	partition, doubt, on := q.current()
	switch {
	case !on:
	case q.taken >= doubt.end:
		q.done(partition, doubt) // rather than wait for a next record, which need not come
	default:
		doubt.deaths = 0 // they were of the record that is now behind
		q.doubts[partition] = doubt
	}
	q.taken = 0
}
