package steps

import (
	"fmt"

	"nearline/batching"
	"nearline/columns"
	"nearline/internal/config"
	"nearline/models"
)

// rank orders an event's candidates by a model's scores.
type rank struct{ *config.Rank }

func rankOf(step config.Step) builder {
	if step.Rank == nil {
		return nil
	}
	return rank{step.Rank}
}

func (c rank) build(p *Plan) error {
	if err := p.checkLabels(c.Inputs); err != nil {
		return fmt.Errorf("rank.%w", err)
	}
	step, reads, err := c.step(p)
	if err != nil {
		return fmt.Errorf("rank: %w", err)
	}
	p.Append(step, reads, step.Columns()...)
	return nil
}

// step of the configuration, and all paths that are wanted of events.
func (c rank) step(p *Plan) (*models.RankStep, []string, error) {
	model := p.world.Model(c.Model)
	stored := func(list *config.StoredList) *columns.Stored {
		if list == nil {
			return nil
		}
		return &columns.Stored{Finder: p.world.Views.Finder(list.View), Field: list.Field, Key: list.Key}
	}
	candidates := columns.CandidatesConfig{
		Model: c.Model, List: c.Candidates, Otherwise: stored(c.Otherwise), History: stored(c.History), Inputs: c.Inputs, Wait: c.Wait,
	}
	if c.Items != "" {
		candidates.Items, candidates.As = p.world.Views.Finder(c.Items), c.Items
	}
	if p.class == batching.Online {
		candidates.Turn = p.world.Turn
	}
	info := model.Info()
	switch {
	case c.History != nil && info.History == 0:
		return nil, nil, fmt.Errorf("history: model %s reads none, remove it", c.Model)
	case c.History == nil && info.History > 0:
		return nil, nil, fmt.Errorf("history is missing: model %s reads what somebody had before, want {view: VIEW, field: FIELD} of a list of ids, youngest first", c.Model)
	}
	candidates.Most = info.Limits.MaxTokens - info.History
	made, reads, err := columns.NewCandidates(candidates, info.Reads, p.Columns(), p.Reads())
	if err != nil {
		return nil, nil, err
	}
	step, err := models.NewRankStep(model, p.class, made, c.As, c.Top)
	return step, reads, err
}
