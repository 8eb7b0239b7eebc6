package steps

import (
	"fmt"
	"maps"
	"slices"

	"nearline/batching"
	"nearline/columns"
	"nearline/features"
	"nearline/internal/problems"
	"nearline/internal/spelling"
	"nearline/models"
	"nearline/pipeline"
)

// Rank orders an event's candidates by a model's scores.
type Rank struct {
	// Model names a folder of the repository: one that knows items, or any that reads columns and answers with one score.
	Model string `yaml:"model"`
	// Candidates is the path of the list of ids in events.
	Candidates string `yaml:"candidates"`
	// Otherwise is where the candidates of an event are that has no list. Without it there are none.
	Otherwise *StoredList `yaml:"otherwise"`
	// History is where the items are that somebody had before, youngest first, for a model that knows items.
	History *StoredList `yaml:"history"`
	// Items is a view that each candidate is looked up in by its id; empty looks nothing up.
	Items string `yaml:"items"`
	// Inputs says what each column is made of that the model reads: of the candidate (item_id, and the view's features), or as in predict.
	Inputs map[string]columns.Config `yaml:"inputs"`
	// As is the column's name in the result.
	As string `yaml:"as"`
	// Top is how many of the candidates the result has; 0 is all.
	Top int `yaml:"top"`
	// Wait for a store that does not answer, instead of going on with defaults.
	Wait bool `yaml:"wait"`
}

// StoredList is a list of ids in a view.
type StoredList struct {
	View  string `yaml:"view"`
	Field string `yaml:"field"`
	// Key is the path of the key in these events; the view's is the default.
	Key string `yaml:"key"`
}

// DefaultRank is a step that says nothing but what it lacks.
func DefaultRank() Rank { return Rank{Candidates: "candidates", As: "ranking"} }

func (c *Rank) validate(l *problems.List, at place) {
	if !pipeline.LegalName(c.Model) {
		l.Add(at.path+".model", "is %q: want the name of a folder in models.repository (%s), such as recommender", c.Model, at.Repository)
	}
	if !isPath(c.Candidates) {
		l.Add(at.path+".candidates", "is %q: want the path of a list of ids, such as candidates", c.Candidates)
	}
	c.Otherwise.validate(l, at.path+".otherwise", at.Surroundings)
	c.History.validate(l, at.path+".history", at.Surroundings)
	if c.Items != "" && at.Features.View(c.Items) == nil {
		l.Add(at.path+".items", "is %q: leave it out, or want %s", c.Items, at.oneOfViews(c.Items))
	}
	for _, column := range slices.Sorted(maps.Keys(c.Inputs)) {
		l.Join(c.Inputs[column].Validate(fmt.Sprintf("%s.inputs.%s", at.path, column)))
	}
	if c.As == "" {
		l.Add(at.path+".as", "is empty: want the column's name in the result, such as ranking")
	}
	if c.Top < 0 || c.Top > 1_000_000 {
		l.Add(at.path+".top", "is %d: want how many candidates a result has, at most 1000000, or 0 for all", c.Top)
	}
}

// validate a list at path; nil is none.
func (c *StoredList) validate(l *problems.List, path string, s Surroundings) {
	if c == nil {
		return
	}
	if c.Key != "" && !isPath(c.Key) {
		l.Add(path+".key", "is %q: want the path of a field, such as meta.user", c.Key)
	}
	view := s.Features.View(c.View)
	if view == nil {
		l.Add(path+".view", "is %q: want %s", c.View, s.oneOfViews(c.View))
		return
	}
	if !slices.ContainsFunc(view.Fields, func(f features.FieldConfig) bool {
		return f.Name == c.Field && (f.Last != nil || f.Type == features.TypeTexts)
	}) {
		l.Add(path+".field", "is %q: want a field of view %s that is a list of texts (last, or type: texts)%s", c.Field, c.View, spelling.DidYouMean(c.Field, viewFields(view)))
	}
}

func (c *Rank) needs() Needs { return Needs{Models: []string{c.Model}, Views: true} }

func (c *Rank) build(p *Plan) error {
	if err := p.checkLabels(c.Inputs); err != nil {
		return &Error{At: "rank.", Err: err}
	}
	step, reads, err := c.step(p)
	if err != nil {
		return &Error{At: "rank: ", Err: err}
	}
	p.Append(step, reads, step.Columns()...)
	return nil
}

// step of the configuration, and all paths that are wanted of events.
func (c *Rank) step(p *Plan) (*models.RankStep, []string, error) {
	model := p.world.Model(c.Model)
	if model == nil {
		return nil, nil, notLoaded(c.Model)
	}
	stored := func(list *StoredList) *columns.Stored {
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
