package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// samples of the latency at rest, each alone in the service.
const samples = 500

// latency is the time from the call that produces a record to its result's receipt by a read-committed consumer, one
// record at a time, with a constant model: what everything but the model costs. The pause between two records is longer
// than the answer takes.
func latency(ctx context.Context, b *bench) ([]figure, error) {
	const in, out, dead = "latency.in", "latency.out", "latency.dlq"
	if err := b.broker.topic(ctx, in, out, dead); err != nil {
		return nil, err
	}
	running, err := serveConstant(ctx, b.broker.section, "latency", in, out, dead)
	if err != nil {
		return nil, err
	}
	defer running.stop()

	reader, err := b.broker.Client(kgo.ConsumeTopics(out), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	writer, err := b.broker.Client(kgo.DefaultProduceTopic(in), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	defer writer.Close()

	var took []float64
	for i := range samples + 50 {
		began := time.Now()
		record := &kgo.Record{Key: strconv.AppendInt(nil, int64(i), 10), Value: fmt.Appendf(nil, `{"review_id":"r%d","text":"at rest"}`, i)}
		if err := writer.ProduceSync(ctx, record).FirstErr(); err != nil {
			return nil, err
		}
		if err := await(ctx, reader, 1); err != nil {
			return nil, err
		}
		if i >= 50 { // the first ones join the group and open connections
			took = append(took, time.Since(began).Seconds()*1000)
		}
		time.Sleep(5 * time.Millisecond)
	}
	most, aim, most99, aim99 := 15., 5., 40., 15.
	if b.broker.real() { // replicas that acknowledge, and a coordinator that writes what it decides
		most, aim, most99, aim99 = 60, 30, 1000, 200
	}
	return []figure{
		{name: "latency at rest, median", unit: " ms", floor: most, aim: aim, less: true, rounds: took},
		{name: "latency at rest, 99th percentile", unit: " ms", floor: most99, aim: aim99, less: true, rounds: []float64{percentile(took, 0.99)}},
	}, nil
}

// await n records, or a minute.
func await(ctx context.Context, reader *kgo.Client, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no result came within a minute"))
	defer cancel()
	for n > 0 {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := kafka.FetchError(fetches); err != nil {
			return err
		}
		n -= fetches.NumRecords()
	}
	return nil
}
