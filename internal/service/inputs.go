package service

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/batching"
	"nearline/columns"
	"nearline/features"
	"nearline/features/memory"
	"nearline/internal/config"
	"nearline/models"
	"nearline/pipeline"
	"nearline/serving"
)

// InputsOf makes what fills the columns of a model that reads tables; nil for a model that reads texts. Added are the columns of the steps before it, with
// examples of what they hold; reads is what these want of events, and is returned with what the columns want added.
func InputsOf(m *models.Model, declared map[string]columns.Config, added []pipeline.Field, reads []string) (models.Columns, []string, error) {
	info := m.Info()
	switch {
	case info.Items > 0:
		return nil, nil, fmt.Errorf("model %s ranks the candidates of an event: want it in a rank step, as rank: {model: %s}", info.Name, info.Name)
	case info.Reads == nil && declared != nil:
		return nil, nil, fmt.Errorf("inputs: model %s reads texts and no columns, remove them", info.Name)
	case info.Reads == nil:
		return nil, reads, nil
	}
	made, reads, err := columns.New(info.Name, info.Reads, declared, added, reads)
	if err != nil {
		return nil, nil, err
	}
	return made, reads, nil
}

// rank is the step of a configuration.
func (s *Service) rank(c *config.Rank, class batching.Class, added []pipeline.Field, reads []string) (*models.RankStep, []string, error) {
	model := s.models(c.Model)
	stored := func(list *config.StoredList) *columns.Stored {
		if list == nil {
			return nil
		}
		return &columns.Stored{Finder: s.view(list.View).finder, Field: list.Field, Key: list.Key}
	}
	candidates := columns.CandidatesConfig{
		Model: c.Model, List: c.Candidates, Otherwise: stored(c.Otherwise), History: stored(c.History), Inputs: c.Inputs, Wait: c.Wait,
	}
	if c.Items != "" {
		candidates.Items, candidates.As = s.view(c.Items).finder, c.Items
	}
	if class == batching.Online {
		candidates.Turn = serving.Rank
	}
	info := model.Info()
	switch {
	case c.History != nil && info.History == 0:
		return nil, nil, fmt.Errorf("history: model %s reads none, remove it", c.Model)
	case c.History == nil && info.History > 0:
		return nil, nil, fmt.Errorf("history is missing: model %s reads what somebody had before, want {view: VIEW, field: FIELD} of a list of ids, youngest first", c.Model)
	}
	candidates.Most = info.Limits.MaxTokens - info.History
	made, reads, err := columns.NewCandidates(candidates, info.Reads, added, reads)
	if err != nil {
		return nil, nil, err
	}
	step, err := models.NewRankStep(model, class, made, c.As, c.Top)
	return step, reads, err
}

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
		_, err := s.work(p, batching.Online) // as POST /v1/rank answers
		return err
	}
	return nil
}

// checked is a service that is not to run: it connects to nothing.
func checked(c *config.Config, loaded map[string]*models.Model) *Service {
	return &Service{config: c, options: Options{Logger: slog.New(slog.DiscardHandler)}, registry: prometheus.NewRegistry(), models: func(name string) *models.Model { return loaded[name] }}
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
