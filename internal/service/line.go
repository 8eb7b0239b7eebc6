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
	"nearline/engine"
	"nearline/internal/config"
	"nearline/kafka"
	"nearline/pipeline"
	"nearline/producers"
)

// line is one pipeline of the configuration: some members, each with its cycle, on shared models.
type line struct {
	config     *config.Pipeline
	connection kafka.Connection
	kafka      consumers.KafkaConfig
	cluster    *consumers.Cluster
	attempts   *consumers.Attempts // nil marks none
	progress   *consumers.Progress // nil keeps none
	logger     *slog.Logger

	programs *pipeline.Programs // of the stream; each member of a view has its own
	builder  *producers.Builder // with the limits of the config
	doubts   []string           // of paths
	// readsColumns says that a model of the line reads a table.
	readsColumns bool
	emits        []*view // views that the steps write updates of
	view         *view   // nil in a pipeline that keeps none
	metrics      *pipeline.Metrics
	members      *consumers.Metrics
	clients      *clientMetrics
	status       []*pipeline.Status
	stands       consumers.Standstill
	known        known

	mu      sync.Mutex // guards waiting
	waiting error      // why the members have not begun; nil once they have
}

// errStarting is what a line waits for first.
var errStarting = errors.New("starting: the cluster has not told about the topics yet")

func (s *Service) line(c *config.Pipeline) (*line, error) {
	l := s.newLine(c)
	program, err := s.engine.Put(compiled(c), batching.Stream)
	if err != nil {
		return nil, err
	}
	l.programs = s.engine.Programs(c.Name, batching.Stream)
	for _, step := range c.Steps {
		if step.Aggregate != nil {
			l.emits = append(l.emits, s.views.named(step.Aggregate.View))
		}
	}
	l.readsColumns = watchColumns(s.registry, c.Name, program.Steps, l.logger)
	tellDoubts(s.config.Features.Views, program, l.logger)
	if l.builder, err = builder(c, program); err != nil {
		return nil, err
	}
	return l, nil
}

// compiled is what the engine compiles of a pipeline.
func compiled(c *config.Pipeline) engine.Pipeline {
	return engine.Pipeline{Name: c.Name, Input: c.Input.InputConfig, Steps: c.Steps, Output: c.Output.OutputConfig}
}

// builder of a pipeline's records.
func builder(c *config.Pipeline, program *pipeline.Program) (made *producers.Builder, err error) {
	if c.Resultless() {
		made, err = producers.NewResultless(c.Producer())
	} else {
		made, err = producers.New(c.Producer(), program.Encoder)
	}
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: output: %w", c.Name, err)
	}
	return made, nil
}

// newLine is a line without what it does to records.
func (s *Service) newLine(c *config.Pipeline) *line {
	l := &line{
		config:     c,
		kafka:      s.config.Kafka,
		cluster:    s.cluster,
		attempts:   s.attempts,
		logger:     s.options.Logger.With("pipeline", c.Name),
		metrics:    pipeline.NewMetrics(s.registry, c.Name),
		members:    consumers.NewMetrics(s.registry, c.Name),
		clients:    newClientMetrics(c.Name),
		connection: s.kafka,
		waiting:    errStarting,
	}
	if s.config.Kafka.Progress() {
		l.progress = consumers.OpenProgress(s.kafka, s.config.Kafka, s.cluster, c.Group, c.Input.Topic, l.logger)
	}
	s.registry.MustRegister(l.clients)
	for range c.Cycle.Members {
		l.status = append(l.status, &pipeline.Status{})
	}
	return l
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
		Connection:     l.connection,
		Kafka:          l.kafka,
		Group:          l.config.Group,
		Topic:          l.config.Input.Topic,
		Delivery:       l.config.Delivery,
		Index:          index,
		MaxRecordBytes: max(topics.limit, topics.deadLetterLimit),
		MaxRecords:     l.config.Cycle.MaxRecords,
		Attempts:       l.attempts,
		Progress:       l.progress,
		Logger:         logger,
		Metrics:        l.members,
		Standing:       &l.stands,
	}
	cycle := &pipeline.Cycle{
		Open: func() (pipeline.Source, error) {
			member.Options = []kgo.Opt{kgo.WithHooks(l.clients.hook(index)), kgo.ProducerBatchMaxBytesFn(l.batchLimit(topics))}
			member, err := consumers.Open(member)
			if err != nil {
				return nil, err
			}
			return consumers.Watched{Member: member, Told: l.known.namesake}, nil
		},
		Programs: l.programs,
		Builder:  func(p *pipeline.Program) pipeline.Builder { return topics.builder.WithEncoder(p.Encoder) },
		Config:   l.config.Cycle,
		Logger:   logger,
		Metrics:  l.metrics,
		Status:   l.status[index],
	}
	if l.view != nil {
		table := l.view.table(index, logger)
		table.Partitions(topics.partitions)
		cycle.Programs = pipeline.NewPrograms(l.view.program(table))
		member.Lost = table.Lost
		member.Note = consumers.NoteStates(l.view.kept().StatesID)
		open := cycle.Open
		cycle.Open = func() (pipeline.Source, error) {
			table.Forget()
			if err := l.view.same(); err != nil {
				return nil, err
			}
			return open()
		}
	}
	return cycle
}

func (l *line) wait(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = err
}
