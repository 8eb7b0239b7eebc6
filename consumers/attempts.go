package consumers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"nearline/kafka"
	"nearline/kafka/decompress"
)

// Attempts keeps the marks of attempts, for all members of a process: what is about to be worked on stands in a topic of the member's
// group before the work begins. See attempt for what it is good for.
//
// The obvious place would be the metadata of the group's offsets, which need no topic. But a mark would then be an offset commit
// outside of the transaction, and one that a network delays could set the group back behind what was committed since: the
// cure would break the first promise. A topic of its own can be late, doubled or lost without that.
//
// It can be deleted, too: then it is made again, and what was in doubt is not any more. No client lives as long as the process, since a
// client holds on to the topic that it has first seen under a name.
//
// Safe for concurrent use.
type Attempts struct {
	connection kafka.Connection
	config     KafkaConfig
	by         string
	logger     *slog.Logger
	cluster    *Cluster
	// timeout of one question to a topic, or one answer.
	timeout time.Duration
	// room is the process, which all cycles share, and which a record that is tried alone has for itself: what another member
	// works on meanwhile could end the process just as well.
	room *semaphore.Weighted

	mu     sync.Mutex // guards all below
	logs   map[string]*attemptLog
	writer *kgo.Client // nil until something is to be marked, and after a failure
}

// OpenAttempts makes a client; nothing is connected to before the first question.
func OpenAttempts(connection kafka.Connection, config KafkaConfig, logger *slog.Logger) (*Attempts, error) {
	cluster, err := Dial(connection, logger)
	if err != nil {
		return nil, err
	}
	return &Attempts{
		connection: connection, config: config, by: rand.Text(), logger: logger, cluster: cluster, timeout: config.TransactionTimeout,
		room: semaphore.NewWeighted(whole), logs: make(map[string]*attemptLog),
	}, nil
}

// AttemptsTopic is a topic of attempts as it is to be made: one partition, which keeps every mark of the last day.
func AttemptsTopic(name string) NewTopic { return NewTopic{Name: name, Partitions: 1, Marks: true} }

// EnsureAttempts makes the topic of a group's attempts where it is missing.
func (c *Cluster) EnsureAttempts(ctx context.Context, config KafkaConfig, group string) error {
	topic := AttemptsTopic(config.AttemptsTopicOf(group))
	if err := c.EnsureTopic(ctx, topic); kafka.Explained(err) {
		return fmt.Errorf("topic %s, which keeps what is being worked on: %w", topic.Name, err)
	} else if err != nil {
		return fmt.Errorf("topic %s, which keeps what is being worked on: %w: create it with one partition, cleanup.policy=delete and retention.ms=86400000, "+
			"name another with kafka.attempts_topic, or go without by kafka.attempts_topic: off", topic.Name, err)
	}
	return nil
}

// whole is the weight of all the room.
const whole = 1 << 20

// Close the connections.
func (a *Attempts) Close() {
	a.mu.Lock()
	writer := a.writer
	a.mu.Unlock()
	if writer != nil {
		a.letGo(writer)
	}
	a.cluster.Close()
}

// remakes is how often one question makes the topic again before it gives up.
const remakes = 3

// absent are the answers of a topic that was deleted, and of one that was made again since the client first saw it.
var absent = []error{kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InconsistentTopicID}

// remake the topic of a group's attempts.
func (a *Attempts) remake(ctx context.Context, group string, because error) error {
	a.logger.Warn("the topic of attempts was deleted while running: it is made again", "topic", a.config.AttemptsTopicOf(group), "group", group, "error", because)
	if !sleep(ctx, topicMemory) {
		return context.Cause(ctx)
	}
	if err := a.cluster.EnsureAttempts(ctx, a.config, group); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// last returns the last mark of each partition of a group's input, as the topic has it now and as far as it can be of ours: see attempt.after.
func (a *Attempts) last(ctx context.Context, group, topic string, partitions []int32) (map[int32]attempt, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.timeout, errUnmarked)
	defer cancel()
	log := a.log(group, topic)
	if err := log.one.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("read topic %s: %w", log.name, context.Cause(ctx))
	}
	defer log.one.Release(1)
	for tries := 0; ; tries++ {
		err := log.catchUp(ctx, a)
		if err == nil {
			return log.last(partitions), nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("read topic %s: %w", log.name, context.Cause(ctx))
		}
		if !isAny(err, absent) || tries == remakes {
			return nil, fmt.Errorf("read topic %s: %w", log.name, blame(err))
		}
		if err := a.remake(ctx, group, err); err != nil {
			return nil, err
		}
	}
}

