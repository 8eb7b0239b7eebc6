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
	letters *reader
	sources *reader // of originals, wherever they are
	admin   *kadm.Client
	id      kadm.TopicID // another one after the topic was deleted and made anew
}

// Open a topic. It fails when the topic is not there.
func Open(ctx context.Context, brokers []string, topic string, options ...kgo.Opt) (*Topic, error) {
	t := &Topic{Name: topic, brokers: brokers, options: options}
	var err error
	if t.letters, err = newReader(brokers, options); err != nil {
		return nil, err
	}
	if t.sources, err = newReader(brokers, options); err != nil {
		t.letters.Close()
		return nil, err
	}
	t.admin = kadm.NewClient(t.letters.Client)
	if err := t.look(ctx); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Topic) look(ctx context.Context) error {
	if err := t.letters.Ping(ctx); err != nil {
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
	t.letters.Close()
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
		err := t.letters.scan(ctx, t.Name, partition, b.from, b.end, func(r *pipeline.Record) error {
			letter, err := readLetter(r)
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

// readLetter reads a dead letter, unless it did not fit into memory.
func readLetter(r *pipeline.Record) (*producers.Letter, error) {
	if r.Withheld != nil {
		return nil, fmt.Errorf("its %d bytes are in a batch that decompresses to more than %v", r.Withheld.Length, r.Withheld.Limit)
	}
	return producers.ReadLetter(r)
}

// At is the letter at one place.
func (t *Topic) At(ctx context.Context, partition int32, offset int64) (*producers.Letter, error) {
	record, err := t.letters.record(ctx, pipeline.Coordinates{Topic: t.Name, Partition: partition, Offset: offset})
	if err != nil {
		return nil, err
	}
	letter, err := readLetter(record)
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
