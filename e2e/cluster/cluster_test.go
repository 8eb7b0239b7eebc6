package cluster

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// TestEveryListenerServesEveryBroker writes a record to a partition of each broker through each listener and reads it back
// through the same, so that all addresses that a broker hands out are right.
func TestEveryListenerServesEveryBroker(t *testing.T) {
	for _, version := range []string{Newest, Oldest} {
		t.Run(version, func(t *testing.T) { everyListener(t, version) })
	}
}

func everyListener(t *testing.T, version string) {
	c := ForTest(t, Options{Version: version})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for name, connection := range map[string]kafka.Connection{
		"direct":   {Brokers: c.Direct()},
		"proxied":  {Brokers: c.Proxied()},
		"internal": {Brokers: c.Internal(), Dial: c.dialInside},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := reach(connection, kgo.ConsumeTopics(name), kgo.DefaultProduceTopic(name),
				kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			created, err := kadm.NewClient(client).CreateTopic(ctx, 3, 3, nil, name)
			if err != nil || created.Err != nil {
				t.Fatalf("create %s: %v, %v", name, err, created.Err)
			}
			for partition := range int32(3) {
				if err := client.ProduceSync(ctx, &kgo.Record{Partition: partition, Value: fmt.Appendf(nil, "%d", partition)}).FirstErr(); err != nil {
					t.Fatalf("produce to partition %d: %v", partition, err)
				}
			}
			leaders := map[int32]bool{}
			for read := 0; read < 3; {
				fetches := client.PollFetches(ctx)
				if err := fetches.Err(); err != nil {
					t.Fatalf("after %d of 3 records: %v", read, err)
				}
				fetches.EachRecord(func(r *kgo.Record) {
					read++
					if got, want := string(r.Value), fmt.Sprint(r.Partition); got != want {
						t.Errorf("partition %d has %q, want %q", r.Partition, got, want)
					}
				})
			}
			metadata, err := kadm.NewClient(client).Metadata(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			metadata.Topics.EachPartition(func(p kadm.PartitionDetail) { leaders[p.Leader] = true })
			if len(leaders) != 3 {
				t.Errorf("the three partitions are led by %d brokers, want 3: not every address was tried", len(leaders))
			}
		})
	}
}

// dialInside dials a broker's name in the containers' network, which this host reaches by address.
func (c *Cluster) dialInside(ctx context.Context, network, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	for _, b := range c.brokers {
		if strings.EqualFold(name, alias(b.node)) {
			ip, err := b.container.ContainerIP(ctx)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(ip, port))
		}
	}
	return nil, fmt.Errorf("%s is no broker", address)
}
