package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/consumers"
	"nearline/features"
	"nearline/features/memory"
	"nearline/internal/config"
	"nearline/pipeline"
	"nearline/producers"
)

// view is one view of features: its topics, the worker that keeps its state, and the store that the state is put into.
type view struct {
	*features.View
	config  features.Config
	metrics *features.Metrics
	state   *consumers.StateTopic
	store   features.Store
	own     *memory.Store // the store, where it is this process's own
	finder  *features.Finder
	cluster *consumers.Cluster
	logger  *slog.Logger

	ready chan struct{}         // closed when the topics are those that the view goes on with
	mu    sync.Mutex            // guards all below
	found *consumers.ViewTopics // nil until then
	parts int                   // partitions of the states
}

// views that a configuration declares. Steps are built on them.
type views []*view

// openViews makes the views and the store that they share; nothing is connected to yet.
func openViews(ctx context.Context, c config.Features, registry prometheus.Registerer, logger *slog.Logger) (_ views, store features.Store, err error) {
	// The cycles in hand look up features after ctx, which ends with intake.
	shared, err := OpenStore(context.WithoutCancel(ctx), c.Store)
	if err != nil {
		return nil, nil, err
	}
	own := memory.New()
	store = own
	if shared != nil {
		store = shared
	}
	var all views
	for _, declared := range c.Views {
		v := &view{
			View:    features.NewView(declared),
			config:  c.Config,
			metrics: features.NewMetrics(registry, declared.Name),
			store:   store,
			own:     own,
			logger:  logger.With("view", declared.Name),
			ready:   make(chan struct{}),
		}
		lookups := c.Lookup
		if shared == nil {
			own.Filling(declared.Name, true) // until its topic has been read
			lookups.CacheKeys = 0            // it is as near as a cache
		}
		if v.finder, err = features.NewFinder(v.View, v.store, lookups, v.logger, v.metrics); err != nil {
			return nil, nil, errors.Join(err, store.Close())
		}
		all = append(all, v)
	}
	return all, store, nil
}

// Declared implements steps.Views, as do the next two.
func (all views) Declared(view string) *features.ViewConfig { return all.named(view).config.View(view) }

// Finder looks the view's keys up.
func (all views) Finder(view string) *features.Finder { return all.named(view).finder }

// Emit makes the step that writes updates of the view.
func (all views) Emit(view string, paths map[string]string, columns, reads []string) (*features.Emit, []string, error) {
	v := all.named(view)
	return features.NewEmit(v.View, v.updates(), paths, columns, reads, v.metrics)
}

// named is the view of that name, nil where there is none.
func (all views) named(name string) *view {
	for _, v := range all {
		if v.Name() == name {
			return v
		}
	}
	return nil
}

func (v *view) updates() string { return v.config.UpdatesTopic(v.Name()) }
func (v *view) states() string  { return v.config.StateTopic(v.Name()) }

// topics of the view, as they are made where they are missing.
func (v *view) topics() (topics []consumers.NewTopic) {
	for _, use := range []config.TopicUse{
		{Topic: v.updates(), Use: config.UseUpdates}, {Topic: v.states(), Use: config.UseStates}, {Topic: v.config.DeadLetters, Use: config.UseDeadLetters},
	} {
		topics = append(topics, OwnTopic(v.config, use))
	}
	return topics
}

// OwnTopic is a topic of a view as it is to be made.
func OwnTopic(c features.Config, use config.TopicUse) consumers.NewTopic {
	return consumers.NewTopic{Name: use.Topic, Partitions: c.Partitions, Compact: use.Use == config.UseStates, Updates: use.Use == config.UseUpdates}
}

// table is the step that one member of the view's worker has.
func (v *view) table(index int, logger *slog.Logger) *features.Table {
	return features.NewTable(v.View, v.states(), fmt.Sprint(index), v.state.Restore, logger, v.metrics)
}

// program of one member of the view's worker, whose state it keeps. It has no results: the effect of an update is the state of its key.
func (v *view) program(table *features.Table) *pipeline.Program {
	return &pipeline.Program{Generation: 1, Decoder: features.NewDecoder(v.View), Steps: pipeline.Steps{table}}
}

// viewCycleBytes bounds the states that one cycle of a view publishes: twice what cycles take in.
const viewCycleBytes = 64 << 20

// viewWorker is the worker that keeps a view: a pipeline from its updates to its states.
func (s *Service) viewWorker(v *view) (*worker, error) {
	c := config.DefaultPipeline()
	c.Name, c.Group = config.ViewPipeline(v.Name()), v.config.Group(v.Name())
	c.Input.Topic, c.Output.Topic, c.DeadLetters = v.updates(), v.states(), v.config.DeadLetters
	c.Cycle.Members = v.config.Members
	// Each update of a cycle may be of another key, whose state it publishes whole.
	c.Cycle.MaxRecords = max(1, min(c.Cycle.MaxRecords, viewCycleBytes/v.MaxState()))
	w := s.newWorker(&c)
	w.view = v
	// The effect of an update is the state of its key.
	var err error
	if w.builder, err = producers.NewResultless(c.Producer()); err != nil {
		return nil, fmt.Errorf("view %s: %w", v.Name(), err)
	}
	v.cluster = s.cluster
	return w, nil
}

// follow keeps the store up to what is committed, until ctx ends.
func (v *view) follow(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-v.ready:
	}
	sink := features.Sink{View: v.View, Store: v.store, Source: v.kept().StatesID, Metrics: v.metrics}
	lasting, ok := v.store.(features.Lasting)
	if !ok {
		// Each replica has all of it in its own memory.
		return v.state.Follow(ctx, consumers.Following{Apply: sink.Apply, Partitions: v.partitions(), CaughtUp: func() { v.own.Filling(v.Name(), false) }})
	}
	return (&filler{view: v, shared: lasting, partitions: v.partitions(), sink: sink}).run(ctx)
}
