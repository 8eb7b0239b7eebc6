package steps

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nearline/batching"
	"nearline/columns"
	"nearline/internal/problems"
	"nearline/internal/spelling"
	"nearline/models"
	"nearline/models/tasks"
	"nearline/pipeline"
)

// Predict adds a model's answers.
type Predict struct {
	// Model names a folder of the repository.
	Model string `yaml:"model"`
	// As gives the model's columns other names in the result, such as {sentiment: mood}.
	As map[string]string `yaml:"as"`
	// Inputs says what each column is made of that the model reads, by its name; nil takes each from the path that is called as it is. It is for
	// models of tables.
	Inputs map[string]columns.Config `yaml:"inputs"`
}

func (c *Predict) validate(l *problems.List, at place) {
	if !pipeline.LegalName(c.Model) {
		l.Add(at.path+".model", "is %q: want the name of a folder in models.repository (%s), such as sentiment", c.Model, at.Repository)
		return
	}
	if earlier := c.predictedBefore(at.earlier); earlier >= 0 && len(c.As) == 0 {
		l.Add(at.path+".model", "is %q: %s[%d] has it already, and results cannot have a column twice; remove it, or rename its columns with as", c.Model, at.steps, earlier)
	}
	for _, column := range slices.Sorted(maps.Keys(c.Inputs)) {
		l.Join(c.Inputs[column].Validate(fmt.Sprintf("%s.inputs.%s", at.path, column)))
	}
	names := map[string]string{}
	for _, column := range slices.Sorted(maps.Keys(c.As)) {
		as := c.As[column]
		switch other, twice := names[as]; {
		case as == "":
			l.Add(at.path+".as."+column, "is empty: want the column's name in the result")
		case twice:
			l.Add(at.path+".as."+column, "is %q: %s has that name already, choose another", as, other)
		}
		names[as] = column
	}
}

// predictedBefore is the last of the steps that have the same model, -1 for none.
func (c *Predict) predictedBefore(earlier []Config) int {
	for i, step := range slices.Backward(earlier) {
		if set, _ := step.set(); len(set) == 1 && step.Predict != nil && step.Predict.Model == c.Model {
			return i
		}
	}
	return -1
}

func (c *Predict) needs() Needs { return Needs{Models: []string{c.Model}} }

// Column is the name that a column of the model has in the result.
func (c *Predict) Column(name string) string {
	if as, ok := c.As[name]; ok {
		return as
	}
	return name
}

func (c *Predict) build(p *Plan) error {
	model := p.world.Model(c.Model)
	if model == nil {
		return &Error{At: "predict: ", Err: notLoaded(c.Model)}
	}
	inputs, reads, err := inputsOf(model, c.Inputs, p.Columns(), p.Reads())
	if err != nil {
		return &Error{At: "predict: ", Err: err}
	}
	if err := c.check(p, model); err != nil {
		return &Error{At: "predict.", Err: err}
	}
	step := models.NewStep(model, p.class, c.As, inputs)
	c.noteLabels(p, model)
	p.textless = p.textless && inputs != nil
	p.Append(step, reads, step.Columns()...)
	return nil
}

// check says which of the names that a predict step has are none of its model's, or of a step before it.
func (c *Predict) check(p *Plan, model *models.Model) error {
	answers := pipeline.FieldNames(models.NewStep(model, batching.Stream, nil, nil).Columns())
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.As)) {
		if !slices.Contains(answers, name) {
			errs = append(errs, fmt.Errorf("as.%s: model %s answers with no such column, want %s%s", name, c.Model, strings.Join(answers, ", "), spelling.DidYouMean(name, answers)))
		}
	}
	return errors.Join(append(errs, p.checkLabels(c.Inputs))...)
}

// noteLabels of a model's columns for the steps after it.
func (c *Predict) noteLabels(p *Plan, model *models.Model) {
	for _, head := range model.Info().Heads {
		if head.Kind == tasks.Classification {
			p.labels[c.Column(head.Name)] = head.Labels
		}
	}
}

// inputsOf makes what fills the columns of a model that reads tables; nil for a model that reads texts. Added are the columns of the steps before it, with
// examples of what they hold; reads is what these want of events, and is returned with what the columns want added.
func inputsOf(m *models.Model, declared map[string]columns.Config, added []pipeline.Field, reads []string) (models.Columns, []string, error) {
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
