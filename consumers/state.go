package consumers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// StateTopic reads back what a step keeps in a compacted topic, partition by partition. Safe for concurrent use.
//
// How far to read is not to be seen from the topic: its last records may be the ends of transactions, or compacted away, or of a
// transaction that is still open because its member has just died. So the reader writes a record of its own, the fence, and reads
// committed until it comes to that. What comes after the fence cannot be of an earlier holder of the partition: the group refuses its commit.
type StateTopic struct {
	config  KafkaConfig
	topic   string
	logger  *slog.Logger
	options []kgo.Opt

	mu     sync.Mutex // guards writer
	writer *kgo.Client
}

// OpenState makes a reader of a topic; nothing is connected to before the first question.
func OpenState(config KafkaConfig, topic string, logger *slog.Logger, options ...kgo.Opt) *StateTopic {
	return &StateTopic{config: config, topic: topic, logger: logger, options: options}
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
	reader, err := s.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: {partition: kgo.NewOffset().At(from)}}),
		// Below the log's start there is nothing that a state needs.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	for next <= fence {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		for _, e := range fetches.Errors() {
			return 0, fmt.Errorf("read %s[%d]: %w", e.Topic, e.Partition, blame(e.Err))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if next = r.Offset + 1; err == nil && string(r.Key) != fenceKey {
				err = apply(r.Key, r.Value)
			}
		})
		if err != nil {
			return 0, err
		}
	}
	return next, nil
}

// fence writes one, and returns its offset.
func (s *StateTopic) fence(ctx context.Context, partition int32) (offset int64, err error) {
	writer, err := s.openWriter()
	if err != nil {
		return 0, err
	}
	r := &kgo.Record{Topic: s.topic, Partition: partition, Key: []byte(fenceKey), Value: []byte(rand.Text())}
	if err := writer.ProduceSync(ctx, r).FirstErr(); err != nil {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return 0, fmt.Errorf("write to %s[%d]: %w", s.topic, partition, blame(err))
	}
	return r.Offset, nil
}

func (s *StateTopic) openWriter() (*kgo.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer == nil {
		writer, err := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
			// A fence may stand there twice, and an idempotent write that is under way cannot be given up.
			kgo.DisableIdempotentWrite())
		if err != nil {
			return nil, err
		}
		s.writer = writer
	}
	return s.writer, nil
}

func (s *StateTopic) client(options ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(append([]kgo.Opt{
		kgo.SeedBrokers(s.config.Brokers...),
		kgo.ClientID("nearline-state"),
		kgo.RetryBackoffFn(retryBackoff),
		kgo.MetadataMinAge(retryBackoff(0)), // the topic may be a moment old
		kgo.WithLogger(clientLogger{s.logger}),
	}, options...), s.options...)...)
	if err != nil {
		return nil, fmt.Errorf("open a reader of %s: %w", s.topic, err)
	}
	return client, nil
}

// Following is how a topic of states is followed.
type Following struct {
	// Group of replicas that share the partitions, and go on where it stands; "" is nobody, and all is read from the beginning.
	Group string
	// Apply is handed each helping until it succeeds. What it is given may come again.
	Apply func(context.Context, []*pipeline.Record) error
	// CaughtUp, if set, is called once all that was committed in these partitions when it began has been applied.
	CaughtUp   func()
	Partitions int
	// Mark, if set, is handed the next offset of each partition that something was applied of, before these are committed. After an error it is
	// tried again, unless that is ErrLeave.
	Mark func(ctx context.Context, next map[int32]int64) error
}

