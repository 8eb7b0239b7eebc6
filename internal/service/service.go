// Package service makes a running service of a configuration: it loads the models, wires each pipeline's members to them,
// and owns the order of start and stop. What `nearline run`, `nearline dev` and the benchmarks run is this.
//
// It decides nothing about records; that is the rooms' business. Flags and terminals are cmd's.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"nearline/batching"
	"nearline/consumers"
	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/models"
	"nearline/pipeline"
)

// Options are what a process adds to its configuration.
type Options struct {
	Logger *slog.Logger
	Build  observe.Build
	// Kafka options come last for every client: tests dial through a virtual network.
	Kafka []kgo.Opt
	// Limits of batches in place of the models' own, whatever their graphs demand. For benchmarks of other ways to batch.
	Limits *batching.Limits
}

// Service is a configuration at work.
type Service struct {
	config   *config.Config
	options  Options
	registry *prometheus.Registry
	health   *observe.Health
	device   *batching.Device
	models   map[string]*models.Model
	cluster  *consumers.Cluster
	brokers  *brokerWatch
	http     *observe.Server // nil when it is off
	lines    []*line
}

// modelStop is how long models may take to end their last runs, once nobody asks them any more.
const modelStop = 30 * time.Second

// Open loads every model that the pipelines name, and checks its golden examples. Nothing is consumed before Run.
// After an error nothing is left open.
func Open(ctx context.Context, c *config.Config, o Options) (_ *Service, err error) {
	s := &Service{
		config:   c,
		options:  o,
		registry: observe.NewRegistry(o.Build),
		health:   observe.NewHealth(),
		device:   c.Models.NewDevice(),
		models:   make(map[string]*models.Model),
	}
	s.registry.MustRegister(s.device, s.health)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.abandon())
		}
	}()
	if !c.Serving.Off() {
		s.http, err = observe.Open(ctx, c.Serving, s.health, s.registry, o.Logger)
		if err != nil {
			return nil, err
		}
	}
	metrics := models.NewMetrics(s.registry)
	for i := range c.Pipelines {
		for _, step := range c.Pipelines[i].Steps {
			if err := s.load(ctx, step.Predict.Model, metrics); err != nil {
				return nil, err
			}
		}
	}
	s.cluster, err = consumers.Dial(c.Kafka, o.Logger, o.Kafka...)
	if err != nil {
		return nil, err
	}
	s.brokers = &brokerWatch{cluster: s.cluster, addresses: c.Kafka.Brokers}
	for i := range c.Pipelines {
		line, err := s.line(&c.Pipelines[i])
		if err != nil {
			return nil, err
		}
		s.lines = append(s.lines, line)
	}
	s.checks()
	return s, nil
}

func (s *Service) load(ctx context.Context, name string, metrics *models.Metrics) error {
	if s.models[name] != nil {
		return nil
	}
	c := s.config.Models
	c.Override = s.options.Limits
	model, err := models.Load(ctx, c, name, s.device, metrics)
	if err != nil {
		return err
	}
	s.models[name] = model
	info := model.Info()
	s.options.Logger.Info("model loaded", "model", info.Name, "version", info.Version, "device", info.Device,
		"slots", s.device.Slots(), "took", info.LoadTime.Round(time.Millisecond))
	return nil
}

// Registry has all metrics of the service.
func (s *Service) Registry() *prometheus.Registry { return s.registry }

// Health of the service.
func (s *Service) Health() *observe.Health { return s.health }

// Device that all models run on.
func (s *Service) Device() *batching.Device { return s.device }

// Model that was loaded under the name, or nil.
func (s *Service) Model(name string) *models.Model { return s.models[name] }

// HTTP is the address of the HTTP server, "" when it is off.
func (s *Service) HTTP() string {
	if s.http == nil {
		return ""
	}
	return s.http.Addr().String()
}

// Committed is how many records have had their effect so far, in all pipelines.
func (s *Service) Committed() (records int64) {
	for _, line := range s.lines {
		for _, status := range line.status {
			records += status.Snapshot().Committed
		}
	}
	return records
}

// Run serves until ctx ends or a promise can no longer be kept. It starts from the inside out (device, HTTP, members) and
// stops from the outside in: intake first, then the cycles in hand, then the models, and the HTTP server last, so that
// the end can be watched. Run is called once, and leaves nothing open.
func (s *Service) Run(ctx context.Context) error {
	inner, stopInner := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopInner(nil)
	// The outer ones end when ctx does, and when one of the inner ones cannot go on.
	outer, stopOuter := context.WithCancelCause(ctx)
	defer stopOuter(nil)

	var inside errgroup.Group
	run := func(what string, f func(context.Context) error) {
		inside.Go(func() error {
			err := f(inner)
			if err != nil {
				err = fmt.Errorf("%s: %w", what, err)
				stopOuter(err)
			}
			return err
		})
	}
	run("device", s.device.Run)
	run("brokers", s.brokers.run)
	run("model", s.watchForHang)
	if s.http != nil {
		run("http", func(ctx context.Context) error { return s.http.Run(ctx, httpGrace) })
	}

	outside, outer := errgroup.WithContext(outer)
	for _, line := range s.lines {
		outside.Go(func() error { return line.run(outer) })
	}
	outside.Go(func() error {
		<-outer.Done()
		s.health.Ready.Stop("stopping")
		s.health.Stream.Stop("stopping")
		return nil
	})
	err := outside.Wait()
	closeErr := s.close()
	stopInner(nil)
	insideErr := inside.Wait()
	if ctx.Err() != nil && errors.Is(insideErr, context.Canceled) {
		insideErr = nil
	}
	return errors.Join(err, closeErr, insideErr)
}

// abandon what was opened and never run.
func (s *Service) abandon() error {
	err := s.close()
	if s.http != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}

// close retires the models; the device must run still, or never have run.
func (s *Service) close() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), modelStop, errors.New("the model is still running"))
	defer cancel()
	var errs []error
	for _, model := range s.models {
		errs = append(errs, model.Close(ctx))
	}
	if s.cluster != nil {
		s.cluster.Close()
	}
	return errors.Join(errs...)
}

// hangCheck is how often the device is asked whether a run hangs.
const hangCheck = time.Second

// watchForHang ends the process when a run does not come back: its memory may not be touched before it does, so nothing
// less than a new process helps, and the records in hand are read by whoever comes next.
func (s *Service) watchForHang(ctx context.Context) error {
	ticker := time.NewTicker(hangCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if since, hung := s.device.Hung(); hung {
				return fmt.Errorf("a run has not returned since %s: models.hang_timeout is %v: %w",
					since.Format(time.TimeOnly), s.config.Models.HangTimeout, pipeline.ErrStop)
			}
		}
	}
}

// httpGrace is how long answers that are under way may take once the service has stopped.
const httpGrace = 5 * time.Second
