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
	"nearline/columns"
	"nearline/consumers"
	"nearline/engine"
	"nearline/internal/config"
	"nearline/kafka"
	"nearline/pipeline"
	"nearline/producers"
)

// worker is a pipeline of the configuration at work: some members, each with its cycle, on shared models.
type worker struct {
	config     *config.Pipeline
	connection kafka.Connection
	kafka      consumers.KafkaConfig
	cluster    *consumers.Cluster
	attempts   *consumers.Attempts // nil marks none
	progress   *consumers.Progress // nil keeps none
	logger     *slog.Logger

	programs      *pipeline.Programs // of the stream; each member of a view has its own
	builder       *producers.Builder // with the limits of the config
	columnMetrics *columns.Metrics   // nil where no model of the pipeline reads a table
	emits         []*view            // views that the steps write updates of
	view          *view              // nil in a pipeline that keeps none
	metrics       *pipeline.Metrics
	members       *consumers.Metrics
	clients       *clientMetrics
	status        []*pipeline.Status
	stands        consumers.Standstill
	known         known

	mu      sync.Mutex // guards waiting
	waiting error      // why the members have not begun; nil once they have
}

// errStarting is what a worker waits for first.
var errStarting = errors.New("starting: the cluster has not told about the topics yet")

func (s *Service) worker(c *config.Pipeline) (*worker, error) {
	w := s.newWorker(c)
	runs := compiled(c)
	runs.Ready = func(program *pipeline.Program) {
		w.watchColumns(s.registry, program)
		tellDoubts(s.config.Features.Views, program, w.logger)
	}
	program, err := s.engine.Put(runs, batching.Stream)
	if err != nil {
		return nil, err
	}
	w.programs = s.engine.Programs(c.Name, batching.Stream)
	for _, step := range c.Steps {
		if step.Aggregate != nil {
			w.emits = append(w.emits, s.views.named(step.Aggregate.View))
		}
	}
	if w.builder, err = builder(c, program); err != nil {
		return nil, err
	}
	return w, nil
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

// newWorker is one without what it does to records.
func (s *Service) newWorker(c *config.Pipeline) *worker {
	w := &worker{
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
		w.progress = consumers.OpenProgress(s.kafka, s.config.Kafka, s.cluster, c.Group, c.Input.Topic, w.logger)
	}
	s.registry.MustRegister(w.clients)
	for range c.Cycle.Members {
		w.status = append(w.status, &pipeline.Status{})
	}
	return w
}

// run asks the cluster what it must know once, then runs the members until ctx ends or one of them has to stop.
func (w *worker) run(ctx context.Context) error {
	topics, ready := w.prepare(ctx)
	if !ready {
		return nil
	}
	members, ctx := errgroup.WithContext(ctx)
	members.Go(func() error {
		w.watchLag(ctx)
		return nil
	})
	for i := range w.config.Cycle.Members {
		members.Go(func() error { return w.cycle(i, topics).Run(ctx) })
	}
	return members.Wait()
}

func (w *worker) cycle(index int, topics *outputs) *pipeline.Cycle {
	logger := w.logger.With("member", index)
	member := consumers.Config{
		Connection:     w.connection,
		Kafka:          w.kafka,
		Group:          w.config.Group,
		Topic:          w.config.Input.Topic,
		Delivery:       w.config.Delivery,
		Index:          index,
		MaxRecordBytes: max(topics.limit, topics.deadLetterLimit),
		MaxRecords:     w.config.Cycle.MaxRecords,
		Attempts:       w.attempts,
		Progress:       w.progress,
		Logger:         logger,
		Metrics:        w.members,
		Standing:       &w.stands,
	}
	cycle := &pipeline.Cycle{
		Open: func() (pipeline.Source, error) {
			member.Options = []kgo.Opt{kgo.WithHooks(w.clients.hook(index)), kgo.ProducerBatchMaxBytesFn(w.batchLimit(topics))}
			member, err := consumers.Open(member)
			if err != nil {
				return nil, err
			}
			return consumers.Watched{Member: member, Told: w.known.namesake}, nil
		},
		Programs: w.programs,
		Builder:  func(p *pipeline.Program) pipeline.Builder { return topics.builder.WithEncoder(p.Encoder) },
		Config:   w.config.Cycle,
		Logger:   logger,
		Metrics:  w.metrics,
		Status:   w.status[index],
	}
	if w.view != nil {
		table := w.view.table(index, logger)
		table.Partitions(topics.partitions)
		cycle.Programs = pipeline.NewPrograms(w.view.program(table))
		member.Lost = table.Lost
		member.Note = consumers.NoteStates(w.view.kept().StatesID)
		open := cycle.Open
		cycle.Open = func() (pipeline.Source, error) {
			table.Forget()
			if err := w.view.same(); err != nil {
				return nil, err
			}
			return open()
		}
	}
	return cycle
}

func (w *worker) wait(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = err
}
