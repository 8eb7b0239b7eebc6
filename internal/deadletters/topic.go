package deadletters

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"nearline/internal/committed"
	"nearline/kafka"
	"nearline/pipeline"
	"nearline/producers"
)

// clientID that brokers see in their logs.
const clientID = "nearline-dlq"

// Topic is a topic of dead letters. Not safe for concurrent use.
type Topic struct {
	Name       string
	connection kafka.Connection
	letters    *committed.Reader
	sources    *committed.Reader // of originals, wherever they are
	admin      *kadm.Client
	id         kadm.TopicID // another one after the topic was deleted and made anew
}

// Open a topic. It fails when the topic is not there.
func Open(ctx context.Context, connection kafka.Connection, topic string) (*Topic, error) {
	t := &Topic{Name: topic, connection: connection}
	var err error
	if t.letters, err = committed.NewReader(connection, clientID); err != nil {
		return nil, err
	}
	if t.sources, err = committed.NewReader(connection, clientID); err != nil {
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
	if err := t.letters.Reach(ctx); err != nil {
		return err
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
	// A letter's record is at most younger than the letter itself.
	parts, err := t.letters.Parts(ctx, t.Name, filter.Since)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if !filter.narrow(&part) {
			continue
		}
		err := t.letters.Scan(ctx, part, func(r *pipeline.Record) error {
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
	if w := r.Verdict.Withheld; w != nil {
		return nil, fmt.Errorf("its %d bytes are in a batch that decompresses to more than %v", w.Length, w.Limit)
	}
	return producers.ReadLetter(r)
}

// At is the letter at one place.
func (t *Topic) At(ctx context.Context, partition int32, offset int64) (*producers.Letter, error) {
	found, err := record(ctx, t.letters, pipeline.Coordinates{Topic: t.Name, Partition: partition, Offset: offset})
	if err != nil {
		return nil, err
	}
	letter, err := readLetter(found)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", found.Coordinates(), err)
	}
	return letter, nil
}
