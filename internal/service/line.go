package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"nearline/batching"
	"nearline/consumers"
	"nearline/features"
	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/models"
	"nearline/pipeline"
	"nearline/producers"
	"nearline/schemas"
)

// line is one pipeline of the configuration: some members, each with its cycle, on shared models.
type line struct {
	config   *config.Pipeline
	kafka    consumers.KafkaConfig
	cluster  *consumers.Cluster
	attempts *consumers.Attempts // nil marks none
	logger   *slog.Logger
	options  []kgo.Opt

	decoder  pipeline.Decoder
	steps    []pipeline.Step
	builder  *producers.Builder // with the limits of the config
	textless bool               // no step reads the events' text
	// topics that are made where they are missing.
	own     []consumers.NewTopic
	view    *view // nil in a pipeline that keeps none
	metrics *pipeline.Metrics
	members *consumers.Metrics
	clients *clientMetrics
	status  []*pipeline.Status
	stands  consumers.Standstill

	mu      sync.Mutex // guards waiting
	waiting error      // why the members have not begun; nil once they have
}

// errStarting is what a line waits for first.
var errStarting = errors.New("starting: the cluster has not told about the topics yet")

func (s *Service) line(c *config.Pipeline) (*line, error) {
	l := s.newLine(c)
	columns, reads, err := l.addSteps(s)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: %w", c.Name, err)
	}
	input := c.Input.InputConfig
	input.Reads, input.Textless = reads, l.textless
	if l.decoder, err = schemas.NewDecoder(input, c.Output.OutputConfig); err != nil {
		return nil, fmt.Errorf("pipeline %s: input: %w", c.Name, err)
	}
	encoder, err := schemas.NewEncoder(c.Output.OutputConfig, c.Input.InputConfig)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: output: %w", c.Name, err)
	}
	if l.builder, err = producers.New(c.Producer(), encoder); err != nil {
		return nil, fmt.Errorf("pipeline %s: output: %w", c.Name, err)
	}
	if err := encoder.Check(columns); err != nil {
		return nil, fmt.Errorf("pipeline %s: output: %w", c.Name, err)
	}
	return l, nil
}

// newLine is a line without what it does to records.
func (s *Service) newLine(c *config.Pipeline) *line {
	l := &line{
		config:   c,
		kafka:    s.config.Kafka,
		cluster:  s.cluster,
		attempts: s.attempts,
		logger:   s.options.Logger.With("pipeline", c.Name),
		metrics:  pipeline.NewMetrics(s.registry, c.Name),
		members:  consumers.NewMetrics(s.registry, c.Name),
		clients:  newClientMetrics(c.Name),
		options:  s.options.Kafka,
		textless: true,
		waiting:  errStarting,
	}
	s.registry.MustRegister(l.clients)
	for range c.Cycle.Members {
		l.status = append(l.status, &pipeline.Status{})
	}
	return l
}

// addSteps makes the steps of the configuration. It returns the columns of their predictions, and what they want to read of events.
func (l *line) addSteps(s *Service) (columns []pipeline.Field, reads []string, err error) {
	for i, step := range l.config.Steps {
		if step.Predict != nil {
			model := s.models[step.Predict.Model]
			var inputs models.Columns
			if inputs, reads, err = InputsOf(model, step.Predict.Inputs, columns, reads); err != nil {
				return nil, nil, fmt.Errorf("steps[%d].predict: %w", i, err)
			}
			predict := models.NewStep(model, batching.Stream, step.Predict.As, inputs)
			columns = append(columns, predict.Columns()...)
			l.steps = append(l.steps, predict)
			l.textless = l.textless && inputs != nil
			continue
		}
		if step.Rank != nil {
			var rank *models.RankStep
			if rank, reads, err = s.rank(step.Rank, batching.Stream, columns, reads); err != nil {
				return nil, nil, fmt.Errorf("steps[%d].rank: %w", i, err)
			}
			columns = append(columns, rank.Columns()...)
			l.steps = append(l.steps, rank)
			continue
		}
		if step.Lookup != nil {
			var lookup *features.Lookup
			if lookup, reads, err = s.lookup(step.Lookup, columns, reads); err != nil {
				return nil, nil, fmt.Errorf("steps[%d].lookup: %w", i, err)
			}
			columns = append(columns, lookup.Columns()...)
			l.steps = append(l.steps, lookup)
			continue
		}
		v := s.view(step.Aggregate.View)
		var emit *features.Emit
		if emit, reads, err = v.emit(step.Aggregate.Map, columns, reads); err != nil {
			return nil, nil, fmt.Errorf("steps[%d].aggregate: %w", i, err)
		}
		l.steps, l.own = append(l.steps, emit), append(l.own, v.topics()...)
	}
	return columns, reads, nil
}

// run asks the cluster what it must know once, then runs the members until ctx ends or one of them has to stop.
func (l *line) run(ctx context.Context) error {
	topics, ready := l.prepare(ctx)
	if !ready {
		return nil
	}
	members, ctx := errgroup.WithContext(ctx)
	members.Go(func() error {
		l.watchLag(ctx)
		return nil
	})
	for i := range l.config.Cycle.Members {
		members.Go(func() error { return l.cycle(i, topics).Run(ctx) })
	}
	return members.Wait()
}

func (l *line) cycle(index int, topics *outputs) *pipeline.Cycle {
	logger := l.logger.With("member", index)
	member := consumers.Config{
		Kafka:          l.kafka,
		Group:          l.config.Group,
		Topic:          l.config.Input.Topic,
		Delivery:       l.config.Delivery,
		Index:          index,
		MaxRecordBytes: max(topics.limit, topics.deadLetterLimit),
		MaxRecords:     l.config.Cycle.MaxRecords,
		MaxOutputs:     l.config.Cycle.MaxRecords * (1 + len(l.steps)), // a step may put one beside each
		Attempts:       l.attempts,
		Logger:         logger,
		Metrics:        l.members,
		Standing:       &l.stands,
	}
	cycle := &pipeline.Cycle{
		Open: func() (pipeline.Source, error) {
			member.Options = append([]kgo.Opt{
				kgo.WithHooks(l.clients.hook(index)),
				kgo.ProducerBatchMaxBytesFn(l.batchLimit(topics)),
			}, l.options...)
			member, err := consumers.Open(member)
			if err != nil {
				return nil, err
			}
			return member, nil
		},
		Decoder: l.decoder,
		Steps:   l.steps,
		Builder: topics.builder,
		Config:  l.config.Cycle,
		Logger:  logger,
		Metrics: l.metrics,
		Status:  l.status[index],
	}
	if l.view != nil {
		table := l.view.table(index, logger)
		cycle.Steps = []pipeline.Step{table}
		member.Lost = table.Lost
		open := cycle.Open
		cycle.Open = func() (pipeline.Source, error) {
			table.Forget()
			return open()
		}
	}
	return cycle
}

// check says what the members wait for before they begin.
func (l *line) check() observe.Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		if err := l.stands.Err(); err != nil {
			return observe.Finding{Problem: err.Error()}
		}
		return observe.Finding{}
	}
	return observe.Finding{Problem: l.waiting.Error()}
}

func (l *line) wait(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = err
}
