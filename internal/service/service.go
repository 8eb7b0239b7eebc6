// Package service makes a running service of a configuration: it has the engine load the models, wires each pipeline's members to them,
// and owns the order of start and stop. What `nearline run`, `nearline dev` and the benchmarks run is this.
//
// It decides nothing about records; that is the rooms' business. Flags and terminals are cmd's.
package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"nearline/batching"
	"nearline/consumers"
	"nearline/engine"
	"nearline/features"
	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/internal/veil"
	"nearline/kafka"
	"nearline/models"
	"nearline/serving"
)

// Options are what a process adds to its configuration.
type Options struct {
	Logger *slog.Logger
	Build  observe.Build
	// Veil hides what the configuration's variables hold in all that the service says; nil hides nothing.
	Veil *veil.Veil
	// Dial opens connections to brokers; nil is TCP, and tests dial through a virtual network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Limits of batches in place of the models' own, whatever their graphs demand. For benchmarks of other ways to batch.
	Limits *batching.Limits

	loading func(model string) // is called before a model is loaded; for tests
}

// Service is a configuration at work. Open makes one; then Run is called, or Close.
type Service struct {
	config   *config.Config
	options  Options
	registry *prometheus.Registry
	health   *observe.Health
	core     *core
	engine   *engine.Engine
	views    views
	store    features.Store
	kafka    kafka.Connection
	cluster  *consumers.Cluster
	attempts *consumers.Attempts // nil when they are off
	brokers  *brokerWatch
	unname   func()          // gives up the replica's name
	http     *serving.Server // nil when it is off
	rankings *rankings       // answers once the models are there

	credentials *credentials
	workers     []*worker
}

// Open loads every model that the pipelines name, and checks its golden examples. Probes are answered from the beginning, and
// say that the service starts. Nothing is consumed before Run. After an error nothing is left open.
func Open(ctx context.Context, c *config.Config, o Options) (_ *Service, err error) {
	o.Logger = o.Veil.Logger(o.Logger)
	s := &Service{
		config:   c,
		options:  o,
		registry: observe.NewRegistry(o.Build),
		health:   observe.NewHealth(),
		core:     newCore(ctx),
	}
	s.config, s.unname = named(c, o.Logger)
	s.credentials = newCredentials(s.registry, o.Logger)
	s.credentials.watchSecrets(c.Secrets())
	s.kafka = c.Kafka.Connection()
	s.kafka.Dial = o.Dial
	s.kafka.Log(o.Logger)
	for _, files := range s.kafka.Certificates() {
		s.credentials.watchFiles(files)
	}
	defer func() {
		if err != nil {
			err = o.Veil.Error(errors.Join(err, s.Close()))
		}
	}()
	if s.views, s.store, err = openViews(ctx, c.Features, s.registry, o.Logger); err != nil {
		return nil, err
	}
	s.credentials.watchStore(s.store)
	for _, v := range s.views {
		if !v.OfStore() {
			v.state = consumers.OpenState(s.kafka, s.config.Kafka, v.states(), v.logger)
		}
	}
	s.engine = s.newEngine()
	s.rankings = newRankings(c, s.engine, o.Logger)
	s.health.Hide(o.Veil.JSON)
	s.registry.MustRegister(s.Device(), s.health)
	s.checkDevice()
	if err := s.serve(ctx); err != nil {
		return nil, err
	}
	s.core.run("device", s.engine.Run)
	s.core.run("models", s.watchForHang)
	for i := range c.Pipelines {
		if err := s.engine.LoadAll(ctx, c.Pipelines[i].Steps); err != nil {
			return nil, err
		}
	}
	if err := s.rankings.open(c); err != nil {
		return nil, err
	}
	s.cluster, err = consumers.Dial(s.kafka, o.Logger)
	if err != nil {
		return nil, err
	}
	if c.Kafka.Attempts() {
		s.attempts, err = consumers.OpenAttempts(s.kafka, c.Kafka, o.Logger)
		if err != nil {
			return nil, err
		}
	}
	s.brokers = &brokerWatch{cluster: s.cluster, connection: s.kafka, addresses: c.Kafka.Brokers, logger: o.Logger}
	for i := range c.Pipelines {
		w, err := s.worker(&c.Pipelines[i])
		if err != nil {
			return nil, err
		}
		s.workers = append(s.workers, w)
	}
	for _, v := range s.views {
		if v.OfStore() {
			continue
		}
		w, err := s.viewWorker(v)
		if err != nil {
			return nil, err
		}
		s.workers = append(s.workers, w)
	}
	s.checkModels()
	s.checkStream()
	return s, nil
}

// httpGrace is how long answers that are under way may take once the service has stopped.
const httpGrace = 5 * time.Second

// serve HTTP, unless it is off.
func (s *Service) serve(ctx context.Context) (err error) {
	if s.config.Serving.Off() {
		return nil
	}
	s.http, err = serving.Open(ctx, s.config.Serving, s.health, s.registry, s.options.Logger)
	if err != nil {
		return err
	}
	s.credentials.watchFiles(s.http.Certificates())
	gate := serving.NewGate(s.config.Serving, s.Device().Slots(), s.rankings.largest)
	s.registry.MustRegister(gate)
	lookups := gate.Handler(serving.FeaturesHandler(s.Features()))
	s.http.Handle("GET /v1/features", "views of features; /v1/features/VIEW/KEY has the values of a key", lookups)
	s.http.Handle("GET /v1/features/", "", lookups)
	if len(s.rankings.names) > 0 {
		s.http.Handle("POST /v1/rank", "ranks candidates (POST), as the stream does", gate.Handler(serving.RankHandler(s.rankings)))
	}
	s.options.Logger.Info("serving HTTP", "address", s.HTTP())
	s.core.run("http", func(ctx context.Context) error {
		err := s.http.Run(ctx, httpGrace)
		if ctx.Err() == nil {
			return err
		}
		if err != nil { // a request that was cut off is no reason to end badly
			s.options.Logger.Warn("HTTP did not end in order", "error", err)
		}
		return nil
	})
	return nil
}

