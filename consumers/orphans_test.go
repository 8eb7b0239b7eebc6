//go:build synctests

package consumers_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

func TestTransactionOfADeadMemberIsEndedByItsHeir(t *testing.T) {
	for _, name := range []string{"another replica", "the same, restarted"} {
		t.Run(name, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 4}, func(w *kafkatest.World) {
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
				if limit := c.Kafka.SessionTimeout + 5*time.Second; !w.AwaitCommits(limit) {
					t.Errorf("%d records are not committed %v after a death in a transaction of %v", w.Lag(), limit, 5*time.Minute)
				}
				finish(t, w, heir, dead)
			})
		})
	}
}

func TestNobodyEndsTheTransactionOfALivingMember(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 8}, func(w *kafkatest.World) {
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

// TestMemberThatJoinsWhileOrphansAreLookedForIsNotFenced has a member join, and open its transaction, between the two questions by which orphans are
// found: whichever is asked first is answered as of before, and late.
func TestMemberThatJoinsWhileOrphansAreLookedForIsNotFenced(t *testing.T) {
	for _, protocol := range []string{consumers.ClassicProtocol, consumers.ConsumerProtocol} {
		t.Run(protocol, func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
				start := func(index int, line *kafkatest.Line) *kafkatest.Worker {
					c := config(w, line, index)
					c.Kafka.GroupProtocol = protocol
					return w.Start(small(cycle(c, new(kafkatest.Model))), line)
				}
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(30, 10))
				before := start(0, w.Line())
				time.Sleep(20 * time.Second)

				heir := w.Line()
				for _, question := range []kmsg.Key{kmsg.ListTransactions, kmsg.DescribeGroups, kmsg.ConsumerGroupDescribe} {
					heir.Arm(question, 0, kafkatest.Act{Delay: 20 * time.Second})
				}
				c := config(w, heir, 0)
				c.Kafka.GroupProtocol, c.Kafka.Replica = protocol, "heir"
				client, err := w.Connection(heir).Client(kgo.RequestTimeoutOverhead(time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				looked := make(chan struct{})
				go func() {
					defer close(looked)
					consumers.EndOrphans(w.Context(), client, c)
				}()
				time.Sleep(time.Second)
				line := w.Line()
				line.Arm(kmsg.Produce, 0, kafkatest.Act{Delay: 8 * time.Second})
				joined := start(1, line)
				time.Sleep(15 * time.Second) // it has partitions
				w.Produce(rand.New(rand.NewPCG(2, 2)), kafkatest.EveryKind(100, 40))
				<-looked
				if open, ended := len(line.Requests(kmsg.Produce)), len(line.Requests(kmsg.EndTxn)); open == 0 || ended > 0 {
					t.Errorf("the member began %d and ended %d transactions while orphans were looked for: this test shows nothing", open, ended)
				}
				if n := len(heir.Requests(kmsg.InitProducerID)); n != 0 {
					t.Errorf("the heir asked for %d producers of others: want none, since the member lives", n)
				}
				finish(t, w, before, joined)
				if errs := joined.Tally.Errors(); len(errs) > 0 {
					t.Errorf("the member that had just joined had %v", errs)
				}
			})
		})
	}
}
