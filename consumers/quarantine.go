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
	until  time.Time // of waiting for the range in doubt; zero while nobody waits for it
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
	q.looked, q.marked, q.doubts = make(map[int32]bool), make(map[int32]int), make(map[int32]doubt)
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
	q.trust(partition)
}

// done is that there is nothing left of the range in doubt.
func (q *quarantine) done(partition int32, doubt doubt) {
	q.logger.Info("the range in doubt is done with", "topic", q.topic, "partition", partition, "until", doubt.end)
	q.trust(partition)
}

// trust a partition again: there is no doubt about it any more.
func (q *quarantine) trust(partition int32) {
	delete(q.doubts, partition)
	q.until = time.Time{}
}

// begin the work on what was polled: it enters the process's room and marks the attempt. It is nil where the records are to be given back first and taken anew,
// because there is doubt about them. A record that must not be worked on again says so itself.
func (q *quarantine) begin(ctx context.Context, records []*pipeline.Record) (*work, error) {
	if q == nil {
		return new(work), nil
	}
	taken := spans(records)
	if found, err := q.look(ctx, taken); err != nil || found {
		return nil, err
	}
	if partition, doubt, on := q.current(); on {
		return q.try(ctx, records, taken, partition, doubt)
	}
	w, err := q.enter(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := q.markFirst(ctx, w, taken); err != nil {
		return nil, err
	}
	return w, nil
}

// try records of the range in doubt, if that is what was polled and nothing else.
func (q *quarantine) try(ctx context.Context, records []*pipeline.Record, taken map[int32]span, partition int32, doubt doubt) (*work, error) {
	span, present := taken[partition]
	if !present || len(taken) > 1 || len(records) > doubt.size {
		return nil, nil // the client had others at hand, or has been given more partitions
	}
	if span.from >= doubt.end {
		q.done(partition, doubt)
		return nil, nil
	}
	q.until = time.Time{}
	if doubt.deaths >= guilty {
		q.logger.Error("a record ends the process: it becomes a dead letter", "topic", q.topic, "partition", partition,
			"offset", span.from, "deaths", doubt.deaths)
		records[0].Verdict.Deaths = doubt.deaths
		return &work{quarantine: q, until: span.until}, nil
	}
	weight := int64(1)
	if doubt.size == 1 {
		weight = whole
	}
	w, err := q.enter(ctx, weight)
	if err != nil {
		return nil, err
	}
	w.until = span.until
	err = w.mark(ctx, map[int32]attempt{partition: {From: span.from, Until: span.until, Size: doubt.size, End: doubt.end, Deaths: doubt.deaths}})
	if err != nil {
		return nil, err
	}
	return w, nil
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
func (q *quarantine) markFirst(ctx context.Context, w *work, taken map[int32]span) error {
	marks := make(map[int32]attempt)
	for partition, span := range taken {
		if q.marked[partition] < q.largest {
			marks[partition] = attempt{From: span.from, Until: span.until}
		}
	}
	if len(marks) == 0 {
		return nil
	}
	if err := w.mark(ctx, marks); err != nil {
		return err
	}
	for partition, span := range taken {
		q.marked[partition] += span.records
	}
	return nil
}
