//go:build synctests

package consumers_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
)

// metric reads one counter.
func metric(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func TestRecordsThatRetentionRemovedAreCounted(t *testing.T) {
	const name = "nearline_consumer_retention_lost_records_total"
	kafkatest.Run(t, kafkatest.Shape{Partitions: 1}, func(w *kafkatest.World) {
		registry := prometheus.NewRegistry()
		metrics := consumers.NewMetrics(registry, "p")
		start := func() *kafkatest.Worker {
			line := w.Line()
			c := config(w, line, 0)
			c.Metrics = metrics
			return w.Start(cycle(c, new(kafkatest.Model)), line)
		}
		random := rand.New(rand.NewPCG(1, 1))
		mix := kafkatest.Mix{Records: 30, Keys: 3}
		w.Produce(random, mix)
		worker := start()
		w.AwaitCommits(time.Minute)
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
		if got := metric(t, registry, name); got != 0 {
			t.Errorf("%v records counted as lost: want none", got)
		}
		w.Produce(random, mix) // 30 to 59, of which retention takes 30 to 44
		if err := w.Cluster.DeleteRecords(kafkatest.Input, 0, 45); err != nil {
			t.Fatal(err)
		}
		worker = start()
		if !w.AwaitCommits(time.Minute) {
			t.Errorf("%d records are left", w.Lag())
		}
		synctest.Wait() // it is counted once the commit is answered
		if got := metric(t, registry, name); got != 15 {
			t.Errorf("%v records counted as lost: want 15", got)
		}
		if r := w.Check(); r.Lost != 15 || r.Doubled > 0 {
			t.Errorf("want 15 lost and none doubled, got: %v", r.Err())
		}
		// Records removed after they were read are no loss.
		w.Produce(random, mix)
		w.AwaitCommits(time.Minute)
		if err := w.Cluster.DeleteRecords(kafkatest.Input, 0, 90); err != nil {
			t.Fatal(err)
		}
		w.Produce(random, mix)
		w.AwaitCommits(time.Minute)
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
		if got := metric(t, registry, name); got != 15 {
			t.Errorf("%v records counted as lost in the end: want 15", got)
		}
	})
}

func TestNoAlarmForPartitionsThatMovedAwayAndCameBack(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 2}, func(w *kafkatest.World) {
		registry := prometheus.NewRegistry()
		metrics := consumers.NewMetrics(registry, "p")
		random := rand.New(rand.NewPCG(1, 1))
		mix := kafkatest.Mix{Records: 30, Keys: 9}
		start := func(index int) *kafkatest.Worker {
			line := w.Line()
			c := config(w, line, index)
			c.Metrics = metrics
			return w.Start(cycle(c, new(kafkatest.Model)), line)
		}
		stays := start(0)
		for range 4 {
			w.Produce(random, mix)
			w.AwaitCommits(time.Minute)
			comes := start(1)
			time.Sleep(10 * time.Second)
			w.Produce(random, mix)
			w.AwaitCommits(time.Minute)
			for _, p := range w.Cluster.PartitionInfos(kafkatest.Input) { // all of it was read by now
				if err := w.Cluster.DeleteRecords(kafkatest.Input, p.Partition, p.HighWatermark); err != nil {
					t.Fatal(err)
				}
			}
			if err := comes.Stop(); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Second)
		}
		finish(t, w, stays)
		if got := metric(t, registry, "nearline_consumer_retention_lost_records_total"); got != 0 {
			t.Errorf("%v records counted as lost: want none", got)
		}
	})
}
