//go:build synctests

package consumers_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"nearline/internal/harness/kafkatest"
)

var exhaustive = flag.Bool("exhaustive", false, "every answer to every request on every cluster, likely or not")

// requests are all that a member sends.
var requests = []kmsg.Key{
	kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.Metadata, kmsg.OffsetFetch, kmsg.FindCoordinator, kmsg.JoinGroup,
	kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.SyncGroup, kmsg.ApiVersions, kmsg.InitProducerID, kmsg.OffsetForLeaderEpoch,
	kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit,
}

// clusters are told apart by the transaction protocol that they speak: KIP-890's second part bumps the producer's epoch with
// every transaction and needs no AddPartitionsToTxn; before it, a client says beforehand what it will write to.
var clusters = map[string][]kfake.Opt{
	"kip-890": nil,
	"before":  {kfake.MaxVersions(kversion.V3_7_0())},
}

// TestMemberSurvivesEveryRequestCutOff cuts the line at each request: before the broker sees it, after it has done what
// was asked, and so that the answer never comes; for a moment, or for good.
func TestMemberSurvivesEveryRequestCutOff(t *testing.T) {
	acts := []kafkatest.Act{{Before: true}, {After: true}, {Lose: true}, {Delay: 15 * time.Second}}
	for version, options := range clusters {
		for _, key := range requests {
			for _, act := range acts {
				for _, skip := range []int{0, 1} {
					for _, forGood := range []bool{false, true} {
						if forGood && (act.Lose || act.Delay > 0) {
							continue
						}
						t.Run(fmt.Sprintf("%s/%s %d/%s/for good %t", version, key.Name(), skip, act, forGood), func(t *testing.T) {
							t.Parallel()
							kafkatest.Run(t, kafkatest.Shape{Partitions: 2, Options: options}, func(w *kafkatest.World) {
								w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(90, 10))
								line := w.Line()
								act := act
								if forGood {
									act.Then = line.Cut
								}
								line.Arm(key, skip, act)
								workers := []*kafkatest.Worker{w.Start(small(cycle(config(w, line, 0), new(kafkatest.Model))), line)}
								time.Sleep(3 * time.Second)
								if forGood {
									workers[0].Kill()
									next := w.Line()
									workers = append(workers, w.Start(small(cycle(config(w, next, 1), new(kafkatest.Model))), next))
								}
								finish(t, w, workers...)
							})
						})
					}
				}
			}
		}
	}
}

// answers are what a broker may answer to nearly anything, on a bad day.
var answers = []*kerr.Error{
	kerr.UnknownServerError, kerr.OffsetOutOfRange, kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable, kerr.NotLeaderForPartition,
	kerr.RequestTimedOut, kerr.NetworkException, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator,
	kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RebalanceInProgress,
	kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed,
	kerr.OutOfOrderSequenceNumber, kerr.InvalidProducerEpoch, kerr.InvalidTxnState, kerr.InvalidProducerIDMapping,
	kerr.ConcurrentTransactions, kerr.TransactionCoordinatorFenced, kerr.ProducerFenced, kerr.TransactionAbortable, kerr.KafkaStorageError,
	kerr.FencedInstanceID, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.UnstableOffsetCommit, kerr.UnknownProducerID,
	kerr.CorruptMessage, kerr.PolicyViolation, kerr.ThrottlingQuotaExceeded,
}

// effective are the requests that change something, where it matters whether the error came before or after.
var effective = []kmsg.Key{
	kmsg.Produce, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.InitProducerID, kmsg.AddPartitionsToTxn,
	kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit,
}

// transactional are the requests that differ between the clusters.
var transactional = []kmsg.Key{
	kmsg.Produce, kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit,
}

// TestMemberSurvivesEveryAnswer has each request answered once with each error: in place of doing what was asked, and
// after having done it.
func TestMemberSurvivesEveryAnswer(t *testing.T) {
	for version, options := range clusters {
		for _, key := range requests {
			for _, answer := range answers {
				for _, after := range []bool{false, true} {
					if !*exhaustive && (after && !slices.Contains(effective, key) || version == "before" && !slices.Contains(transactional, key)) {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%s/after %t", version, key.Name(), answer.Message, after), func(t *testing.T) {
						t.Parallel()
						kafkatest.Run(t, kafkatest.Shape{Partitions: 2, Options: options}, func(w *kafkatest.World) {
							w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(90, 10))
							line := w.Line()
							if after {
								line.Arm(key, 1, kafkatest.Act{Answer: answer})
							} else {
								w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: answer}, kfake.Fault{Keys: []kmsg.Key{key}, Err: answer, TopLevel: true})
							}
							finish(t, w, w.Start(small(cycle(config(w, line, 0), new(kafkatest.Model))), line))
						})
					})
				}
			}
		}
	}
}