// Follow reads a topic of states as it grows, read-committed: for whoever keeps a copy of the state. It returns when ctx ends.
func (s *StateTopic) Follow(ctx context.Context, f Following) error {
	group := f.Group
	life, kill := context.WithCancel(context.Background())
	defer kill()
	options := []kgo.Opt{
		kgo.WithContext(life),
		kgo.ConsumeTopics(s.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(int32(s.config.FetchMaxBytes)), //nolint:gosec // bounded by the config
	}
	if group != "" {
		options = append(options,
			kgo.ConsumerGroup(group),
			kgo.Balancers(kgo.CooperativeStickyBalancer()),
			kgo.SessionTimeout(s.config.SessionTimeout),
			kgo.HeartbeatInterval(s.config.SessionTimeout/12),
			kgo.RebalanceTimeout(s.config.RebalanceTimeout),
			kgo.BlockRebalanceOnPoll(),
			kgo.DisableAutoCommit())
	}
	reader, err := s.client(options...)
	if err != nil {
		return err
	}
	defer func() {
		// Without it, a group's coordinator that is away would be asked to let go for as long as it takes.
		patience := time.AfterFunc(leaveTimeout, kill)
		defer patience.Stop()
		reader.CloseAllowingRebalance()
	}()
	fences := map[int32]int64{} // by partition, the offsets of those that are still to come
	if f.CaughtUp != nil && !s.fences(ctx, f.Partitions, fences) {
		return nil
	}
	told := "" // the last trouble
	marks := marking{mark: f.Mark, logger: s.logger, next: map[int32]int64{}}
	for ctx.Err() == nil {
		waiting, stop := marks.waiting(ctx)
		fetches := reader.PollRecords(waiting, 10_000)
		stop()
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			if told != e.Err.Error() && !errors.Is(e.Err, context.DeadlineExceeded) {
				told = e.Err.Error()
				s.logger.Warn("the states of a view cannot be read for its store, which is tried again", "topic", e.Topic, "partition", e.Partition, "group", group, "error", e.Err)
			}
		}
		passed := false
		records := make([]*pipeline.Record, 0, fetches.NumRecords())
		fetches.EachRecord(func(r *kgo.Record) {
			// A later one may have had ours compacted away.
			if fence, coming := fences[r.Partition]; coming && r.Offset >= fence {
				passed = true
				delete(fences, r.Partition)
			}
			if string(r.Key) != fenceKey {
				records = append(records, &pipeline.Record{
					Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp,
				})
			}
		})
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				marks.applied(p.Partition, p.Records[n-1].Offset+1)
			}
		})
		if len(records) > 0 && !s.until(ctx, records, f.Apply) {
			return nil
		}
		if passed && len(fences) == 0 {
			f.CaughtUp()
		}
		if group != "" {
			commit, err := marks.due(ctx)
			if err != nil {
				return err
			}
			if commit {
				err = reader.CommitUncommittedOffsets(ctx)
			}
			if err != nil && ctx.Err() == nil && told != err.Error() {
				told = err.Error()
				s.logger.Warn("the offsets of a reader of states were not committed; what it has read comes again", "group", group, "error", err)
			}
			reader.AllowRebalance()
		}
	}
	return nil
}

// fences writes one into each partition, and notes them; false is the end of ctx.
func (s *StateTopic) fences(ctx context.Context, partitions int, written map[int32]int64) bool {
	for p := range partitions {
		for tries := 0; ; tries++ {
			offset, err := s.fence(ctx, int32(p)) //nolint:gosec // a topic's
			if err == nil {
				written[int32(p)] = offset //nolint:gosec // a topic's
				break
			}
			if tries == 0 && ctx.Err() == nil {
				s.logger.Warn("the end of a view's states cannot be marked, which is tried again", "topic", s.topic, "partition", p, "error", err)
			}
			if !sleep(ctx, retryBackoff(tries)) {
				return false
			}
		}
	}
	return true
}

// sleep is false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// until apply succeeds, which is true, or ctx ends.
func (s *StateTopic) until(ctx context.Context, records []*pipeline.Record, apply func(context.Context, []*pipeline.Record) error) bool {
	for tries := 0; ; tries++ {
		err := apply(ctx, records)
		if err == nil {
			return true
		}
		if ctx.Err() == nil && tries == 0 {
			s.logger.Warn("states are not kept yet, and tried again", "topic", s.topic, "records", len(records), "error", err)
		}
		if !sleep(ctx, retryBackoff(tries)) {
			return false
		}
	}
}