func (a *Attempts) log(group, topic string) *attemptLog {
	a.mu.Lock()
	defer a.mu.Unlock()
	prefix := attemptPrefix(group, topic)
	if a.logs[prefix] == nil {
		a.logs[prefix] = newAttemptLog(a.config.AttemptsTopicOf(group), prefix)
	}
	return a.logs[prefix]
}

// end of a partition of an input: nothing of it can be in doubt beyond.
func (a *Attempts) end(ctx context.Context, topic string, partition int32) (int64, error) {
	ends, err := a.cluster.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, blame(err)
	}
	end, found := ends.Lookup(topic, partition)
	if !found {
		return 0, nil
	}
	return end.Offset, blame(end.Err)
}

// mark writes marks of a group, by partition of its input, and returns when all replicas in sync have them.
func (a *Attempts) mark(ctx context.Context, group, topic string, marks map[int32]attempt) error {
	ctx, cancel := context.WithTimeoutCause(ctx, a.timeout, errUnmarked)
	defer cancel()
	name := a.config.AttemptsTopicOf(group)
	for tries := 0; ; tries++ {
		err := a.write(ctx, name, attemptPrefix(group, topic), marks)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("mark an attempt in topic %s: %w", name, context.Cause(ctx))
		}
		// Another member may have closed the writer, for a failure of its own.
		if tries == remakes || !isAny(err, absent) && !errors.Is(err, kgo.ErrClientClosed) {
			return fmt.Errorf("mark an attempt in topic %s: %w", name, blame(err))
		}
		if isAny(err, absent) {
			if err := a.remake(ctx, group, err); err != nil {
				return err
			}
		}
	}
}

func (a *Attempts) write(ctx context.Context, topic, prefix string, marks map[int32]attempt) error {
	writer, err := a.openWriter()
	if err != nil {
		return err
	}
	records := make([]*kgo.Record, 0, len(marks))
	for partition, mark := range marks {
		mark.By = a.by
		value, err := json.Marshal(mark)
		if err != nil {
			panic(err) // strings and numbers always have a form in JSON
		}
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "%s%d", prefix, partition), Value: value})
	}
	if err := writer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		a.letGo(writer)
		return err
	}
	return nil
}

func (a *Attempts) openWriter() (*kgo.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.writer != nil {
		return a.writer, nil
	}
	var err error
	a.writer, err = a.client(decompress.NewBounded(attemptsBytes),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		// A mark may stand there twice, and an idempotent write that is under way cannot be given up.
		kgo.DisableIdempotentWrite())
	return a.writer, err
}

// letGo of a writer that has failed: it may hold on to a topic that is there no more.
func (a *Attempts) letGo(writer *kgo.Client) {
	a.mu.Lock()
	if a.writer != writer {
		a.mu.Unlock()
		return
	}
	a.writer = nil
	a.mu.Unlock()
	writer.Close()
}

func (a *Attempts) client(bound *decompress.Bounded, options ...kgo.Opt) (*kgo.Client, error) {
	client, err := a.connection.As("nearline-attempts").Bounded(bound).Client(append([]kgo.Opt{
		kgo.FetchMaxBytes(1 << 20),
		kgo.MetadataMinAge(250 * time.Millisecond), // the topic may be a moment old
		kgo.WithLogger(clientLogger{a.logger}),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka.attempts_topic: %w", err)
	}
	return client, nil
}
