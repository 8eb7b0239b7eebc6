package service

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"nearline/pipeline"
	"nearline/producers"
)

// outputs is what a line must know of its topics before it can make records for them.
type outputs struct {
	builder *producers.Builder
	// The largest records that the topics take, in bytes.
	limit, deadLetterLimit int
	partitions             int // of the input
}

// prepare notes where the group begins, and asks what the topics take. It waits for brokers that are not there yet and for
// topics that do not exist yet, as long as it takes: whoever starts everything at once starts in any order. It says false when
// ctx has ended.
//
// It waits for all three topics: without the one for dead letters, the first bad record would stop the pipeline.
func (l *line) prepare(ctx context.Context) (*outputs, bool) {
	// Where the group begins comes first and once: what is written to a topic that was created after it is later than the latest.
	begun := l.progress == nil || l.retry(ctx, func() error { return l.progress.Begin(ctx, l.config.Start) })
	var found *outputs
	ready := begun && l.retry(ctx, func() (err error) {
		for _, v := range l.emits {
			if err := v.ensureUpdates(ctx); err != nil {
				return err
			}
		}
		if l.view != nil {
			if err := l.view.ensure(ctx); err != nil {
				return err
			}
		}
		if found, err = l.look(ctx); err == nil && l.attempts != nil {
			err = l.cluster.EnsureAttempts(ctx, l.kafka, l.config.Group)
		}
		return err
	})
	if ready {
		l.wait(nil)
	}
	return found, ready
}

// look at the topics.
func (l *line) look(ctx context.Context) (*outputs, error) {
	names := []string{l.config.Input.Topic, l.config.DeadLetters}
	if l.config.Output.Topic != "" {
		names = append(names, l.config.Output.Topic)
	}
	topics, err := l.cluster.Topics(ctx, names...)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		switch topic := topics[name]; {
		case topic.Missing():
			return nil, fmt.Errorf("topic %s does not exist: create it, and the pipeline begins by itself (nearline topics --config FILE --create does that)", name)
		case topic.Err != nil:
			return nil, fmt.Errorf("topic %s cannot be used: %w", name, topic.Err)
		}
	}
	// A key's state stands in the partition of its updates: both topics share keys out alike.
	if updates, states := topics[l.config.Input.Topic], topics[l.config.Output.Topic]; l.view != nil && updates.Partitions != states.Partitions {
		return nil, fmt.Errorf("topic %s has %d partitions and topic %s has %d: want the same number; the state of a view begins anew when both are deleted",
			updates.Name, updates.Partitions, states.Name, states.Partitions)
	}
	// 0 where the broker does not say.
	limit := min(topics[l.config.Output.Topic].MaxRecordBytes, pipeline.MaxRecordBytes)
	deadLetterLimit := min(topics[l.config.DeadLetters].MaxRecordBytes, pipeline.MaxRecordBytes)
	builder, err := l.builder.WithLimits(limit, deadLetterLimit)
	if err != nil {
		return nil, err
	}
	fallback := cmp.Or(l.config.Output.MaxRecordBytes, pipeline.DefaultRecordBytes)
	builder = builder.WithTimes(topics[l.config.Output.Topic].Times)
	return &outputs{builder: builder, limit: cmp.Or(limit, fallback), deadLetterLimit: cmp.Or(deadLetterLimit, fallback),
		partitions: topics[l.config.Input.Topic].Partitions}, nil
}

// batchLimit is the largest batch that a topic takes. To a broker the topic's limit is one of batches: a topic that takes less
// than its neighbour would refuse the neighbour's.
func (l *line) batchLimit(topics *outputs) func(topic string) int32 {
	return func(topic string) int32 {
		limit := topics.limit
		if topic == l.config.DeadLetters {
			limit = topics.deadLetterLimit
		}
		return int32(limit) //nolint:gosec // at most pipeline.MaxRecordBytes, or what the config says
	}
}

// retryPause between two questions to a cluster that does not answer, or not as it should.
const retryPause = 2 * time.Second

// retry f until it works, which is true, or ctx ends.
func (l *line) retry(ctx context.Context, f func() error) bool {
	again := time.NewTicker(retryPause)
	defer again.Stop()
	for {
		err := f()
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			return true
		}
		l.wait(err)
		l.logger.Warn("the pipeline waits", "error", err)
		select {
		case <-ctx.Done():
			return false
		case <-again.C:
		}
	}
}
