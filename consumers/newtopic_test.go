//go:build synctests

package consumers_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
)

// A broker that is to lead partitions of a new topic learns so later than the one that is asked to make it.
func TestANewTopicIsAwaitedUntilItsLeadersKnowThatTheyLead(t *testing.T) {
	for _, late := range []*kerr.Error{kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable, kerr.NotLeaderForPartition, kerr.ReplicaNotAvailable, kerr.TopicAuthorizationFailed} {
		t.Run(late.Message, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
				cluster, err := consumers.Dial(w.Connection(w.Line()), kafkatest.Log(w.TB))
				if err != nil {
					t.Fatal(err)
				}
				defer cluster.Close()
				w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: late, Count: 20})
				err = cluster.CreateTopic(w.Context(), consumers.NewTopic{Name: "young", Partitions: 3})
				switch final := !late.Retriable; {
				case final && !errors.Is(err, late):
					t.Errorf("got %v, want what the broker says", err)
				case !final && err != nil:
					t.Errorf("got %v, want that the topic is awaited", err)
				}
			})
		})
	}
}
