//go:build synctests

package consumers_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/kafkatest"
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
			kafkatest.In(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
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
