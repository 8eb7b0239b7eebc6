//go:build synctests

package consumers_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

func TestMemberThatIsThrownOutWhileItsModelRuns(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
		w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(200, 20))
		line := w.Line()
		c := small(cycle(config(w, line, 0), new(kafkatest.Model)))
		c.At = once(pipeline.PointDecoded, 2, func() {
			line.Cut()
			time.Sleep(30 * time.Second) // the group thinks it dead
			line.Mend()
			time.Sleep(time.Second)
		})
		slow := w.Start(c, line)
		other := w.Line()
		heir := w.Start(small(cycle(config(w, other, 1), new(kafkatest.Model))), other)
		finish(t, w, slow, heir)
	})
}

func TestMemberAloneThatIsThrownOutComesBack(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
		w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(200, 20))
		line := w.Line()
		c := small(cycle(config(w, line, 0), new(kafkatest.Model)))
		c.At = once(pipeline.PointDecoded, 2, func() {
			line.Cut()
			time.Sleep(30 * time.Second)
			line.Mend()
			time.Sleep(time.Second)
		})
		finish(t, w, w.Start(c, line))
	})
}

func TestMemberOutlivesAHungBroker(t *testing.T) {
	for _, point := range pipeline.Points() {
		t.Run(string(point), func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(200, 20))
				line := w.Line()
				c := small(cycle(config(w, line, 0), new(kafkatest.Model)))
				c.At = once(point, 1, func() {
					line.Hang()
					time.AfterFunc(40*time.Second, line.Mend)
				})
				began := time.Now()
				worker := w.Start(c, line)
				finish(t, w, worker)
				t.Logf("%v of virtual time; longest close %d ms; %v", time.Since(began), worker.Tally.LongestCloseMilliseconds.Load(), worker.Tally.Errors())
			})
		})
	}
}

func TestMemberFrozenBeyondTheTransactionTimeout(t *testing.T) {
	for _, point := range pipeline.Points() {
		t.Run(string(point), func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(200, 20))
				line := w.Line()
				c := small(cycle(config(w, line, 0), new(kafkatest.Model)))
				c.At = once(point, 1, func() { time.Sleep(25 * time.Second) })
				worker := w.Start(c, line)
				finish(t, w, worker)
			})
		})
	}
}

func TestCycleStopsInTimeWhereverTheBrokerIsLost(t *testing.T) {
	for _, point := range pipeline.Points() {
		for name, lose := range map[string]func(*kafkatest.Line){"cut": (*kafkatest.Line).Cut, "hung": (*kafkatest.Line).Hang} {
			t.Run(string(point)+" "+name, func(t *testing.T) {
				kafkatest.Run(t, kafkatest.Shape{Partitions: 4}, func(w *kafkatest.World) {
					w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(200, 20))
					line := w.Line()
					c := small(cycle(config(w, line, 0), new(kafkatest.Model)))
					reached := make(chan struct{})
					c.At = once(point, 1, func() { lose(line); close(reached) })
					worker := w.Start(c, line)
					<-reached
					began := time.Now()
					if err := worker.Stop(); err != nil {
						t.Errorf("the cycle ended with %v", err)
					}
					if took, limit := time.Since(began), c.Config.Shutdown+10*time.Second; took > limit {
						t.Errorf("it took %v to stop without a broker: want at most %v (close: %d ms)", took, limit, worker.Tally.LongestCloseMilliseconds.Load())
					} else {
						t.Logf("it took %v to stop (close: %d ms)", took, worker.Tally.LongestCloseMilliseconds.Load())
					}
				})
			})
		}
	}
}

func TestMemberSaysSoWhenItsBrokersAreGoneForLong(t *testing.T) {
	for _, delivery := range []pipeline.Delivery{pipeline.ExactlyOnce, pipeline.AtLeastOnce} {
		t.Run(string(delivery), func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(100, 10))
				line := w.Line()
				config := config(w, line, 0)
				config.Delivery = delivery
				c := small(cycle(config, new(kafkatest.Model)))
				c.At = once(pipeline.PointEncoded, 1, line.Hang)
				worker := w.Start(c, line)
				time.Sleep(config.Kafka.RebalanceTimeout + 30*time.Second)
				if s := worker.Status.Snapshot(); s.Healthy || s.Blame != pipeline.BlamePassing {
					t.Errorf("the status is healthy %t, blames %v: want unhealthy, passing", s.Healthy, s.Blame)
				}
				line.Mend()
				finish(t, w, worker)
			})
		})
	}
}
