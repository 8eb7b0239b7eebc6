//go:build synctests

package service

import (
	"fmt"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/consumers"
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
		slow := slowed(program(s.workers[0]).Steps[0], 5*time.Minute)
		instead(s.workers[0], slow)
		r := b.run(s)
		<-slow.began
		// Nobody has committed yet, and the members are busy for minutes.
		r.lags(100, 3)
		b.send("opinions.raw", 100, 20)
		r.lags(120, 3)
		slow.takes.Store(0)
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

// others write to a topic in a transaction, to each of its partitions in turn, and end it so.
func (b *bench) others(topic string, n int, end kgo.TransactionEndTry) {
	b.Helper()
	client, err := b.world.Connection(b.world.Line()).Client(kgo.TransactionalID("others"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		b.Fatal(err)
	}
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Partition: int32(i % 3), Value: fmt.Appendf(nil, `{"review_id":"o%d","text":"of others"}`, i)}
	}
	if err := client.ProduceSync(b.Context(), records...).FirstErr(); err != nil {
		b.Fatal(err)
	}
	if err := client.EndTransaction(b.Context(), end); err != nil {
		b.Fatal(err)
	}
}

func TestMarkersAndAbortedRecordsOfOthersAreNoLag(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		r := b.run(b.open(b.config("opinions")))
		b.others("opinions.raw", 30, kgo.TryCommit)
		r.committed(time.Minute, 30)
		time.Sleep(time.Minute) // or the lag would be the one of before
		r.lags(0, 3)            // though the group stands before the markers
		for range 3 {
			b.others("opinions.raw", 1200, kgo.TryAbort)
			time.Sleep(time.Minute)
			r.lags(0, 3)
		}
		b.others("opinions.raw", 30, kgo.TryCommit)
		r.committed(time.Minute, 60)
		r.lags(0, 3)
		r.end()
	})
}

func TestLagOfAGroupThatStandsBeginsAtTheFirstRecordThatWaits(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		c := b.config("opinions")
		s := b.open(c)
		ask := consumers.WatchLag(s.cluster, s.kafka, c.Kafka, "nearline-opinions", "opinions.raw", s.options.Logger)
		wants := func(what string, want int64) {
			b.Helper()
			lag, err := ask.Ask(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for partition := range int32(3) {
				if got, there := lag[partition]; got != want || !there || len(lag) != 3 {
					b.Errorf("%s: got lag %v, want %d in each of 3 partitions", what, lag, want)
				}
			}
		}
		wants("an empty topic", 0)
		b.others("opinions.raw", 30, kgo.TryAbort) // 10 and a marker in each
		wants("records that were aborted", 0)
		b.others("opinions.raw", 3, kgo.TryAbort)
		wants("more of them", 0)
		b.others("opinions.raw", 6, kgo.TryCommit) // 2 and a marker in each
		wants("records that wait", 3)
		b.others("opinions.raw", 3, kgo.TryCommit)
		wants("more of them", 5)
		// Who begins to watch does not read where a group may well be on its way.
		ask = consumers.WatchLag(s.cluster, s.kafka, c.Kafka, "nearline-opinions", "opinions.raw", s.options.Logger)
		wants("a new watch", 18)
		wants("a new watch, where the group stands", 5)
		if err := s.Close(); err != nil {
			b.Errorf("close: %v", err)
		}
	})
}

func TestLagOfAPartitionThatIsGoneIsGone(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		r := b.run(b.open(b.config("opinions")))
		r.lags(0, 3)
		admin := kadm.NewClient(b.client)
		if _, err := admin.DeleteTopic(b.Context(), "opinions.raw"); err != nil {
			b.Fatal(err)
		}
		if _, err := admin.CreateTopic(b.Context(), 1, 1, nil, "opinions.raw"); err != nil {
			b.Fatal(err)
		}
		r.lags(0, 1)
		r.end()
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
