package hostile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	patience = 30 * time.Second       // with a topic whose leaders are not settled: it was made a moment ago, or a broker fails
	pause    = 200 * time.Millisecond // between two looks at it
)

// Writer writes batches to a topic.
type Writer struct {
	client  *kgo.Client
	topic   string
	id      kadm.TopicID
	leaders map[int32]int32
}

// NewWriter looks the topic up, and waits for one that was made a moment ago.
func NewWriter(ctx context.Context, client *kgo.Client, topic string) (*Writer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		w, err := lookUp(ctx, client, topic)
		if err == nil {
			return w, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("look up %s: %w", topic, err)
		case <-ticker.C:
		}
	}
}

func lookUp(ctx context.Context, client *kgo.Client, topic string) (*Writer, error) {
	topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return nil, err
	}
	w := &Writer{client: client, topic: topic, id: topics[topic].ID, leaders: make(map[int32]int32)}
	for _, partition := range topics[topic].Partitions {
		if partition.Err != nil {
			return nil, partition.Err
		}
		w.leaders[partition.Partition] = partition.Leader
	}
	return w, nil
}

// Partitions of the topic.
func (w *Writer) Partitions() int { return len(w.leaders) }

// Write a batch, and say the offset of its first record. What a broker refused because it does not lead the partition, or does not know
// that it does, is written to the one that does: nothing of it was kept.
func (w *Writer) Write(ctx context.Context, partition int32, batch []byte) (int64, error) {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		offset, err := w.write(ctx, partition, batch)
		if err == nil {
			return offset, nil
		}
		err = fmt.Errorf("write %d bytes to %s[%d]: %w", len(batch), w.topic, partition, err)
		if !leaderless(err) {
			return 0, err
		}
		select {
		case <-limit.Done():
			return 0, err
		case <-time.After(pause):
		}
		anew, lookErr := NewWriter(limit, w.client, w.topic)
		if lookErr != nil {
			return 0, errors.Join(err, lookErr)
		}
		w.leaders = anew.leaders
	}
}

// leaderless tells the refusals of a partition that another broker leads, or whose leader is not settled.
func leaderless(err error) bool {
	return errors.Is(err, kerr.NotLeaderForPartition) || errors.Is(err, kerr.LeaderNotAvailable) || errors.Is(err, kerr.UnknownTopicOrPartition) ||
		errors.Is(err, kerr.UnknownTopicID)
}

func (w *Writer) write(ctx context.Context, partition int32, batch []byte) (int64, error) {
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 30_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.TopicID = w.topic, w.id
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = partition, batch
	topic.Partitions = append(topic.Partitions, part)
	request.Topics = append(request.Topics, topic)
	response, err := w.client.Broker(int(w.leaders[partition])).RetriableRequest(ctx, request)
	if err != nil {
		return 0, err
	}
	produced, ok := response.(*kmsg.ProduceResponse)
	if !ok || len(produced.Topics) != 1 || len(produced.Topics[0].Partitions) != 1 {
		return 0, errors.New("an answer that says nothing of it")
	}
	answer := produced.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return 0, err
	}
	return answer.BaseOffset, nil
}
