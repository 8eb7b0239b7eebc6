//go:build synctests

package service

import (
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"nearline/pipeline"
)

// sum of the series of a metric, and how many there are; only those with the label, if one is named.
func (r *running) sum(name, label, value string) (total float64, series int) {
	r.b.Helper()
	families, err := r.Registry().Gather()
	if err != nil {
		r.b.Fatalf("gather: %v", err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			if label == "" || has(metric, label, value) {
				total += metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
				series++
			}
		}
	}
	return total, series
}

func has(metric *dto.Metric, label, value string) bool {
	for _, pair := range metric.GetLabel() {
		if pair.GetName() == label && pair.GetValue() == value {
			return true
		}
	}
	return false
}

func (r *running) lags(want float64, series int) {
	r.b.Helper()
	r.until(time.Minute, "the lag", func() bool {
		got, n := r.sum("nearline_consumer_lag_records", "", "")
		return got == want && n == series
	})
}

func TestLagIsWhatTheGroupHasNotCommitted(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		b.send("opinions.raw", 0, 100)
		s := b.open(b.config("opinions"))
		slow := &slowStep{Step: s.lines[0].steps[0], takes: 5 * time.Minute, began: make(chan struct{}, 10)}
		s.lines[0].steps = []pipeline.Step{slow}
		r := b.run(s)
		<-slow.began
		// Nobody has committed yet, and the members are busy for minutes.
		r.lags(100, 3)
		b.send("opinions.raw", 100, 20)
		r.lags(120, 3)
		slow.takes = 0
		time.Sleep(10 * time.Minute)
		r.committed(time.Minute, 120)
		r.lags(0, 3)

		b.line.Cut()
		r.lags(0, 0) // unknown, and not zero
		b.line.Mend()
		r.lags(0, 3)
		r.end()
	})
}

func TestLagBeginsAtTheOldestRecordThereIs(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		b.send("opinions.raw", 0, 90)
		b.deleteBefore("opinions.raw", 0, 10)
		s := b.open(b.config("opinions"))
		lag, err := s.cluster.Lag(b.Context(), "nearline-opinions", "opinions.raw")
		if err != nil {
			b.Fatal(err)
		}
		ends := map[int32]int64{}
		for _, record := range b.read("opinions.raw") {
			ends[record.Partition]++ // of what there still is
		}
		for partition, n := range ends {
			if lag[partition] != n {
				b.Errorf("partition %d: got lag %d, want %d", partition, lag[partition], n)
			}
		}
		if err := s.Close(); err != nil {
			b.Errorf("close: %v", err)
		}
	})
}

func TestPartitionChangesAreCounted(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		r := b.run(b.open(b.config("opinions")))
		r.until(time.Minute, "3 partitions held", func() bool {
			assigned, _ := r.sum("nearline_consumer_partition_changes_total", "change", "assigned")
			revoked, _ := r.sum("nearline_consumer_partition_changes_total", "change", "revoked")
			return assigned-revoked == 3
		})
		r.end()
		assigned, _ := r.sum("nearline_consumer_partition_changes_total", "change", "assigned")
		revoked, _ := r.sum("nearline_consumer_partition_changes_total", "change", "revoked")
		if assigned != revoked {
			b.Errorf("at the end %v partitions were assigned and %v given up, want all of them", assigned, revoked)
		}
	})
}
