//go:build synctests

package consumers_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/kafkatest"
	"nearline/pipeline"
)

func TestTransactionOfADeadMemberIsEndedByItsHeir(t *testing.T) {
	for _, name := range []string{"another replica", "the same, restarted"} {
		t.Run(name, func(t *testing.T) {
			kafkatest.In(t, kafkatest.Shape{Brokers: 3, Partitions: 4}, func(w *kafkatest.World) {
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(200, 20))
				line := w.Line()
				c := config(w, line, 0)
				c.Kafka.TransactionTimeout = 5 * time.Minute
				doomed := small(cycle(c, new(kafkatest.Model)))
				cut := make(chan struct{})
				doomed.At = once(pipeline.PointPublished, 1, func() { line.Cut(); close(cut) })
				dead := w.Start(doomed, line)
				<-cut
				dead.Kill()
				next := w.Line()
				c = config(w, next, 0)
				if name == "another replica" {
					c.Kafka.Replica = "another"
				}
				heir := w.Start(small(cycle(c, new(kafkatest.Model))), next)
				// The group notices a death after the session timeout, and that should be all.
				if limit := c.Kafka.SessionTimeout + 5*time.Second; !w.Settle(limit) {
					t.Errorf("%d records are not committed %v after a death in a transaction of %v", w.Lag(), limit, 5*time.Minute)
				}
				finish(t, w, heir, dead)
			})
		})
	}
}

func TestNobodyEndsTheTransactionOfALivingMember(t *testing.T) {
	kafkatest.In(t, kafkatest.Shape{Brokers: 3, Partitions: 8}, func(w *kafkatest.World) {
		random := rand.New(rand.NewPCG(1, 1))
		var workers []*kafkatest.Worker
		var lines []*kafkatest.Line
		for index := range 4 {
			w.Produce(random, kafkatest.EveryKind(400, 20))
			line := w.Line()
			// Every third transaction is open for longer than a rebalance takes.
			for range 10 {
				line.Arm(kmsg.Produce, 3, kafkatest.Act{Delay: 3 * time.Second})
			}
			workers = append(workers, w.Start(small(cycle(config(w, line, index), new(kafkatest.Model))), line))
			lines = append(lines, line)
			time.Sleep(time.Second)
		}
		finish(t, w, workers...)
		for i, line := range lines {
			if n := len(line.Requests(kmsg.InitProducerID)); n != 1 {
				t.Errorf("member %d asked for a producer %d times: want once, for its own", i, n)
			}
		}
	})
}
