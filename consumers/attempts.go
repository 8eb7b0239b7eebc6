package consumers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"
)

// Attempts keeps the marks of attempts in a compacted topic, for all members of a process: what is about to be worked on stands
// there before the work begins. See attempt for what it is good for.
//
// The obvious place would be the metadata of the group's offsets, which need no topic. But a mark would then be an offset commit
// outside of the transaction, and one that a network delays could set the group back behind what was committed since: the
// cure would break the first promise. A topic of its own can be late, doubled or lost without that.
//
// Safe for concurrent use.
type Attempts struct {
	topic  string
	by     string
	client *kgo.Client
	admin  *kadm.Client
	// timeout of one question to the topic, or one answer.
	timeout time.Duration
	// room is the process, which all cycles share, and which a record that is tried alone has for itself: what another member
	// works on meanwhile could end the process just as well.
	room *semaphore.Weighted

	mu    sync.Mutex // guards all below, and one reader at a time
	marks map[string]attempt
	next  map[int32]int64 // offset to read next, by the topic's partition
}

// OpenAttempts makes a client; nothing is connected to before the first question.
func OpenAttempts(config KafkaConfig, logger *slog.Logger, options ...kgo.Opt) (*Attempts, error) {
	topic := config.AttemptsTopic
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(config.Brokers...),
		kgo.ClientID("nearline-attempts"),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DefaultProduceTopic(topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		// A mark may stand there twice, and an idempotent write that is under way cannot be given up.
		kgo.DisableIdempotentWrite(),
		kgo.FetchMaxBytes(1 << 20),
		kgo.MetadataMinAge(250 * time.Millisecond), // the topic may be a moment old
		kgo.WithLogger(clientLogger{logger}),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka.attempts_topic: %w", err)
	}
	return &Attempts{
		topic: topic, by: rand.Text(), client: client, admin: kadm.NewClient(client), timeout: config.TransactionTimeout,
		room: semaphore.NewWeighted(whole), marks: make(map[string]attempt), next: make(map[int32]int64),
	}, nil
}

// AttemptsTopic is the topic as it is to be made: one partition, compacted.
func AttemptsTopic(name string) NewTopic { return NewTopic{Name: name, Partitions: 1, Compact: true} }

// whole is the weight of all the room.
const whole = 1 << 20

// Close the connections.
func (a *Attempts) Close() { a.client.Close() }

// attemptKey is where the marks of a partition stand.
func attemptKey(group, topic string, partition int32) string {
	return group + "/" + topic + "/" + strconv.Itoa(int(partition))
}

// last returns the last mark of each key, as the topic has it now.
func (a *Attempts) last(ctx context.Context, keys []string) (map[string]attempt, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.timeout, errUnmarked)
	defer cancel()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.catchUp(ctx); err != nil {
		return nil, fmt.Errorf("read topic %s: %w", a.topic, err)
	}
	found := make(map[string]attempt)
	for _, key := range keys {
		if mark, ok := a.marks[key]; ok {
			found[key] = mark
		}
	}
	return found, nil
}

// catchUp reads to where the topic ended when it began. The mutex is held over this call into Kafka, since all who wait for it
// wait for the same.
func (a *Attempts) catchUp(ctx context.Context) error {
	ends, err := a.ends(ctx)
	if err != nil {
		return blame(err)
	}
	behind := func() (behind bool) {
		ends.Each(func(end kadm.ListedOffset) { behind = behind || a.next[end.Partition] < end.Offset })
		return behind
	}
	starts, err := a.admin.ListStartOffsets(ctx, a.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return blame(err)
	}
	starts.Each(func(start kadm.ListedOffset) {
		a.next[start.Partition] = max(a.next[start.Partition], start.Offset) // retention, where somebody set one
	})
	for behind() {
		fetches := a.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, kerr.UnknownTopicOrPartition) { // which passes: it was there before any member
				return blame(e.Err)
			}
		}
		fetches.EachRecord(a.read)
	}
	return nil
}

// ends of the topic. One that was made a moment ago is known to the client a moment later.
func (a *Attempts) ends(ctx context.Context) (ends kadm.ListedOffsets, err error) {
	patience := time.NewTimer(created)
	defer patience.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		ends, err = a.admin.ListEndOffsets(ctx, a.topic)
		if err == nil {
			err = ends.Error()
		}
		if !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return ends, err
		}
		select {
		case <-ctx.Done():
			return ends, err
		case <-patience.C:
			return ends, err
		case <-again.C:
		}
	}
}

func (a *Attempts) read(r *kgo.Record) {
	a.next[r.Partition] = r.Offset + 1
	var mark attempt
	if json.Unmarshal(r.Value, &mark) != nil {
		return // somebody else's, or a later release's: no mark is no harm
	}
	a.marks[string(r.Key)] = mark
}

// mark writes marks by key, and returns when all replicas in sync have them.
func (a *Attempts) mark(ctx context.Context, marks map[string]attempt) error {
	ctx, cancel := context.WithTimeoutCause(ctx, a.timeout, errUnmarked)
	defer cancel()
	records := make([]*kgo.Record, 0, len(marks))
	for key, mark := range marks {
		mark.By = a.by
		value, err := json.Marshal(mark)
		if err != nil {
			panic(err) // strings and numbers always have a form in JSON
		}
		records = append(records, &kgo.Record{Key: []byte(key), Value: value})
	}
	if err := a.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("mark an attempt in topic %s: %w", a.topic, blame(err))
	}
	return nil
}
