package service

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"nearline/kafka"
	"nearline/pipeline"
	"nearline/producers"
)

// outputs is what a worker must know of its topics before it can make records for them.
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
func (w *worker) prepare(ctx context.Context) (*outputs, bool) {
	// Where the group begins comes first and once: what is written to a topic that was created after it is later than the latest.
	begun := w.progress == nil || w.retry(ctx, func() error { return w.progress.Begin(ctx, w.config.Start) })
	var found *outputs
	ready := begun && w.retry(ctx, func() (err error) {
		for _, v := range w.emits {
			if err := v.ensureUpdates(ctx); err != nil {
				return err
			}
		}
		if w.view != nil {
			if err := w.view.ensure(ctx); err != nil {
				return err
			}
		}
		if found, err = w.look(ctx); err == nil && w.attempts != nil {
			err = w.cluster.EnsureAttempts(ctx, w.kafka, w.config.Group)
		}
		return err
	})
	if ready {
		w.wait(nil)
	}
	return found, ready
}

// look at the topics.
func (w *worker) look(ctx context.Context) (*outputs, error) {
	names := []string{w.config.Input.Topic, w.config.DeadLetters}
	if w.config.Output.Topic != "" {
		names = append(names, w.config.Output.Topic)
	}
	topics, err := w.cluster.Topics(ctx, names...)
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
	if updates, states := topics[w.config.Input.Topic], topics[w.config.Output.Topic]; w.view != nil && updates.Partitions != states.Partitions {
		return nil, fmt.Errorf("topic %s has %d partitions and topic %s has %d: want the same number; the state of a view begins anew when both are deleted",
			updates.Name, updates.Partitions, states.Name, states.Partitions)
	}
	// 0 where the broker does not say.
	limit := min(topics[w.config.Output.Topic].MaxRecordBytes, pipeline.MaxRecordBytes)
	deadLetterLimit := min(topics[w.config.DeadLetters].MaxRecordBytes, pipeline.MaxRecordBytes)
	builder, err := w.builder.WithLimits(limit, deadLetterLimit)
	if err != nil {
		return nil, err
	}
	fallback := cmp.Or(w.config.Output.MaxRecordBytes, pipeline.DefaultRecordBytes)
	builder = builder.WithTimes(topics[w.config.Output.Topic].Times)
	return &outputs{builder: builder, limit: cmp.Or(limit, fallback), deadLetterLimit: cmp.Or(deadLetterLimit, fallback),
		partitions: topics[w.config.Input.Topic].Partitions}, nil
}

// batchLimit is the largest batch that a topic takes. To a broker the topic's limit is one of batches: a topic that takes less
// than its neighbour would refuse the neighbour's.
func (w *worker) batchLimit(topics *outputs) func(topic string) int32 {
	return func(topic string) int32 {
		limit := topics.limit
		if topic == w.config.DeadLetters {
			limit = topics.deadLetterLimit
		}
		return int32(limit) //nolint:gosec // at most pipeline.MaxRecordBytes, or what the config says
	}
}

// retryPause between two questions to a cluster that does not answer, or not as it should.
const retryPause = 2 * time.Second

// retry f until it works, which is true, or ctx ends. What it waits for is logged once; and what is refused was told by the connection, in words that may be
// others each time.
func (w *worker) retry(ctx context.Context, f func() error) bool {
	again := backoff{connection: w.connection, least: retryPause}
	var said string
	for {
		again.ask()
		err := f()
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			return true
		}
		w.wait(err)
		text := err.Error()
		if kafka.Refused(err) || kafka.Passing(err) {
			text = "refused"
		}
		if text != said {
			said = text
			w.logger.Warn("the pipeline waits", "error", err)
		}
		if !again.wait(ctx, err) {
			return false
		}
	}
}
