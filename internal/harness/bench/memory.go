package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// How long the service is watched, after it has had time to settle, and how often.
const (
	settle   = 20 * time.Second
	watched  = 20 * time.Second
	interval = 250 * time.Millisecond
	backlog  = 1_000_000
)

// memory is the resident memory of the real service in a process of its own while a million records wait, divided by that of
// the same service at the same work with none waiting: there, records come as fast as it scores them, a few at a time.
func memory(ctx context.Context, b *bench) ([]figure, error) {
	events, source, err := reviews(b.reviews, 20_000)
	if err != nil {
		return nil, err
	}
	var ratios []float64
	var with, without []float64
	for round := range min(b.rounds, 3) {
		lagging, err := b.resident(ctx, fmt.Sprintf("memory.lag.%d", round), func(ctx context.Context, topic string) error {
			return b.broker.fill(ctx, topic, events, backlog)
		}, nil)
		if err != nil {
			return nil, err
		}
		level, err := b.resident(ctx, fmt.Sprintf("memory.level.%d", round), nil, func(ctx context.Context, topic string) error {
			return b.trickle(ctx, topic, events)
		})
		if err != nil {
			return nil, err
		}
		ratios, with, without = append(ratios, lagging/level), append(with, lagging), append(without, level)
	}
	return []figure{{
		name: "memory with a million records of lag ÷ without", floor: 1.1, aim: 1.02, less: true, rounds: ratios,
		note: fmt.Sprintf("%.0f MiB against %.0f MiB resident, %s", median(with), median(without), source),
	}}, nil
}

// trickle keeps a little in front of the service, and never a backlog.
func (b *bench) trickle(ctx context.Context, topic string, events [][]byte) error {
	client, err := b.broker.Client(kgo.DefaultProduceTopic(topic))
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for range 10 { // 100 a second: near to what two cores score, and below it
				client.Produce(ctx, &kgo.Record{Key: strconv.AppendInt(nil, int64(i), 10), Value: events[i%len(events)]}, nil)
				i++
			}
		}
	}
}

// resident runs the built service on topics of its own and returns the median of its resident memory, in MiB.
func (b *bench) resident(ctx context.Context, name string, before, during func(context.Context, string) error) (_ float64, err error) {
	in, out, dead := name+".in", name+".out", name+".dlq"
	if err := b.broker.topic(ctx, in, out, dead); err != nil {
		return 0, err
	}
	defer func() {
		if dropErr := b.broker.drop(ctx, in, out, dead); err == nil {
			err = dropErr
		}
	}()
	if before != nil {
		if err := before(ctx, in); err != nil {
			return 0, err
		}
	}
	repository, err := filepath.Abs("models/zoo")
	if err != nil {
		return 0, err
	}
	service, err := b.process(ctx, pipelineYAML(b.broker.section, repository, "sentiment", name, in, out, dead))
	if err != nil {
		return 0, err
	}
	defer service.end()
	if during != nil {
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- during(ctx, in) }()
		defer func() {
			cancel()
			if duringErr := <-ended; err == nil {
				err = duringErr
			}
		}()
	}
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	var sizes []float64
	for range int(watched / interval) {
		size, err := residentMiB(service.command.Process.Pid)
		if err != nil {
			return 0, err
		}
		sizes = append(sizes, size)
		if err := pause(ctx, interval); err != nil {
			return 0, err
		}
	}
	return median(sizes), nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func residentMiB(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("the service has ended: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}
