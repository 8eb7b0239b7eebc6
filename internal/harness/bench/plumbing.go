package main

import (
	"context"
	"fmt"
	"time"
)

// plumbing is the service with a constant model against a loop that only copies: what decoding, the scheduler, encoding and
// the headers cost, with the same broker, as many members and the same transactions.
func plumbing(ctx context.Context, b *bench) ([]figure, error) {
	const in, n = "plumbing.in", 200_000
	source, err := b.backlog(ctx, in, n)
	if err != nil {
		return nil, err
	}
	const members = 2
	ours := func(round int) (float64, error) {
		name := fmt.Sprintf("plumbing.ours.%d", round)
		out, dead := name+".out", name+".dlq"
		if err := b.broker.topic(ctx, out, dead); err != nil {
			return 0, err
		}
		began := time.Now()
		running, err := serveConstant(ctx, b.broker.section, name, in, out, dead)
		if err != nil {
			return 0, err
		}
		err = running.until(ctx, n)
		rate := n / time.Since(began).Seconds()
		running.stop()
		if err != nil {
			return 0, err
		}
		return rate, b.broker.drop(ctx, out, dead)
	}
	theirs := func(round int) (float64, error) {
		name := fmt.Sprintf("plumbing.copy.%d", round)
		if err := b.broker.topic(ctx, name); err != nil {
			return 0, err
		}
		rate, err := copyRecords(ctx, b.broker.Connection, name, in, name, members, n)
		if err != nil {
			return 0, err
		}
		return rate, b.broker.drop(ctx, name)
	}
	ratios, as, bs, err := paired(b.rounds, ours, theirs)
	if err != nil {
		return nil, err
	}
	return []figure{{
		name: "plumbing ÷ a bare copy loop", floor: 0.35, aim: 0.6, rounds: ratios,
		note: fmt.Sprintf("%.0f records/s against %.0f, %s, %d members each", median(as), median(bs), source, members),
	}}, nil
}
