package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nearline/batching"
	"nearline/engine"
	"nearline/features"
	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/pipeline"
	"nearline/steps"
)

// Offline is a pipeline for files: the same steps, on models of its own and the store of the configuration, without Kafka. Updates of views are left out:
// a file is no stream of events.
type Offline struct {
	engine   *engine.Engine
	stop     func() error // the engine's device
	views    views
	store    features.Store
	programs *pipeline.Programs
	into     *features.Into // nil for none
}

// OpenOffline loads what the pipeline of a configuration needs. Into, VIEW.FIELD, puts each result's list into a view that others fill; "" does not.
func OpenOffline(ctx context.Context, c *config.Config, name, into string, o Options) (_ *Offline, err error) {
	i := slices.IndexFunc(c.Pipelines, func(p config.Pipeline) bool { return p.Name == name })
	if i < 0 {
		var names []string
		for _, p := range c.Pipelines {
			names = append(names, p.Name)
		}
		return nil, fmt.Errorf("there is no pipeline %q: want %s", name, strings.Join(names, " or "))
	}
	p := &c.Pipelines[i]
	logger, registry := o.Veil.Logger(o.Logger), observe.NewRegistry(o.Build)
	all, store, err := openViews(ctx, c.Features, registry, logger)
	if err != nil {
		return nil, err
	}
	if _, shared := store.(features.Lasting); !shared && slices.ContainsFunc(p.Steps, func(s steps.Config) bool { return s.Needs().Views }) {
		return nil, errors.Join(errors.New("features.store is the memory of each replica, which a file cannot look into: want one that is shared, such as redis"), store.Close())
	}
	runs := engine.New(c.Models, engine.Options{Logger: logger, Registry: registry, Limits: o.Limits, Loading: o.loading, World: engine.World{Views: all}})
	offline := &Offline{engine: runs, stop: runs.Start(ctx), views: all, store: store, programs: runs.Programs(p.Name, batching.Backfill)}
	defer func() {
		if err != nil {
			err = errors.Join(err, offline.Close())
		}
	}()
	if err := runs.LoadAll(ctx, p.Steps); err != nil {
		return nil, err
	}
	program, err := runs.Put(compiled(p), batching.Backfill, func(plan *steps.Plan) error { return offline.addInto(ctx, plan, into) })
	if err != nil {
		return nil, err
	}
	tellDoubts(c.Features.Views, program, logger)
	return offline, nil
}

// addInto adds the step that puts lists into a view, and begins its job; "" adds none.
func (o *Offline) addInto(ctx context.Context, plan *steps.Plan, into string) error {
	if into == "" {
		return nil
	}
	name, field, _ := strings.Cut(into, ".")
	v := o.views.named(name)
	if v == nil {
		return fmt.Errorf("into %s: there is no such view, want VIEW.FIELD", into)
	}
	columns := plan.Columns()
	if len(columns) == 0 {
		return fmt.Errorf("into %s: the pipeline has no results", into)
	}
	step, reads, err := features.NewInto(v.View, o.store, field, columns[len(columns)-1].Name, columns, plan.Reads())
	if err == nil {
		err = step.Begin(ctx)
	}
	if err != nil {
		return fmt.Errorf("into %s: %w", into, err)
	}
	plan.Append(step, reads)
	o.into = step
	return nil
}

// Lists is how many were put into a view, and how many of these the store refused, since it has those of a job that began later.
func (o *Offline) Lists() (put, refused int64) {
	if o.into == nil {
		return 0, 0
	}
	return o.into.Lists()
}

// Programs hand out what the lines of files go through.
func (o *Offline) Programs() *pipeline.Programs { return o.programs }

// Close the models and the store.
func (o *Offline) Close() error {
	ctx, cancel := modelsEnd()
	defer cancel()
	errs := []error{o.engine.Close(ctx), o.store.Close()}
	if err := o.stop(); err != nil {
		errs = append(errs, fmt.Errorf("device: %w", err))
	}
	return errors.Join(errs...)
}
