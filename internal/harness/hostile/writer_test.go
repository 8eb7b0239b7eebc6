package hostile

import (
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/kafka"
)

// A broker that was told of its partition a moment later than the client refuses the first batch.
func TestWriterGoesOnWhereTheLeaderIsNotSettled(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "raw"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	for name, refusal := range map[string]*kerr.Error{
		"another leads": kerr.NotLeaderForPartition,
		"none leads":    kerr.LeaderNotAvailable,
		"too large":     kerr.MessageTooLarge,
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			broker.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
				asked.Add(1)
				produce := request.(*kmsg.ProduceRequest)
				response := produce.ResponseKind().(*kmsg.ProduceResponse)
				topic := kmsg.NewProduceResponseTopic()
				topic.Topic, topic.TopicID = produce.Topics[0].Topic, produce.Topics[0].TopicID
				part := kmsg.NewProduceResponseTopicPartition()
				part.ErrorCode = refusal.Code
				topic.Partitions = append(topic.Partitions, part)
				response.Topics = append(response.Topics, topic)
				return response, nil, true
			})
			client, err := kafka.Connection{Brokers: broker.ListenAddrs()}.Client()
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			w, err := NewWriter(t.Context(), client, "raw")
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := NewGenerator(1).Bomb(0, kgo.CodecNone, 10).Encode()
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Write(t.Context(), 0, encoded)
			if asked.Load() != 1 {
				t.Fatalf("the broker refused %d times, want once", asked.Load())
			}
			if settles := refusal != kerr.MessageTooLarge; settles != (err == nil) {
				t.Errorf("got %v, want it written only where the leader was not settled", err)
			}
		})
	}
}
