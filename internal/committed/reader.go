// Package committed reads topics as they stand: partition after partition, from where each begins to where what is committed ended when it was
// asked, as a read-committed consumer sees it, within a bounded memory. It keeps no place: what it reads, it reads for a person who waits.
//
// Whoever goes on with a topic as it grows is a consumers.Member, or follows a consumers.StateTopic.
package committed

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
	"nearline/kafka/decompress"
	"nearline/pipeline"
)

// Reader reads partitions one after another. Not safe for concurrent use.
type Reader struct {
	*kgo.Client
	connection   kafka.Connection
	decompressor *decompress.Bounded
}

// fetchBytes is what a fetch may return, as one partition is read at a time.
const fetchBytes = 4 << 20

// NewReader makes a reader; nothing is connected to before the first question. ID is what brokers call it in their logs.
func NewReader(connection kafka.Connection, id string) (*Reader, error) {
	r := &Reader{connection: connection, decompressor: decompress.NewBounded(decompress.DefaultBytes)}
	var err error
	r.Client, err = connection.As(id).Bounded(r.decompressor).Client(
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		// Of an answer that is broken off for the bytes of the fetch, and not of a partition, the embedded broker does not say which of its
		// transactions were aborted.
		kgo.FetchMaxBytes(2*fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes),
		kgo.RequestRetries(5), kgo.RetryTimeout(20*time.Second),
	)
	return r, err
}

// Reach says whether a broker answers.
func (r *Reader) Reach(ctx context.Context) error {
	if err := r.Ping(ctx); err != nil {
		return fmt.Errorf("reach %v: %w", r.connection.Brokers, err)
	}
	return nil
}

// Part of a topic: a partition from an offset up to an end.
type Part struct {
	Topic     string
	Partition int32
	From, End int64
}

// Parts that the topic has now, one for each of its partitions, in order, to the end of what is committed. They begin with the first record
// whose timestamp is since or later; the zero time is all that there is.
func (r *Reader) Parts(ctx context.Context, topic string, since time.Time) ([]Part, error) {
	admin := kadm.NewClient(r.Client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil && !since.IsZero() {
		starts, err = admin.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic)
	}
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find where %s begins: %w", topic, err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find where %s ends: %w", topic, err)
	}
	var parts []Part
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(topic, end.Partition); ok {
			parts = append(parts, Part{topic, end.Partition, start.Offset, end.Offset})
		}
	})
	slices.SortFunc(parts, func(a, b Part) int { return int(a.Partition - b.Partition) })
	return parts, nil
}

// Scan a part. Control records count for its end only. An error of f ends it.
func (r *Reader) Scan(ctx context.Context, part Part, f func(*pipeline.Record) error) error {
	if part.From >= part.End {
		return nil
	}
	r.AddConsumePartitions(map[string]map[int32]kgo.Offset{part.Topic: {part.Partition: kgo.NewOffset().At(part.From)}})
	defer r.RemoveConsumePartitions(map[string][]int32{part.Topic: {part.Partition}})
	for next := part.From; next < part.End; {
		fetches := r.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, e := range kafka.FetchErrors(fetches) {
			return fmt.Errorf("read %s[%d]: %w", part.Topic, part.Partition, e.Err)
		}
		for record := range fetches.RecordsAll() {
			if record.Topic != part.Topic || record.Partition != part.Partition || record.Offset < next { // of a part that was read before
				continue
			}
			if next = record.Offset + 1; record.Offset >= part.End {
				break
			}
			if record.Attrs.IsControl() {
				continue
			}
			if err := f(r.decompressor.Record(record)); err != nil {
				return err
			}
		}
	}
	return nil
}
