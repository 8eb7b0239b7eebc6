package consumers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
	"nearline/kafka/decompress"
	"nearline/pipeline"
)

// StateTopic reads back what a step keeps in a compacted topic, partition by partition. Safe for concurrent use.
//
// How far to read is not to be seen from the topic: its last records may be the ends of transactions, or compacted away, or of a
// transaction that is still open because its member has just died. So the reader writes a record of its own, the fence, and reads
// committed until it comes to that. What comes after the fence cannot be of an earlier holder of the partition: the group refuses its commit.
//
// A topic of states that was deleted is never begun anew in silence: see ViewTopics.
type StateTopic struct {
	connection kafka.Connection
	config     KafkaConfig
	topic      string
	logger     *slog.Logger
	// bound is shared by all that is restored at a time. Whoever follows has one of its own, since it may have to wait for a store.
	bound *decompress.Bounded

	mu     sync.Mutex // guards all below
	writer *kgo.Client
	id     string // of the topic that was found at the start; "" while that is unknown, and where the brokers have none
}

// OpenState makes a reader of a topic; nothing is connected to before the first question.
func OpenState(connection kafka.Connection, config KafkaConfig, topic string, logger *slog.Logger) *StateTopic {
	return &StateTopic{connection: connection, config: config, topic: topic, logger: logger, bound: boundOf(config)}
}

// boundOf what a reader of internal topics holds: as for inputs, but never less than what is right for batches of small states.
func boundOf(config KafkaConfig) *decompress.Bounded {
	return decompress.NewBounded(max(int(config.FetchMaxDecompressed), defaultMaxDecompressed))
}

// Remember which topic this is. One that is made anew under its name is refused from now on.
func (s *StateTopic) Remember(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id = id
}

// same is an error where the topic is gone, or is another than was found at the start.
func (s *StateTopic) same(ctx context.Context, writer *kgo.Client) error {
	s.mu.Lock()
	id := s.id
	s.mu.Unlock()
	topics, err := kadm.NewClient(writer).ListTopics(ctx, s.topic)
	if err == nil {
		err = topics[s.topic].Err
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("%w: %w", pipeline.ErrPermanent, goneError(s.topic))
	case err != nil:
		return fmt.Errorf("look for topic %s: %w", s.topic, blame(err))
	case id != "" && topics[s.topic].ID.String() != id:
		return fmt.Errorf("%w: %w", pipeline.ErrPermanent, anewError(s.topic))
	}
	return nil
}

// Close the connections.
func (s *StateTopic) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer != nil {
		s.writer.Close()
	}
}

// fenceKey is the key of fences: no key of a step begins with a zero byte, so that compaction keeps them apart.
const fenceKey = "\x00fence"

// Restore reads a partition from an offset on, up to all that was committed before it began, and returns the offset that follows. It may take as
// long as a transaction may be open.
func (s *StateTopic) Restore(ctx context.Context, partition int32, from int64, apply func(key, value []byte) error) (next int64, err error) {
	fence, err := s.fence(ctx, partition)
	if err != nil {
		return 0, err
	}
	reader, err := s.client(s.bound,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: {partition: kgo.NewOffset().At(from)}}),
		// Below the log's start there is nothing that a state needs.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	var bad badStates
	for next <= fence {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		for _, e := range fetches.Errors() {
			var refused *kgo.ErrDecompressTooLarge
			switch {
			case errors.Is(e.Err, decompress.ErrFull): // that passes once what was read is let go
			case errors.As(e.Err, &refused):
				return 0, fmt.Errorf("%w: %w", pipeline.ErrPermanent, refusedError(refused))
			default:
				return 0, fmt.Errorf("read %s[%d]: %w", e.Topic, e.Partition, blame(e.Err))
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if next = r.Offset + 1; string(r.Key) == fenceKey {
				return
			}
			record := s.bound.Record(r)
			err := withheldError(record)
			if err == nil {
				err = apply(r.Key, r.Value)
			}
			bad.note(record, err)
		})
		if bad.full() {
			break
		}
	}
	if err := bad.err(); err != nil {
		return 0, err
	}
	return next, nil
}

// fence writes one, and returns its offset.
func (s *StateTopic) fence(ctx context.Context, partition int32) (offset int64, err error) {
	writer, err := s.openWriter()
	if err != nil {
		return 0, err
	}
	if err := s.same(ctx, writer); err != nil {
		return 0, err
	}
	r := &kgo.Record{Topic: s.topic, Partition: partition, Key: []byte(fenceKey), Value: []byte(rand.Text())}
	if err := writer.ProduceSync(ctx, r).FirstErr(); err != nil {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		s.letGo(writer)
		return 0, fmt.Errorf("write to %s[%d]: %w", s.topic, partition, blame(err))
	}
	return r.Offset, nil
}

func (s *StateTopic) openWriter() (*kgo.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer == nil {
		writer, err := s.client(s.bound, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
			// A fence may stand there twice, and an idempotent write that is under way cannot be given up.
			kgo.DisableIdempotentWrite())
		if err != nil {
			return nil, err
		}
		s.writer = writer
	}
	return s.writer, nil
}

// letGo of a writer that has failed: a client holds on to the topic that it has first seen under a name.
func (s *StateTopic) letGo(writer *kgo.Client) {
	s.mu.Lock()
	if s.writer != writer {
		s.mu.Unlock()
		return
	}
	s.writer = nil
	s.mu.Unlock()
	writer.Close()
}

func (s *StateTopic) client(bound *decompress.Bounded, options ...kgo.Opt) (*kgo.Client, error) {
	client, err := s.connection.As("nearline-state").Bounded(bound).Client(append([]kgo.Opt{
		kgo.RetryBackoffFn(retryBackoff),
		kgo.MetadataMinAge(retryBackoff(0)), // the topic may be a moment old
		kgo.WithLogger(clientLogger{s.logger}),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("open a reader of %s: %w", s.topic, err)
	}
	return client, nil
}