// newEngine of the configuration, without a model.
func (s *Service) newEngine() *engine.Engine {
	world := engine.World{Views: s.views, Turn: serving.Rank}
	return engine.New(s.config.Models, engine.Options{Logger: s.options.Logger, Registry: s.registry, Limits: s.options.Limits, World: world, Loading: s.options.loading, Stuck: func(model string, err error) {
		s.health.Live.Add("loading "+model, func() observe.Finding { return observe.Finding{Problem: err.Error() + "; the process ends"} })
	}})
}

// Registry has all metrics of the service.
func (s *Service) Registry() *prometheus.Registry { return s.registry }

// Health of the service.
func (s *Service) Health() *observe.Health { return s.health }

// Device that all models run on.
func (s *Service) Device() *batching.Device { return s.engine.Device() }

// Model that was loaded under the name, or nil.
func (s *Service) Model(name string) *models.Model { return s.engine.Model(name) }

// Features answers what the views know.
func (s *Service) Features() serving.Features { return lookups{s.views, s.options.Veil} }

// HTTP is the address of the HTTP server, "" when it is off.
func (s *Service) HTTP() string {
	if s.http == nil {
		return ""
	}
	return s.http.Addr().String()
}

// Committed is how many records have had their effect so far, in all pipelines; updates of views are not counted.
func (s *Service) Committed() (records int64) {
	for _, w := range s.workers {
		if w.view != nil {
			continue
		}
		for _, status := range w.status {
			records += status.Snapshot().Committed
		}
	}
	return records
}

// Kept is how many updates of a view have had their effect so far in this process.
func (s *Service) Kept(view string) (updates int64) {
	for _, w := range s.workers {
		if w.view == nil || w.view.Name() != view {
			continue
		}
		for _, status := range w.status {
			updates += status.Snapshot().Committed
		}
	}
	return updates
}

// Run serves until ctx ends or a promise can no longer be kept. It stops from the outside in: intake first, then the cycles
// in hand, then the models, and the HTTP server last, so that the end can be watched. Run is called once, and leaves
// nothing open.
//
// One thing it does not wait for: a model's run that hangs. Memory that such a run writes to may not be touched, so its
// cycle cannot end, and neither can the device. Run then returns an error that wraps ErrHung and pipeline.ErrStop, with all of it
// left as it is, and the process has to end. The records in hand are read by whoever comes next.
func (s *Service) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.options.Veil.Error(s.run(ctx)) }()
	select {
	case err := <-ended:
		return err
	case <-s.core.broken.Done():
	}
	if err := context.Cause(s.core.broken); errors.Is(err, ErrHung) {
		return err
	}
	return <-ended
}

func (s *Service) run(ctx context.Context) error {
	// Intake ends when ctx does, and when a part of the core has broken.
	intake, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(s.core.broken, func() { stop(context.Cause(s.core.broken)) })()

	s.core.run("brokers", s.brokers.run)
	group, intake := errgroup.WithContext(intake)
	for _, w := range s.workers {
		group.Go(func() error { return w.run(intake) })
	}
	for _, v := range s.views {
		if !v.OfStore() {
			group.Go(func() error { return v.follow(intake) })
			group.Go(func() error {
				v.deleteOld(intake)
				return nil
			})
		}
	}
	group.Go(func() error {
		<-intake.Done()
		s.health.Ready.Stop("stopping")
		s.health.Stream.Stop("stopping")
		return nil
	})
	return errors.Join(group.Wait(), s.Close())
}

// modelStop is how long models may take to end their last runs, once nobody asks them any more.
const modelStop = 30 * time.Second

// modelsEnd is a context in which models end.
func modelsEnd() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.Background(), modelStop, errors.New("the model is still running"))
}

// Close ends a service that is not run: Run does it by itself.
func (s *Service) Close() error {
	ctx, cancel := modelsEnd()
	defer cancel()
	var errs []error
	if s.engine != nil {
		errs = append(errs, s.engine.Close(ctx))
	}
	for _, v := range s.views {
		if v.state != nil {
			v.state.Close()
		}
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.cluster != nil {
		s.cluster.Close()
	}
	if s.attempts != nil {
		s.attempts.Close()
	}
	err := errors.Join(append(errs, s.core.end())...)
	s.unname()
	return err
}

// named is the configuration with a name of the replica.
func named(c *config.Config, logger *slog.Logger) (*config.Config, func()) {
	var groups []string
	for i := range c.Pipelines {
		groups = append(groups, c.Pipelines[i].Group)
	}
	for _, v := range c.Features.Views {
		groups = append(groups, c.Features.Group(v.Name))
	}
	own := *c
	kafka, release := c.Kafka.Named(groups, logger)
	own.Kafka = kafka
	return &own, release
}
