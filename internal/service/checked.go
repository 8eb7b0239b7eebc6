package service

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/batching"
	"nearline/engine"
	"nearline/features"
	"nearline/features/memory"
	"nearline/internal/config"
	"nearline/models"
	"nearline/pipeline"
	"nearline/serving"
)

// CheckSteps says whether the steps of a pipeline fit each other, the models and the views, and its output what they add. Nothing is connected to.
func CheckSteps(c *config.Config, p *config.Pipeline, loaded map[string]*models.Model) error {
	_, err := checked(c, p, loaded)
	return err
}

// Doubts are what a pipeline's steps probably mean otherwise than it is taken, each with what was meant. Its steps fit each other (CheckSteps).
func Doubts(c *config.Config, p *config.Pipeline, loaded map[string]*models.Model) []string {
	program, err := checked(c, p, loaded)
	if err != nil {
		return nil
	}
	return doubts(c.Features.Views, program)
}

// checked is the program that the stream would run, of a pipeline that can be run wherever it has to.
func checked(c *config.Config, p *config.Pipeline, loaded map[string]*models.Model) (*pipeline.Program, error) {
	all, err := emptyViews(c.Features.Config)
	if err != nil {
		return nil, err
	}
	runs := engine.OnLoaded(loaded, engine.World{Views: all, Turn: serving.Rank})
	program, err := runs.Compile(compiled(p), batching.Stream)
	if err != nil {
		return nil, err
	}
	if _, err := builder(p, program); err != nil {
		return nil, err
	}
	if p.Ranks() { // as POST /v1/rank answers
		if _, err := runs.Compile(compiled(p), batching.Online); err != nil {
			return nil, err
		}
	}
	return program, nil
}

// emptyViews on a store that has nothing.
func emptyViews(c features.Config) (all views, err error) {
	logger, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	for _, declared := range c.Views {
		v := &view{View: features.NewView(declared), config: c, metrics: features.NewMetrics(registry, declared.Name)}
		store := memory.New()
		store.Filling(declared.Name, false)
		if v.finder, err = features.NewFinder(v.View, store, features.DefaultLookup(), logger, v.metrics); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
