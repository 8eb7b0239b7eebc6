package torture

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/kafka"
)

// A broker that comes back may lead a partition before it knows what timestamps its topic takes.
func TestLoadWritesAgainWhatABrokerRefusesForAMoment(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    *kerr.Error
		writes int64
	}{{"a timestamp", kerr.InvalidTimestamp, 300}, {"anything else", kerr.InvalidRecord, 0}} {
		t.Run(c.name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "in"))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "in", Err: c.err, Count: 5})
			l := &load{connection: kafka.Connection{Brokers: cluster.ListenAddrs()}, topic: "in", records: 300, rate: 1e6, keys: 10, maxLag: 1 << 20, random: rand.New(rand.NewPCG(1, 1)), progress: &progress{}} //nolint:gosec // a load
			err = l.run(t.Context(), t.Context())
			if c.writes == 0 && !errors.Is(err, c.err) || c.writes > 0 && err != nil {
				t.Fatalf("got %v", err)
			}
			written := int64(0)
			for p := range int32(3) {
				written += cluster.PartitionInfo("in", p).HighWatermark
			}
			if c.writes > 0 && written != c.writes {
				t.Errorf("%d records are in the topic, want each of %d once", written, c.writes)
			}
		})
	}
}
