//go:build synctests

package consumers_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// TestMemberStaysWhenTheGroupAgreesWithIt has the end of a cycle come to nothing, once where the group knows as little of
// it as the client, and once where the group has moved on without the client's knowledge.
func TestMemberStaysWhenTheGroupAgreesWithIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		key    kmsg.Key
		nth    int
		answer *kerr.Error
		stays  bool
	}{
		{"offsets refused by a rebalance", kmsg.TxnOffsetCommit, 1, kerr.RebalanceInProgress, true},
		{"an end that nobody confirms", kmsg.EndTxn, 1, kerr.UnknownServerError, false},
		// The client does not name partitions without a commit among those that it goes back in.
		{"the group's first offsets refused by a rebalance", kmsg.TxnOffsetCommit, 0, kerr.RebalanceInProgress, true},
		{"the group's first end, that nobody confirms", kmsg.EndTxn, 0, kerr.UnknownServerError, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(400, 20))
				line := w.Line()
				line.Arm(c.key, c.nth, kafkatest.Act{Answer: c.answer})
				worker := w.Start(small(cycle(config(w, line, 0), new(kafkatest.Model))), line)
				finish(t, w, worker)
				if left := line.Disarm(); left != 0 {
					t.Fatalf("%s was never answered with %s", c.key.Name(), c.answer.Message)
				}
				rebalanced := false
				for _, err := range worker.Tally.Errors() {
					rebalanced = rebalanced || errors.Is(err, pipeline.ErrRebalanced)
				}
				members := len(line.Requests(kmsg.InitProducerID))
				if stayed := members == 1; stayed != c.stays || rebalanced != c.stays {
					t.Errorf("%d members were made, errors %v: want the member to stay: %v", members, worker.Tally.Errors(), c.stays)
				}
			})
		})
	}
}

// TestFirstOffsetsThatWaitForTheEndOfATransactionAreDoubt has the first offsets of a group wait for the end of their transaction. Nothing is committed, and
// a member that took this for agreement might read again what is committed a moment later.
func TestFirstOffsetsThatWaitForTheEndOfATransactionAreDoubt(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
		w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(40, 5))
		w.Cluster.ControlKey(int16(kmsg.OffsetFetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
			w.Cluster.KeepControl()
			return allCommitted(w, request.(*kmsg.OffsetFetchRequest))
		})
		member, err := consumers.Open(config(w, w.Line(), 0))
		if err != nil {
			t.Fatal(err)
		}
		defer member.Close()
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		if records, err := member.Poll(ctx, pipeline.Limits{Records: 10}); err != nil || len(records) == 0 {
			t.Fatalf("polled %d records, %v", len(records), err)
		}
		if !member.Stable(ctx) {
			t.Error("the group does not say where it stands, and nothing waits")
		}
		commitFirst(ctx, w)
		if member.Stable(ctx) {
			t.Error("the group says where it stands, while its first offsets wait for the end of their transaction")
		}
	})
}

// commitFirst commits the group's first offsets in a transaction that stays open.
func commitFirst(ctx context.Context, w *kafkatest.World) {
	w.Helper()
	client, err := w.Connection(w.Line()).Client(kgo.TransactionalID("another"))
	if err != nil {
		w.Fatal(err)
	}
	w.Finally(client.Close)
	id, epoch, err := client.ProducerID(ctx)
	if err != nil {
		w.Fatal(err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = "another", id, epoch, kafkatest.Group
	if answer, err := add.RequestWith(ctx, client); err != nil || answer.ErrorCode != 0 {
		w.Fatalf("add the group to a transaction: %v, %v", err, answer)
	}
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	partition.Offset = 5
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = kafkatest.Input, w.Cluster.TopicInfo(kafkatest.Input).TopicID
	topic.Partitions = append(topic.Partitions, partition)
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch, commit.Group, commit.Generation = "another", id, epoch, kafkatest.Group, -1
	commit.Topics = append(commit.Topics, topic)
	answer, err := commit.RequestWith(ctx, client)
	if err != nil || answer.Topics[0].Partitions[0].ErrorCode != 0 {
		w.Fatalf("commit in a transaction: %v, %v", err, answer)
	}
}

// allCommitted answers a question for all offsets of a group as a broker does: partitions of which it has nothing but offsets that wait for the end of
// their transaction are left out (OffsetMetadataManager.fetchAllOffsets of Kafka). kfake says of all that they wait.
func allCommitted(w *kafkatest.World, request *kmsg.OffsetFetchRequest) (kmsg.Response, error, bool) { //nolint:revive // kfake says what a control returns
	if len(request.Groups) != 1 || len(request.Groups[0].Topics) > 0 {
		return nil, nil, false
	}
	group := kmsg.NewOffsetFetchResponseGroup()
	group.Group = request.Groups[0].Group
	if info := w.Cluster.GroupInfo(group.Group); info != nil {
		for name, partitions := range info.Commits {
			topic := kmsg.NewOffsetFetchResponseGroupTopic()
			topic.Topic, topic.TopicID = name, w.Cluster.TopicInfo(name).TopicID
			for number, commit := range partitions {
				partition := kmsg.NewOffsetFetchResponseGroupTopicPartition()
				partition.Partition, partition.Offset = number, commit.Offset
				topic.Partitions = append(topic.Partitions, partition)
			}
			group.Topics = append(group.Topics, topic)
		}
	}
	answer := request.ResponseKind().(*kmsg.OffsetFetchResponse)
	answer.Groups = append(answer.Groups, group)
	return answer, nil, true
}
