package service

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"nearline/batching"
	"nearline/consumers"
	"nearline/internal/config"
	"nearline/models"
	"nearline/pipeline"
	"nearline/producers"
	"nearline/schemas"
)

// line is one pipeline of the configuration: some members, each with its cycle, on shared models.
type line struct {
	config  *config.Pipeline
	kafka   consumers.KafkaConfig
	cluster *consumers.Cluster
	logger  *slog.Logger
	options []kgo.Opt

	decoder pipeline.Decoder
	steps   []pipeline.Step
	builder *producers.Builder
	metrics *pipeline.Metrics
	members *consumers.Metrics
	clients *clientMetrics
	status  []*pipeline.Status
}

func (s *Service) line(c *config.Pipeline) (*line, error) {
	decoder, err := schemas.NewDecoder(c.Input.InputConfig, c.Output.OutputConfig)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: input: %w", c.Name, err)
	}
	encoder, err := schemas.NewEncoder(c.Output.OutputConfig, c.Input.InputConfig)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: output: %w", c.Name, err)
	}
	builder, err := producers.New(c.Producer(), encoder)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: output: %w", c.Name, err)
	}
	l := &line{
		config:  c,
		kafka:   s.config.Kafka,
		cluster: s.cluster,
		logger:  s.options.Logger.With("pipeline", c.Name),
		decoder: decoder,
		builder: builder,
		metrics: pipeline.NewMetrics(s.registry, c.Name),
		members: consumers.NewMetrics(s.registry, c.Name),
		clients: newClientMetrics(c.Name),
		options: s.options.Kafka,
	}
	var columns []string
	for _, step := range c.Steps {
		predict := models.NewStep(s.models[step.Predict.Model], batching.Stream, step.Predict.As)
		columns = append(columns, predict.Columns()...)
		l.steps = append(l.steps, predict)
	}
	if err := encoder.Check(columns); err != nil {
		return nil, fmt.Errorf("pipeline %s: output: %w", c.Name, err)
	}
	s.registry.MustRegister(l.clients)
	for range c.Cycle.Members {
		l.status = append(l.status, &pipeline.Status{})
	}
	return l, nil
}

// run asks the cluster what it must know once, then runs the members until ctx ends or one of them has to stop.
func (l *line) run(ctx context.Context) error {
	limits, err := l.prepare(ctx)
	if err != nil {
		return err
	}
	builder, err := l.builder.WithLimits(limits.output, limits.deadLetter)
	if err != nil {
		return fmt.Errorf("pipeline %s: %w", l.config.Name, err)
	}
	members, ctx := errgroup.WithContext(ctx)
	for i := range l.config.Cycle.Members {
		members.Go(func() error { return l.cycle(i, builder, limits).Run(ctx) })
	}
	return members.Wait()
}

func (l *line) cycle(index int, builder pipeline.Builder, limits recordLimits) *pipeline.Cycle {
	logger := l.logger.With("member", index)
	member := consumers.Config{
		Kafka:          l.kafka,
		Group:          l.config.Group,
		Topic:          l.config.Input.Topic,
		Delivery:       l.config.Delivery,
		Index:          index,
		MaxRecordBytes: max(limits.output, limits.deadLetter),
		MaxRecords:     l.config.Cycle.MaxRecords,
		Logger:         logger,
		Metrics:        l.members,
	}
	return &pipeline.Cycle{
		Open: func() (pipeline.Source, error) {
			member.Options = append([]kgo.Opt{kgo.WithHooks(l.clients.hook(index))}, l.options...)
			member, err := consumers.Open(member)
			if err != nil {
				return nil, err
			}
			return member, nil
		},
		Decoder: l.decoder,
		Steps:   l.steps,
		Builder: builder,
		Config:  l.config.Cycle,
		Logger:  logger,
		Metrics: l.metrics,
		Status:  l.status[index],
	}
}

// recordLimits are the largest records that the topics take, in bytes; 0 where the broker does not say.
type recordLimits struct {
	output, deadLetter int
}

// prepare asks what the topics take, and seeds where the group begins. A broker that is not there yet is waited for.
func (l *line) prepare(ctx context.Context) (recordLimits, error) {
	var limits recordLimits
	err := l.retry(ctx, "ask the cluster about the topics", func() error {
		if err := l.cluster.SeedGroup(ctx, l.config.Group, l.config.Input.Topic, l.config.Start); err != nil {
			return err
		}
		topics, err := l.cluster.Topics(ctx, l.config.Input.Topic, l.config.Output.Topic, l.config.DeadLetters)
		if err != nil {
			return err
		}
		for name, topic := range topics {
			if topic.Err != nil {
				l.logger.Warn("topic cannot be used", "topic", name, "error", topic.Err, "remedy", "create it; nearline check tells more")
			}
		}
		limits = recordLimits{
			output:     topics[l.config.Output.Topic].MaxRecordBytes,
			deadLetter: topics[l.config.DeadLetters].MaxRecordBytes,
		}
		return nil
	})
	return limits, err
}
