//go:build synctests

package consumers_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// config of a member with the defaults of a pipeline.
func config(w *kafkatest.World, line *kafkatest.Line, index int) consumers.Config {
	kafka := consumers.DefaultKafka()
	kafka.Replica = "r"
	return consumers.Config{
		Connection: w.Connection(line),
		Kafka:      kafka,
		Group:      kafkatest.Group,
		Topic:      kafkatest.Input,
		Delivery:   pipeline.ExactlyOnce,
		Index:      index,
		MaxRecords: pipeline.DefaultCycle().MaxRecords,
		Logger:     kafkatest.Log(w.TB),
	}
}

// cycle of such a member with these steps.
func cycle(c consumers.Config, steps ...pipeline.Step) *pipeline.Cycle {
	return &pipeline.Cycle{
		Open:     func() (pipeline.Source, error) { return consumers.Open(c) },
		Programs: kafkatest.Programs(steps...),
	}
}

func TestMemberScoresEveryRecordOnce(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 6}, func(w *kafkatest.World) {
		w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(500, 20))
		line := w.Line()
		worker := w.Start(cycle(config(w, line, 0), new(kafkatest.Model)), line)
		if !w.AwaitCommits(time.Minute) {
			t.Errorf("%d records are not committed after a minute: %v", w.Lag(), worker.Tally.Errors())
		}
		if err := worker.Stop(); err != nil {
			t.Errorf("the cycle ended with %v", err)
		}
		if err := w.Check().Err(); err != nil {
			t.Error(err)
		}
	})
}

// small makes cycles small, so that a load takes several.
func small(c *pipeline.Cycle) *pipeline.Cycle {
	c.Config = pipeline.DefaultCycle()
	c.Config.MaxRecords = 40
	return c
}

// once calls f the nth time that a cycle reaches the point.
func once(point pipeline.Point, nth int, f func()) func(pipeline.Point) {
	return func(p pipeline.Point) {
		if p == point {
			if nth--; nth == 0 {
				f()
			}
		}
	}
}

// finish stops the workers when the group has committed everything, and checks.
func finish(t *testing.T, w *kafkatest.World, workers ...*kafkatest.Worker) {
	t.Helper()
	if !w.AwaitCommits(5 * time.Minute) {
		t.Errorf("%d records are not committed after five minutes", w.Lag())
		for i, worker := range workers {
			t.Logf("worker %d: %v", i, worker.Tally.Errors())
		}
	}
	for _, worker := range workers {
		worker.Ask()
	}
	for _, worker := range workers {
		if err := worker.Stop(); err != nil {
			t.Errorf("a cycle ended with %v", err)
		}
	}
	if err := w.Check().Err(); err != nil {
		t.Error(err)
	}
}

func TestMemberCutOffAtAnyPointLosesAndDoublesNothing(t *testing.T) {
	for _, point := range pipeline.Points() {
		for _, nth := range []int{1, 2} {
			for name, index := range map[string]int{"another takes over": 1, "it restarts and fences": 0} {
				t.Run(fmt.Sprintf("%s %d, %s", point, nth, name), func(t *testing.T) {
					kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 4}, func(w *kafkatest.World) {
						w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(200, 20))
						line := w.Line()
						c := small(cycle(config(w, line, 0), new(kafkatest.Model)))
						if point == pipeline.PointOpened && nth == 2 {
							line.Arm(kmsg.EndTxn, 0, kafkatest.Act{After: true}) // so that there is a second source
						}
						cut := make(chan struct{})
						var dead *kafkatest.Worker
						c.At = once(point, nth, func() { line.Cut(); close(cut) })
						dead = w.Start(c, line)
						<-cut
						dead.Kill()
						next := w.Line()
						heir := w.Start(small(cycle(config(w, next, index), new(kafkatest.Model))), next)
						finish(t, w, heir, dead)
					})
				})
			}
		}
	}
}

// What its producer has taken back is no input, and the gap that it leaves is none that retention made.
func TestMemberReadsOnlyWhatIsCommitted(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
		producer, err := w.Connection(w.Line()).Client(kgo.TransactionalID("producer"), kgo.DefaultProduceTopic(kafkatest.Input))
		if err != nil {
			t.Fatal(err)
		}
		w.Finally(producer.Close)
		registry, random, line := prometheus.NewRegistry(), rand.New(rand.NewPCG(1, 1)), w.Line()
		c := config(w, line, 0)
		c.Metrics = consumers.NewMetrics(registry, "p")
		worker := w.Start(small(cycle(c, new(kafkatest.Model))), line)
		for range 3 {
			w.Produce(random, kafkatest.EveryKind(30, 10))
			w.AwaitCommits(time.Minute)
			if err := producer.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				r := &kgo.Record{Key: fmt.Append(nil, i), Value: []byte("taken back")}
				if err := producer.ProduceSync(w.Context(), r).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			if err := producer.EndTransaction(w.Context(), kgo.TryAbort); err != nil {
				t.Fatal(err)
			}
		}
		w.Produce(random, kafkatest.EveryKind(30, 10))
		finish(t, w, worker)
		if lost := metric(t, registry, "nearline_consumer_retention_lost_records_total"); lost != 0 {
			t.Errorf("%v records that were taken back count as lost to retention: want none", lost)
		}
	})
}
