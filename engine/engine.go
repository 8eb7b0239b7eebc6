// Package engine owns the device and the models that are loaded on it, and compiles pipelines to programs that run on them. Whoever runs a pipeline has its
// program from here: the stream, requests, a run over files, a check.
//
// It knows no Kafka, and nothing of where rows come from.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/batching"
	"nearline/models"
	"nearline/steps"
)

// Options of an engine.
type Options struct {
	Logger *slog.Logger // nil says nothing
	// Registry of the models' metrics; nil keeps them to itself.
	Registry prometheus.Registerer
	// Limits of batches in place of the models' own, whatever their graphs demand. For benchmarks of other ways to batch; nil for the models' own.
	Limits *batching.Limits
	// Loading is called before a model is loaded, and Stuck where that does not come back. Both may be nil.
	Loading func(model string)
	Stuck   func(model string, err error)
	// World that programs are compiled on.
	World World
}

// Engine is a device and the models on it. It is safe for concurrent use.
type Engine struct {
	config  models.Config
	options Options
	device  *batching.Device
	metrics *models.Metrics

	mu       sync.Mutex // guards all below
	loaded   map[string]*models.Model
	users    map[*models.Model]int  // programs that run it and are not drained
	unloaded map[*models.Model]bool // that programs still run
	places   map[place]*current
	loading  map[string]chan struct{} // has a token while the model of that name is loaded; see turn

	closing sync.WaitGroup // of models that are unloaded
}

// New engine without a model. Its device works while Run does.
func New(c models.Config, o Options) *Engine {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := without(o)
	e.config, e.device, e.metrics = c, c.NewDevice(), models.NewMetrics(o.Registry)
	return e
}

// without a device and a model.
func without(o Options) *Engine {
	return &Engine{
		options: o, loaded: make(map[string]*models.Model), users: make(map[*models.Model]int), unloaded: make(map[*models.Model]bool), places: make(map[place]*current),
		loading: make(map[string]chan struct{}),
	}
}

// OnLoaded makes an engine of models that are loaded elsewhere, by name; nil is none. It has no device, so it loads and runs nothing: to see what programs would be.
func OnLoaded(loaded map[string]*models.Model, w World) *Engine {
	e := without(Options{Logger: slog.New(slog.DiscardHandler), World: w})
	maps.Copy(e.loaded, loaded)
	maps.DeleteFunc(e.loaded, func(_ string, m *models.Model) bool { return m == nil })
	return e
}

// Device that all models run on.
func (e *Engine) Device() *batching.Device { return e.device }

// Run the device until ctx ends. Models are closed before that.
func (e *Engine) Run(ctx context.Context) error { return e.device.Run(ctx) }

// Start is Run beside the caller. Stop ends it, waits for it, and says what it failed of.
func (e *Engine) Start(ctx context.Context) (stop func() error) {
	// The device outlives an interrupt, so that what is in it ends.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

// Load a model, unless it is loaded. Of several calls for one name the first loads it, and the others wait for that.
func (e *Engine) Load(ctx context.Context, name string) (*models.Model, error) {
	turn := e.turn(name)
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
	}
	if m := e.Model(name); m != nil {
		return m, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("load model %s: %w", name, context.Cause(ctx))
	}
	e.options.Logger.Info("loading a model", "model", name)
	if e.options.Loading != nil {
		e.options.Loading(name)
	}
	model, err := e.load(ctx, name)
	if errors.Is(err, models.ErrStuck) && e.options.Stuck != nil {
		e.options.Stuck(name, err)
	}
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.loaded[name] = model
	e.mu.Unlock()
	info := model.Info()
	e.options.Logger.Info("model loaded", "model", info.Name, "version", info.Version, "device", info.Device,
		"slots", e.device.Slots(), "took", info.LoadTime.Round(time.Millisecond))
	return model, nil
}

// turn to load a model is had by whoever puts a token in.
func (e *Engine) turn(name string) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.loading[name] == nil {
		e.loading[name] = make(chan struct{}, 1)
	}
	return e.loading[name]
}

// LoadAll models that steps run, unless they are loaded.
func (e *Engine) LoadAll(ctx context.Context, all []steps.Config) error {
	for _, name := range steps.Models(all) {
		if _, err := e.Load(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) load(ctx context.Context, name string) (*models.Model, error) {
	if e.options.Limits != nil {
		return models.LoadUnchecked(ctx, e.config, name, *e.options.Limits, e.device, e.metrics)
	}
	return models.Load(ctx, e.config, name, e.device, e.metrics)
}

// Model that is loaded under the name, or nil.
func (e *Engine) Model(name string) *models.Model {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.loaded[name]
}

// Models that are loaded, by name.
func (e *Engine) Models() map[string]*models.Model {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.loaded)
}

// Close the models, also those that programs still run, and leave no program to take. Models end what they have in hand as long as ctx lasts. The device still
// runs.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	ending := slices.AppendSeq(slices.Collect(maps.Values(e.loaded)), maps.Keys(e.unloaded))
	places := slices.Collect(maps.Values(e.places))
	clear(e.loaded)
	clear(e.unloaded)
	e.mu.Unlock()
	for _, at := range places {
		at.programs.Close()
	}
	closed := make(chan struct{})
	go func() {
		e.closing.Wait()
		close(closed)
	}()
	var errs []error
	for _, model := range ending {
		errs = append(errs, model.Close(ctx))
	}
	select {
	case <-closed:
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("models that were unloaded have not ended: %w", context.Cause(ctx)))
	}
	return errors.Join(errs...)
}
