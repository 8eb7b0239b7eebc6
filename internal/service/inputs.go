package service

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/features"
	"nearline/features/memory"
	"nearline/internal/config"
	"nearline/models"
	"nearline/pipeline"
)

// InputsOf makes what fills the columns of a model that reads tables; nil for a model that reads texts. Columns are those of the steps before it, with
// examples of what they hold; reads is what these want of events, and is returned with what the columns want added.
func InputsOf(m *models.Model, declared map[string]features.ColumnConfig, columns []pipeline.Field, reads []string) (models.Columns, []string, error) {
	info := m.Info()
	switch {
	case info.Reads == nil && declared != nil:
		return nil, nil, fmt.Errorf("inputs: model %s reads texts and no columns, remove them", info.Name)
	case info.Reads == nil:
		return nil, reads, nil
	}
	wanted := make([]features.Column, len(info.Reads))
	for i, c := range info.Reads {
		wanted[i] = features.Column{Name: c.Name, Text: c.Text, Whole: c.Whole}
	}
	made, reads, err := features.NewColumns(info.Name, wanted, declared, columns, reads)
	if err != nil {
		return nil, nil, err
	}
	return made, reads, nil
}

// CheckSteps says whether the steps of a pipeline fit each other, the models and the views, and its output what they add. Nothing is connected to.
func CheckSteps(c *config.Config, p *config.Pipeline, loaded map[string]*models.Model) error {
	s := checked(c, loaded)
	if err := s.checkedViews(); err != nil {
		return err
	}
	_, err := s.line(p)
	return err
}

// checked is a service that is not to run: it connects to nothing.
func checked(c *config.Config, loaded map[string]*models.Model) *Service {
	return &Service{config: c, options: Options{Logger: slog.New(slog.DiscardHandler)}, registry: prometheus.NewRegistry(), models: loaded}
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
