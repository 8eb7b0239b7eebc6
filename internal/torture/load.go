package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// load writes numbered records at a steady rate, or as fast as the group keeps up with, some of which have to become dead letters or tombstones.
type load struct {
	connection kafka.Connection
	topic      string
	records    int     // 0 is as many as the time allows
	rate       float64 // records a second
	keys       int
	maxLag     int // it waits while the group is further behind
	random     *rand.Rand

	progress *progress
	poisons  <-chan Fault // for each, a record that makes the model do it
}

// tick is how often the load writes.
const tick = 10 * time.Millisecond

// burst is how much of its rate it makes up for at once, after the broker kept it waiting.
const burst = time.Second

// run writes until it has written all, or intake ends; then it waits, until ctx ends, for the broker to have all of them.
// A write that failed for good is an error: the records that follow it would not be those that the seed says.
func (l *load) run(ctx, intake context.Context) error {
	client, err := l.connection.Client(
		kgo.DefaultProduceTopic(l.topic),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.MaxBufferedRecords(1<<17),
		kgo.AlwaysRetryEOF(), // a broker that goes down hangs up in the middle of a greeting, which else counts as one that wants TLS
		kgo.ConnIdleTimeout(time.Minute),
		kgo.MetadataMinAge(250*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	written := 0
	refused := refusals{first: make(map[*kgo.Record]time.Time)}
	promise := refused.note
	last, due := time.Now(), 0.0
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for intake.Err() == nil && ctx.Err() == nil && (l.records == 0 || written < l.records) {
		now := time.Now()
		if l.progress.behind.Load() <= int64(l.maxLag) {
			due = min(due+now.Sub(last).Seconds()*l.rate, max(1, l.rate*burst.Seconds()))
		}
		for last = now; due >= 1 && (l.records == 0 || written < l.records) && intake.Err() == nil; due-- {
			client.Produce(ctx, l.record(written), promise)
			written++
		}
		l.progress.written.Store(int64(written))
		for _, r := range refused.again() {
			client.Produce(ctx, r, promise)
		}
		select {
		case <-ticker.C:
		case fault := <-l.poisons:
			client.Produce(ctx, l.poison(written, fault), promise)
			written++
		case <-intake.Done():
		case <-ctx.Done():
		}
	}
	for {
		if err := client.Flush(ctx); err != nil {
			return fmt.Errorf("write the load: %w", context.Cause(ctx))
		}
		again := refused.again()
		if len(again) == 0 {
			return refused.failed
		}
		for _, r := range again {
			client.Produce(ctx, r, promise)
		}
		<-ticker.C
	}
}

// forgetful is for how long a broker may refuse timestamps that the topic takes: one that comes back after a kill -9 may lead partitions before it has read the
// settings of their topic.
const forgetful = time.Minute

// refusals are records that were refused for their timestamps, and what ends the load. One that is written again comes after later ones of its key, and may
// be in the topic twice where the answer to its first write was lost: what comes of a record is judged by its place in the input, and each place counts.
type refusals struct {
	mu      sync.Mutex // guards what follows
	records []*kgo.Record
	first   map[*kgo.Record]time.Time // when a record that is written again was first refused
	failed  error                     // the first error that is none of these; read after Flush
}

// note what became of a record.
func (f *refusals) note(r *kgo.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first, again := f.first[r]
	delete(f.first, r)
	if !again {
		first = time.Now()
	}
	switch {
	case err == nil:
	case errors.Is(err, kerr.InvalidTimestamp) && time.Since(first) < forgetful:
		r = &kgo.Record{Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
		f.first[r] = first
		f.records = append(f.records, r)
	case f.failed == nil:
		f.failed = fmt.Errorf("write record to %s: %w", r.Topic, err)
	}
}

// again are the records to write again.
func (f *refusals) again() []*kgo.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	records := f.records
	f.records = nil
	return records
}

// record of a number: of a hundred, two do not decode, two are tombstones, and five have no key; and twelve have a timestamp that is not when they were
// written.
func (l *load) record(number int) *kgo.Record {
	r := &kgo.Record{Timestamp: l.timestamp(time.Now()), Key: fmt.Appendf(nil, "key-%d", l.random.IntN(l.keys))}
	switch draw := l.random.IntN(100); {
	case draw < 2:
		r.Value = fmt.Appendf(nil, `{"review_id": "%d", "text": "cut sho`, number)
		return r
	case draw < 4:
		return r
	case draw < 9:
		r.Key = nil
	}
	r.Value = fmt.Appendf(nil, `{"review_id": "%d", "item_id": "%s", "number": %d, "created_at": %d, "text": "Review number %d: it fits, it is warm, and the colour holds."}`,
		number, r.Key, number, time.Now().UnixMilli(), number)
	return r
}

// timestamp of a record: mostly now. Others are up to two months old, years ahead, none, 0, or seconds in place of milliseconds.
func (l *load) timestamp(now time.Time) time.Time {
	switch l.random.IntN(50) {
	case 0, 1:
		return now.Add(-time.Duration(l.random.Int64N(int64(60 * 24 * time.Hour))))
	case 2:
		return now.AddDate(1+l.random.IntN(100), 0, 0)
	case 3:
		return time.UnixMilli(-1)
	case 4:
		return time.UnixMilli(0)
	case 5:
		return time.UnixMilli(now.Unix())
	default:
		return now
	}
}

// poison is the record of a number that makes the faulty model do something.
func (l *load) poison(number int, fault Fault) *kgo.Record {
	return &kgo.Record{
		Key:   fmt.Appendf(nil, "key-%d", l.random.IntN(l.keys)),
		Value: fmt.Appendf(nil, `{"review_id": "%d", "text": "Review number %d: %s."}`, number, number, words[fault]),
	}
}
