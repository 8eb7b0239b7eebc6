package steps

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nearline/batching"
	"nearline/columns"
	"nearline/internal/config"
	"nearline/internal/spelling"
	"nearline/models"
	"nearline/models/tasks"
	"nearline/pipeline"
)

// predict adds a model's answers.
type predict struct{ *config.Predict }

func predictOf(step config.Step) builder {
	if step.Predict == nil {
		return nil
	}
	return predict{step.Predict}
}

func (b predict) build(p *Plan) error {
	model := p.world.Model(b.Model)
	inputs, reads, err := Inputs(model, b.Inputs, p.Columns(), p.Reads())
	if err != nil {
		return fmt.Errorf("predict: %w", err)
	}
	if err := b.check(p, model); err != nil {
		return fmt.Errorf("predict.%w", err)
	}
	step := models.NewStep(model, p.class, b.As, inputs)
	b.noteLabels(p, model)
	p.textless = p.textless && inputs != nil
	p.Append(step, reads, step.Columns()...)
	return nil
}

// check says which of the names that a predict step has are none of its model's, or of a step before it.
func (b predict) check(p *Plan, model *models.Model) error {
	answers := fieldNamesOf(models.NewStep(model, batching.Stream, nil, nil).Columns())
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(b.As)) {
		if !slices.Contains(answers, name) {
			errs = append(errs, fmt.Errorf("as.%s: model %s answers with no such column, want %s%s", name, b.Model, strings.Join(answers, ", "), spelling.DidYouMean(name, answers)))
		}
	}
	return errors.Join(append(errs, p.checkLabels(b.Inputs))...)
}

// noteLabels of a model's columns for the steps after it.
func (b predict) noteLabels(p *Plan, model *models.Model) {
	for _, head := range model.Info().Heads {
		if head.Kind == tasks.Classification {
			p.labels[b.Column(head.Name)] = head.Labels
		}
	}
}

// Inputs makes what fills the columns of a model that reads tables; nil for a model that reads texts. Added are the columns of the steps before it, with
// examples of what they hold; reads is what these want of events, and is returned with what the columns want added.
func Inputs(m *models.Model, declared map[string]columns.Config, added []pipeline.Field, reads []string) (models.Columns, []string, error) {
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
