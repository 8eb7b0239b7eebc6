package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// TestFaultsHurtAndHeal does every fault to a broker, sees from outside that it hurts, and that its end ends it.
func TestFaultsHurtAndHeal(t *testing.T) {
	c := ForTest(t, Options{DiskMiB: 256, Properties: map[string]string{"broker.session.timeout.ms": "3000"}})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	answers := func(t *testing.T, address string) error {
		t.Helper()
		client, err := kafka.Connection{Brokers: []string{address}, DialTimeout: time.Second}.Client(kgo.RetryTimeout(time.Second),
			kgo.RequestTimeoutOverhead(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		return client.Ping(ctx)
	}
	hurts := func(t *testing.T, address string) {
		t.Helper()
		if err := answers(t, address); err == nil {
			t.Errorf("%s answers, want that it is hurt", address)
		}
	}
	heals := func(t *testing.T, address string) {
		t.Helper()
		// The first answers of a busy machine may come late.
		if err := await(ctx, time.Minute, address+" to answer", func(context.Context) error { return answers(t, address) }); err != nil {
			t.Errorf("%s does not answer: %v", address, err)
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	t.Run("network", func(t *testing.T) {
		for name, hurt := range map[string]func() error{
			"cut":    func() error { return c.Cut(1) },
			"refuse": func() error { return c.Refuse(1) },
			"delay":  func() error { return c.Delay(1, 10*time.Second, 0) },
			"lose":   func() error { return c.Lose(1, 1) },
		} {
			t.Run(name, func(t *testing.T) {
				must(t, hurt())
				hurts(t, c.Proxied()[0])
				heals(t, c.Proxied()[1])
				heals(t, c.Direct()[0])
				must(t, c.Heal(ctx, 1))
				heals(t, c.Proxied()[0])
			})
		}
	})
	t.Run("freeze", func(t *testing.T) {
		must(t, c.Pause(ctx, 2))
		hurts(t, c.Direct()[1])
		must(t, c.Unpause(ctx, 2))
		must(t, c.AwaitBroker(ctx, 2))
	})
	t.Run("coordinators move when theirs is killed", func(t *testing.T) {
		for name, find := range map[string]func(context.Context, string) (int, error){
			"transactions": c.TransactionCoordinator, "groups": c.GroupCoordinator,
		} {
			must(t, c.AwaitInSync(ctx))
			before, err := find(ctx, "someone")
			must(t, err)
			must(t, c.Kill(ctx, before))
			hurts(t, c.Direct()[before-1])
			must(t, await(ctx, time.Minute, "another coordinator of "+name, func(ctx context.Context) error {
				after, err := find(ctx, "someone")
				if err == nil && after == before {
					err = errRunning
				}
				return err
			}))
			must(t, c.Restart(ctx, before))
		}
		must(t, c.AwaitInSync(ctx))
	})
	t.Run("a broker with a full disk ends, and comes back with its records", func(t *testing.T) {
		client, err := c.Client(kgo.DefaultProduceTopic("full"), kgo.ConsumeTopics("full"))
		must(t, err)
		defer client.Close()
		_, err = kadm.NewClient(client).CreateTopic(ctx, 6, 3, nil, "full")
		must(t, err)
		must(t, c.FillDisk(ctx, 3))
		const records = 3000
		for range records {
			client.Produce(ctx, &kgo.Record{Value: make([]byte, 1000)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Errorf("produce beside a full disk: %v", err)
				}
			})
		}
		must(t, client.Flush(ctx))
		must(t, await(ctx, time.Minute, "broker 3 to end", func(ctx context.Context) error {
			running, err := c.Running(ctx, 3)
			if err == nil && running {
				err = errRunning
			}
			return err
		}))
		must(t, c.EmptyDisk(ctx, 3))
		must(t, c.Restart(ctx, 3))
		must(t, c.AwaitInSync(ctx))
		for read := 0; read < records; {
			fetches := client.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatalf("after %d of %d records: %v", read, records, err)
			}
			read += fetches.NumRecords()
		}
	})
}
