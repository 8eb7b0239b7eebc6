package deadletters

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/consumers/decompress"
	"nearline/pipeline"
)

// reader reads partitions one after another, as a read-committed consumer does. Not safe for concurrent use.
type reader struct {
	*kgo.Client
	decompressor *decompress.Bounded
}

const (
	// fetchBytes is what a fetch may return, as one partition is read at a time, and decompressedBytes what that may be once it is
	// decompressed.
	fetchBytes        = 4 << 20
	decompressedBytes = 128 << 20
)

func newReader(brokers []string, options []kgo.Opt) (*reader, error) {
	r := &reader{decompressor: decompress.Within(decompressedBytes)}
	var err error
	r.Client, err = kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.ClientID("nearline-dlq"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes), kgo.WithDecompressor(r.decompressor),
		kgo.RequestRetries(5), kgo.RetryTimeout(20 * time.Second),
	}, options...)...)
	return r, err
}

// scan a partition from an offset up to an end. Control records count for the end only.
func (r *reader) scan(ctx context.Context, topic string, partition int32, from, end int64, f func(*pipeline.Record) error) error {
	r.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(from)}})
	defer r.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
	for next := from; next < end; {
		fetches := r.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, decompress.ErrFull) { // that passes once what was read is let go
				return fmt.Errorf("read %s[%d]: %w", topic, partition, e.Err)
			}
		}
		for record := range fetches.RecordsAll() {
			if record.Topic != topic || record.Partition != partition || record.Offset < next { // of a partition that was read before
				continue
			}
			if next = record.Offset + 1; record.Offset >= end {
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
