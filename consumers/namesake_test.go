//go:build synctests

package consumers_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// TestAProcessThatWasKilledIsNoNamesakeOfTheNext has a process killed and started again at once. With KIP-848 its first member is in the group until the
// session ends, and a fault in this time is not its doing.
func TestAProcessThatWasKilledIsNoNamesakeOfTheNext(t *testing.T) {
	for _, protocol := range []string{consumers.ClassicProtocol, consumers.ConsumerProtocol} {
		t.Run(protocol, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 6}, func(w *kafkatest.World) {
				random := rand.New(rand.NewPCG(1, 1))
				var told []error
				start := func(line *kafkatest.Line, index int) *kafkatest.Worker {
					c := config(w, line, index)
					c.Kafka.GroupProtocol = protocol
					made := small(cycle(c, new(kafkatest.Model)))
					made.Open = func() (pipeline.Source, error) {
						member, err := consumers.Open(c)
						return consumers.Watched{Member: member, Told: func(err error) { told = append(told, err) }}, err
					}
					return w.Start(made, line)
				}
				w.Produce(random, kafkatest.EveryKind(100, 10))
				line := w.Line()
				killed, other := start(line, 0), start(w.Line(), 1)
				if !w.AwaitCommits(time.Minute) {
					t.Fatal("the first process does not work")
				}
				time.Sleep(10 * time.Second)
				line.Cut()
				killed.Kill()
				line = w.Line()
				line.Arm(kmsg.EndTxn, 0, kafkatest.Act{Answer: kerr.ProducerFenced})
				next := start(line, 0)
				time.Sleep(15 * time.Second) // it is given partitions of the other one
				if protocol == consumers.ConsumerProtocol && w.Members() < 3 {
					t.Error("the killed process has left the group: this test shows nothing")
				}
				w.Produce(random, kafkatest.EveryKind(100, 10))
				finish(t, w, next, other)
				if line.Disarm() > 0 {
					t.Error("nobody was fenced: this test shows nothing")
				}
				if len(told) > 0 {
					t.Errorf("the one that was killed is taken for a namesake: %v", told)
				}
			})
		})
	}
}
