package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nearline/batching"
	"nearline/features"
	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/pipeline"
	"nearline/steps"
)

// Offline is a pipeline for files: the same steps, on models of its own and the store of the configuration, without Kafka. Updates of views are left out:
// a file is no stream of events.
type Offline struct {
	service  *Service
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
	o.Logger = c.Veil.Logger(o.Logger)
	s := &Service{config: c, options: o, registry: observe.NewRegistry(o.Build), health: observe.NewHealth(), core: newCore(ctx)}
	s.engine = s.newEngine()
	offline := &Offline{service: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.openViews(ctx); err != nil {
		return nil, err
	}
	if _, shared := s.store.(features.Lasting); !shared && slices.ContainsFunc(p.Steps, func(s steps.Config) bool { return s.Needs().Views }) {
		return nil, errors.New("features.store is the memory of each replica, which a file cannot look into: want one that is shared, such as redis")
	}
	s.core.run("device", s.engine.Run)
	if err := s.load(ctx, p); err != nil {
		return nil, err
	}
	program, err := s.program(p, batching.Backfill, func(plan *steps.Plan) (err error) {
		offline.into, err = s.addInto(ctx, plan, into)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, doubt := range doubts(c.Features.Views, program) {
		o.Logger.Warn("a path is probably not meant as it is taken", "path", doubt)
	}
	offline.programs, err = s.current(p, program)
	return offline, err
}

// addInto adds the step that puts lists into a view, and begins its job; it is nil for none.
func (s *Service) addInto(ctx context.Context, plan *steps.Plan, into string) (*features.Into, error) {
	if into == "" {
		return nil, nil
	}
	name, field, _ := strings.Cut(into, ".")
	v := s.view(name)
	if v == nil {
		return nil, fmt.Errorf("into %s: there is no such view, want VIEW.FIELD", into)
	}
	columns := plan.Columns()
	if len(columns) == 0 {
		return nil, fmt.Errorf("into %s: the pipeline has no results", into)
	}
	step, reads, err := features.NewInto(v.View, v.store, field, columns[len(columns)-1].Name, columns, plan.Reads())
	if err == nil {
		err = step.Begin(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("into %s: %w", into, err)
	}
	plan.Append(step, reads)
	return step, nil
}

// Lists is how many were put into a view, and how many of these the store refused, since it has those of a job that began later.
func (o *Offline) Lists() (put, refused int64) {
	if o.into == nil {
		return 0, 0
	}
	return o.into.Lists()
}

// Programs hand out what lines go through.
func (o *Offline) Programs() *pipeline.Programs { return o.programs }

// Close the models and the store.
func (o *Offline) Close() error { return o.service.Close() }
