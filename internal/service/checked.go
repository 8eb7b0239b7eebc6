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
)

// CheckSteps says whether the steps of a pipeline fit each other, the models and the views, and its output what they add. Nothing is connected to.
func CheckSteps(c *config.Config, p *config.Pipeline, loaded map[string]*models.Model) error {
	s := checked(c, loaded)
	if err := s.checkedViews(); err != nil {
		return err
	}
	if _, err := s.line(p); err != nil {
		return err
	}
	if p.Ranks() {
		_, err := s.program(p, batching.Online) // as POST /v1/rank answers
		return err
	}
	return nil
}

// checked is a service that is not to run: it connects to nothing.
func checked(c *config.Config, loaded map[string]*models.Model) *Service {
	return &Service{config: c, options: Options{Logger: slog.New(slog.DiscardHandler)}, registry: prometheus.NewRegistry(), engine: engine.Of(loaded)}
}

// checkedViews makes the views, on a store that has nothing.
func (s *Service) checkedViews() error {
	for _, declared := range s.config.Features.Views {
		v := &view{View: features.NewView(declared), config: s.config.Features.Config, metrics: features.NewMetrics(s.registry, declared.Name)}
		store := memory.New()
		store.Filling(declared.Name, false)
		var err error
		if v.finder, err = features.NewFinder(v.View, store, features.DefaultLookup(), s.options.Logger, v.metrics); err != nil {
			return err
		}
		s.views = append(s.views, v)
	}
	return nil
}
