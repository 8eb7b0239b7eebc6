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
	"nearline/kafka"
	"nearline/models"
	"nearline/pipeline"
	"nearline/producers"
	"nearline/schemas"
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
	made, err := s.work(c, batching.Stream)
	if err != nil {
		return nil, err
	}
	l.programs, l.emits = pipeline.NewPrograms(made.program), made.emits
	l.readsColumns = s.watchColumns(c.Name, made.program.Steps, l.logger)
	l.doubts = doubts(s.config.Features.Views, made.program)
	for _, doubt := range l.doubts {
		l.logger.Warn("a path is probably not meant as it is taken", "path", doubt)
	}
	if c.Resultless() {
		l.builder, err = producers.NewResultless(c.Producer())
	} else {
		l.builder, err = producers.New(c.Producer(), made.program.Encoder)
	}
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: output: %w", c.Name, err)
	}
	return l, nil
}

// work is what a pipeline does to events, wherever they come from.
type work struct {
	program *pipeline.Program
	emits   []*view // that the steps write updates of

	textless bool // no step reads the events' text
	// labels that predictions of a column may have, by the column's name in results; not there where they are not known.
	labels map[string][]string
}

// work of a pipeline for rows of a class. But for the stream it has no updates of views: neither a request nor a line of a file is an event. more adds steps.
func (s *Service) work(c *config.Pipeline, class batching.Class, more ...func(*work) error) (*work, error) {
	p := &pipeline.Program{Generation: 1}
	w := &work{program: p, textless: true, labels: make(map[string][]string)}
	for i, step := range c.Steps {
		if err := s.addStep(w, step, class); err != nil {
			return nil, fmt.Errorf("pipeline %s: steps[%d].%w", c.Name, i, err)
		}
	}
	for _, add := range more {
		if err := add(w); err != nil {
			return nil, err
		}
	}
	if err := w.checkCopies(c.Output.Copy); err != nil {
		return nil, fmt.Errorf("pipeline %s: output.%w", c.Name, err)
	}
	input, output := c.Input.InputConfig, c.Output.OutputConfig
	if class != batching.Stream {
		input.Format, input.Schema, output.Format, output.Schema = schemas.FormatJSON, "", schemas.FormatJSON, ""
	}
	var err error
	if p.Decoder, err = schemas.NewDecoder(input, output, schemas.Wanted{Paths: p.Reads, Textless: w.textless}); err != nil {
		return nil, fmt.Errorf("pipeline %s: input: %w", c.Name, err)
	}
	encoder, err := schemas.NewEncoder(output, input)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: output: %w", c.Name, err)
	}
	if err := encoder.Check(p.Columns); err != nil {
		return nil, fmt.Errorf("pipeline %s: output: %w", c.Name, err)
	}
	p.Encoder = encoder
	return w, nil
}

func (s *Service) addStep(w *work, step config.Step, class batching.Class) (err error) {
	p := w.program
	switch {
	case step.Predict != nil:
		model := s.models(step.Predict.Model)
		var inputs models.Columns
		if inputs, p.Reads, err = InputsOf(model, step.Predict.Inputs, p.Columns, p.Reads); err != nil {
			return fmt.Errorf("predict: %w", err)
		}
		if err := w.checkPredict(model, step.Predict); err != nil {
			return fmt.Errorf("predict.%w", err)
		}
		predict := models.NewStep(model, class, step.Predict.As, inputs)
		w.noteLabels(model, step.Predict)
		p.Steps, p.Columns = append(p.Steps, predict), append(p.Columns, predict.Columns()...)
		w.textless = w.textless && inputs != nil
	case step.Rank != nil:
		if err := w.checkLabels(step.Rank.Inputs); err != nil {
			return fmt.Errorf("rank.%w", err)
		}
		var rank *models.RankStep
		if rank, p.Reads, err = s.rank(step.Rank, class, p.Columns, p.Reads); err != nil {
			return fmt.Errorf("rank: %w", err)
		}
		p.Steps, p.Columns = append(p.Steps, rank), append(p.Columns, rank.Columns()...)
	case step.Lookup != nil:
		var lookup *features.Lookup
		if lookup, p.Reads, err = s.lookup(step.Lookup, p.Columns, p.Reads); err != nil {
			return fmt.Errorf("lookup: %w", err)
		}
		p.Steps, p.Columns = append(p.Steps, lookup), append(p.Columns, lookup.Columns()...)
	case class == batching.Stream:
		v := s.view(step.Aggregate.View)
		if err := w.checkOperands(s.config.Features.View(step.Aggregate.View), step.Aggregate.Map); err != nil {
			return fmt.Errorf("aggregate: %w", err)
		}
		var emit *features.Emit
		if emit, p.Reads, err = v.emit(step.Aggregate.Map, p.Columns, p.Reads); err != nil {
			return fmt.Errorf("aggregate: %w", err)
		}
		p.Steps, w.emits = append(p.Steps, emit), append(w.emits, v)
	}
	return nil
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
