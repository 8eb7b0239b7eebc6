package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// replicas is what 2 and 4 processes of the service get through, divided by what one does, with a constant model and so with as little
// to do as possible: what sharing a topic costs. Where the brokers and all replicas share a few cores, it is those that are the limit, and
// the ratio says that more replicas do not get into each other's way.
func replicas(ctx context.Context, b *bench) ([]figure, error) {
	const in, n = "replicas.in", 300_000
	source, err := b.backlog(ctx, in, n)
	if err != nil {
		return nil, err
	}
	many := func(count int) measurement {
		return func(round int) (float64, error) {
			return b.shared(ctx, fmt.Sprintf("replicas.%d.%d.%d", count, round, time.Now().UnixMilli()), in, n, count)
		}
	}
	var figures []figure
	for _, count := range []int{2, 4} {
		ratios, as, bs, err := paired(min(b.rounds, 5), many(count), many(1))
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{
			name: fmt.Sprintf("%d replicas ÷ 1, constant model", count), floor: 0.8, aim: 1, rounds: ratios,
			note: fmt.Sprintf("%.0f records/s against %.0f, %s", median(as), median(bs), source),
		})
	}
	return figures, nil
}

// shared is the records a second that so many replicas commit, between the first fifth of a topic of n and the last: what it
// takes to start, to share out the partitions and to run dry is left out.
func (b *bench) shared(ctx context.Context, name, in string, n, count int) (rate float64, err error) {
	out, dead := name+".out", name+".dlq"
	if err := b.broker.topic(ctx, out, dead); err != nil {
		return 0, err
	}
	repository, err := constantRepository()
	if err == nil {
		repository, err = filepath.Abs(repository)
	}
	if err != nil {
		return 0, err
	}
	var services []*process
	defer func() {
		for _, service := range services {
			service.end()
		}
		err = errors.Join(err, b.broker.drop(context.WithoutCancel(ctx), out, dead))
	}()
	for i := range count {
		yaml := pipelineYAML(b.broker.section, repository, "constant", name, in, out, dead)
		yaml = bytes.Replace(yaml, []byte("replica: bench"), fmt.Appendf(nil, "replica: bench-%d", i), 1)
		service, err := b.process(ctx, yaml)
		if err != nil {
			return 0, err
		}
		services = append(services, service)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("the replicas did not get through in five minutes"))
	defer cancel()
	from, err := b.reach(ctx, name, int64(n/5))
	if err != nil {
		return 0, err
	}
	to, err := b.reach(ctx, name, int64(n-n/5))
	if err != nil {
		return 0, err
	}
	return float64(to.committed-from.committed) / to.at.Sub(from.at).Seconds(), nil
}

// progress of a group: how many records it had committed, and when.
type progress struct {
	committed int64
	at        time.Time
}

// reach waits until a group has committed n records.
func (b *bench) reach(ctx context.Context, group string, n int64) (p progress, err error) {
	for {
		offsets, err := b.broker.admin.FetchOffsets(ctx, "nearline-"+group)
		if err == nil {
			p = progress{at: time.Now()}
			offsets.Each(func(o kadm.OffsetResponse) { p.committed += max(o.At, 0) })
			if p.committed >= n {
				return p, nil
			}
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return p, context.Cause(ctx)
		}
	}
}
