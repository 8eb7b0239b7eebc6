package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"nearline/kafka"
)

// copyRecords copies n records from one topic to another, exactly once, and does nothing else: poll, produce, commit. It
// is what a pipeline could reach that neither decodes nor predicts. As many members as the service has share the work.
// It returns records a second, joining the group included.
func copyRecords(ctx context.Context, connection kafka.Connection, group, from, to string, members, n int) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var copied atomic.Int64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for member := range members {
		g.Go(func() error {
			session, err := connection.Session(
				kgo.ConsumerGroup(group),
				kgo.ConsumeTopics(from),
				kgo.TransactionalID(fmt.Sprintf("%s-%d", group, member)),
				kgo.FetchIsolationLevel(kgo.ReadCommitted()),
				kgo.Balancers(kgo.CooperativeStickyBalancer()),
				kgo.BlockRebalanceOnPoll(),
				kgo.DefaultProduceTopic(to),
				kgo.ProducerLinger(0),
			)
			if err != nil {
				return err
			}
			defer session.CloseAllowingRebalance()
			for {
				done, err := copyOnce(ctx, session)
				if ctx.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				if copied.Add(int64(done)) >= int64(n) {
					cancel()
				}
			}
		})
	}
	err := g.Wait()
	return float64(copied.Load()) / time.Since(began).Seconds(), err
}

func copyOnce(ctx context.Context, session *kgo.GroupTransactSession) (int, error) {
	fetches := session.PollRecords(ctx, 4096)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err := fetches.Err(); err != nil {
		return 0, err
	}
	if err := session.Begin(); err != nil {
		return 0, err
	}
	var (
		sent   sync.WaitGroup
		failed atomic.Bool
		n      int
	)
	fetches.EachRecord(func(r *kgo.Record) {
		n++
		sent.Add(1)
		session.Produce(ctx, &kgo.Record{Key: r.Key, Value: r.Value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(true)
			}
			sent.Done()
		})
	})
	sent.Wait()
	committed, err := session.End(ctx, kgo.TransactionEndTry(!failed.Load()))
	session.AllowRebalance()
	if !committed {
		n = 0
	}
	return n, err
}
