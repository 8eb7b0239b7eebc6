package deadletters

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/consumers"
	"nearline/pipeline"
)

// writer puts originals back in transactions. All replays of one topic share a transactional id: who begins fences who was there.
type writer struct {
	topic  string
	client *kgo.Client
}

const (
	// transactionTimeout is how long read-committed readers may wait for a replay that died.
	transactionTimeout = 30 * time.Second
	// aloneBytes is from where on a record gets a batch of its own. Brokers' limit of a batch, 1 MiB where nobody changed it, is
	// then kept by all that are smaller.
	aloneBytes = 512 << 10
)

// TransactionalID of all replays of a topic.
func TransactionalID(topic string) string { return "nearline-dlq-replay/" + topic }

// newWriter fences every other replay of the topic.
func (t *Topic) newWriter(ctx context.Context) (*writer, error) {
	client, err := t.connection.As(clientID).Client(
		kgo.TransactionalID(TransactionalID(t.Name)), kgo.TransactionTimeout(transactionTimeout),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(pipeline.MaxRecordBytes), kgo.ManualFlushing(), kgo.MaxBufferedRecords(2*chunkRecords+1),
		kgo.RecordDeliveryTimeout(transactionTimeout), kgo.RecordPartitioner(home{kgo.StickyKeyPartitioner(nil)}),
	)
	if err != nil {
		return nil, err
	}
	w := &writer{topic: t.Name, client: client}
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return nil, w.explain("begin a replay", err)
	}
	return w, nil
}

func (w *writer) close() { w.client.Close() }

// commit a chunk in one transaction. If the broker refuses something in it for its own sake, each record gets a transaction of
// its own, and the refused are left out.
func (w *writer) commit(ctx context.Context, chunk []replaying, report *Replayed) error {
	err := w.attempt(ctx, chunk)
	var refused *refusedError
	switch {
	case err == nil:
		for i := range chunk {
			report.did(&chunk[i])
		}
		return nil
	case !errors.As(err, &refused):
		return err
	case len(chunk) == 1:
		report.skip("the broker refuses it", fmt.Sprintf("%s: %v", chunk[0].letter.At, refused))
		return nil
	}
	for i := range chunk {
		if err := w.commit(ctx, chunk[i:i+1], report); err != nil {
			return err
		}
	}
	return nil
}

// refusedError says that the broker refused a record for itself, or for another in its batch.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// attempt one transaction: everything in it was acknowledged before it is committed.
func (w *writer) attempt(ctx context.Context, chunk []replaying) error {
	if err := w.client.BeginTransaction(); err != nil {
		return w.explain("begin a transaction", err)
	}
	err := w.produce(ctx, chunk)
	end := kgo.TryCommit
	if err != nil {
		end = kgo.TryAbort
	}
	// What was begun is ended, interrupted or not.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
	defer cancel()
	if endErr := w.client.EndTransaction(closing, end); endErr != nil && err == nil {
		return w.explain("commit", endErr)
	}
	return err
}

func (w *writer) produce(ctx context.Context, chunk []replaying) error {
	var (
		mu    sync.Mutex // guards first
		first error
	)
	acknowledged := func(r *kgo.Record, err error) {
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = fmt.Errorf("write to %s: %w", r.Topic, err)
		}
	}
	send := func(o pipeline.Output, partition int32) {
		r := outgoing(o)
		r.Partition = partition
		w.client.Produce(ctx, r, acknowledged)
	}
	flush := func() error {
		if err := w.client.Flush(ctx); err != nil {
			_ = w.client.AbortBufferedRecords(context.WithoutCancel(ctx)) // ctx has ended, and says so itself
			return context.Cause(ctx)
		}
		mu.Lock()
		defer mu.Unlock()
		return w.blame(first)
	}
	size := 0
	for _, r := range chunk {
		if r.dismissed {
			continue
		}
		if size+r.size > aloneBytes {
			if err := flush(); err != nil {
				return err
			}
			size = 0
		}
		send(r.output, r.partition)
		size += r.size
	}
	if err := flush(); err != nil {
		return err
	}
	for _, r := range chunk {
		send(r.memory, byKey)
	}
	return flush()
}

// byKey leaves the choice of a partition to the record's key.
const byKey = -1

// home is a partitioner that heeds a record's partition, if it has one that the topic has, too.
type home struct{ kgo.Partitioner }

func (h home) ForTopic(topic string) kgo.TopicPartitioner {
	return homeOf{h.Partitioner.ForTopic(topic)}
}

type homeOf struct{ kgo.TopicPartitioner }

func (h homeOf) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition != byKey || h.TopicPartitioner.RequiresConsistency(r)
}

func (h homeOf) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 && int(r.Partition) < n {
		return int(r.Partition)
	}
	return h.TopicPartitioner.Partition(r, n)
}

// OnNewBatch is heeded by what chooses for records without a key.
func (h homeOf) OnNewBatch() {
	if chooser, ok := h.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		chooser.OnNewBatch()
	}
}

func outgoing(o pipeline.Output) *kgo.Record {
	r := &kgo.Record{Topic: o.Topic, Key: o.Key, Value: o.Value}
	for _, h := range o.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	return r
}

// blame tells a record's refusal from what concerns the whole replay.
func (w *writer) blame(err error) error {
	switch {
	case err == nil:
		return nil
	case consumers.Refused(err):
		return &refusedError{err}
	default:
		return w.explain("replay", err)
	}
}

// ErrFenced says that another replay of the same topic began.
var ErrFenced = errors.New("another replay of this topic began meanwhile, and goes on from here; what this one committed stays, and is not replayed again")

func (w *writer) explain(doing string, err error) error {
	if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
		return fmt.Errorf("%s as %s: %w (%w)", doing, TransactionalID(w.topic), ErrFenced, err)
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("%s: %w: create the topic, or name another with --to", doing, err)
	}
	return fmt.Errorf("%s as %s: %w: what was committed is remembered, so the same command goes on from there", doing, TransactionalID(w.topic), err)
}
