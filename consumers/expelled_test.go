//go:build synctests

package consumers_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// TestMemberThatTheGroupHadGivenUpAsksWhereItStands has a member miss a rebalance, as one does that is frozen when it is about to join: the group gives it
// up, another member gets its partition, commits records, and leaves. When the first one joins at last, it is given the partition that it still holds. It
// must go on where the other has committed, at rest as well as with a cycle in hand.
func TestMemberThatTheGroupHadGivenUpAsksWhereItStands(t *testing.T) {
	const frozen = 15 * time.Second
	for name, inHand := range map[string]bool{"at rest": false, "with a cycle in hand": true} {
		t.Run(name, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
				random := rand.New(rand.NewPCG(1, 1))
				produce := func() { w.Produce(random, kafkatest.EveryKind(100, 10)) }
				slow := false
				line := w.Line()
				c := config(w, line, 0)
				c.Kafka.RebalanceTimeout = 10 * time.Second
				first := small(cycle(c, new(kafkatest.Model)))
				first.At = func(point pipeline.Point) {
					if point == pipeline.PointPolled && slow {
						slow = false
						time.Sleep(20 * time.Second)
					}
				}
				worker := w.Start(first, line)
				produce()
				if !w.AwaitCommits(time.Minute) {
					t.Fatal("the member does not work: this test shows nothing")
				}
				time.Sleep(20 * time.Second)
				line.Arm(kmsg.JoinGroup, 0, kafkatest.Act{Hold: frozen})
				slow = inHand
				other := w.Line()
				c = config(w, other, 1)
				c.Kafka.RebalanceTimeout = 10 * time.Second
				heir := w.Start(small(cycle(c, new(kafkatest.Model))), other)
				time.Sleep(time.Second) // the member asks to join
				produce()
				if !w.AwaitCommits(frozen - 3*time.Second) {
					t.Fatal("the member was not given up: this test shows nothing")
				}
				if err := heir.Stop(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				produce()
				finish(t, w, worker)
				told := 0
				for _, err := range worker.Tally.Errors() {
					if strings.Contains(err.Error(), "given the member up") {
						told++
					}
				}
				if told != 1 {
					t.Errorf("the member said %d times that it was given up, want once: %v", told, worker.Tally.Errors())
				}
			})
		})
	}
}
