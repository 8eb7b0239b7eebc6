package deadletters

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
	"nearline/producers"
)

// Topic is a topic of dead letters. Not safe for concurrent use.
type Topic struct {
	Name    string
	brokers []string
	options []kgo.Opt
	client  *kgo.Client // reads the letters
	sources *kgo.Client // reads originals, wherever they are
	admin   *kadm.Client
	id      kadm.TopicID // another one after the topic was deleted and made anew
}

// fetchBytes is what a fetch may return, as one partition is read at a time.
const fetchBytes = 4 << 20

// Open a topic. It fails when the topic is not there.
func Open(ctx context.Context, brokers []string, topic string, options ...kgo.Opt) (*Topic, error) {
	t := &Topic{Name: topic, brokers: brokers, options: options}
	reader := func() (*kgo.Client, error) {
		return kgo.NewClient(append([]kgo.Opt{
			kgo.SeedBrokers(brokers...), kgo.ClientID("nearline-dlq"),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
			kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes),
			kgo.RequestRetries(5), kgo.RetryTimeout(20 * time.Second),
		}, options...)...)
	}
	var err error
	if t.client, err = reader(); err != nil {
		return nil, err
	}
	if t.sources, err = reader(); err != nil {
		t.client.Close()
		return nil, err
	}
	t.admin = kadm.NewClient(t.client)
	if err := t.look(ctx); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Topic) look(ctx context.Context) error {
	if err := t.client.Ping(ctx); err != nil {
		return fmt.Errorf("reach %v: %w", t.brokers, err)
	}
	topics, err := t.admin.ListTopics(ctx, t.Name)
	if err == nil {
		err = topics[t.Name].Err
	}
	if err != nil {
		return fmt.Errorf("look up topic %s: %w", t.Name, err)
	}
	t.id = topics[t.Name].ID
	return nil
}

// Close the connections.
func (t *Topic) Close() {
	t.client.Close()
	t.sources.Close()
}

// Found is a record of the topic.
type Found struct {
	Letter *producers.Letter
	// Err says why the record is no dead letter; Letter is nil then.
	Err error
	At  pipeline.Coordinates
}

// errEnough ends Each without an error.
var errEnough = errors.New("enough")

// Each hands over every letter that the filter picks, one partition after another, each in its order, up to where the topic
// ended at the beginning. What is no dead letter is handed over as such. An error from f ends it.
func (t *Topic) Each(ctx context.Context, filter Filter, f func(Found) error) error {
	bounds, err := t.bounds(ctx, filter.Since)
	if err != nil {
		return err
	}
	for _, partition := range slices.Sorted(maps.Keys(bounds)) {
		b := bounds[partition]
		err := scan(ctx, t.client, t.Name, partition, b.from, b.end, func(r *pipeline.Record) error {
			letter, err := producers.ReadLetter(r)
			if err == nil && !filter.Picks(letter) {
				return nil
			}
			return f(Found{letter, err, r.Coordinates()})
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// At is the letter at one place.
func (t *Topic) At(ctx context.Context, partition int32, offset int64) (*producers.Letter, error) {
	record, err := record(ctx, t.client, pipeline.Coordinates{Topic: t.Name, Partition: partition, Offset: offset})
	if err != nil {
		return nil, err
	}
	letter, err := producers.ReadLetter(record)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", record.Coordinates(), err)
	}
	return letter, nil
}

// bounds of a partition: the offsets from the first to read, to the end of what is committed.
type bounds struct{ from, end int64 }

func (t *Topic) bounds(ctx context.Context, since time.Time) (map[int32]bounds, error) {
	starts, err := t.admin.ListStartOffsets(ctx, t.Name)
	if err == nil && !since.IsZero() {
		// A letter's record is at most younger than the letter itself.
		starts, err = t.admin.ListOffsetsAfterMilli(ctx, since.UnixMilli(), t.Name)
	}
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find where %s begins: %w", t.Name, err)
	}
	ends, err := t.admin.ListCommittedOffsets(ctx, t.Name)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find where %s ends: %w", t.Name, err)
	}
	all := make(map[int32]bounds)
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(t.Name, end.Partition); ok && start.Offset < end.Offset {
			all[end.Partition] = bounds{start.Offset, end.Offset}
		}
	})
	return all, nil
}

// scan a partition from an offset up to an end. Control records count for the end only.
func scan(ctx context.Context, client *kgo.Client, topic string, partition int32, from, end int64, f func(*pipeline.Record) error) error {
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(from)}})
	defer client.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
	for next := from; next < end; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s[%d]: %w", topic, partition, err)
		}
		for r := range fetches.RecordsAll() {
			if r.Topic != topic || r.Partition != partition || r.Offset < next { // of a partition that was read before
				continue
			}
			if next = r.Offset + 1; r.Offset >= end {
				break
			}
			if r.Attrs.IsControl() {
				continue
			}
			if err := f(convert(r)); err != nil {
				return err
			}
		}
	}
	return nil
}

func convert(r *kgo.Record) *pipeline.Record {
	record := &pipeline.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp,
	}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, pipeline.Header(h))
	}
	return record
}
