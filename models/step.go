package models

import (
	"context"
	"slices"

	"nearline/batching"
	"nearline/pipeline"
)

// Step adds a model's predictions to rows.
type Step struct {
	model   *Model
	class   batching.Class
	as      map[string]string
	columns Columns
}

// Columns says what rows have for the columns of a model that reads tables, as Info.Reads names them.
type Columns interface {
	// Append a row's numbers and texts, each in the order of the columns, or say why the row has none.
	Append(row *pipeline.Row, numbers []float64, texts []string) ([]float64, []string, *pipeline.Fault)
}

var _ pipeline.Step = (*Step)(nil)

// NewStep makes the step of a model, whose rows are of the given class. as gives columns other names in the result, from
// the model's name to the new one; nil leaves all as they are. columns are for a model that reads tables, and nil for others.
func NewStep(model *Model, class batching.Class, as map[string]string, columns Columns) *Step {
	return &Step{model: model, class: class, as: as, columns: columns}
}

// Name is predict and the model.
func (s *Step) Name() string { return "predict " + s.model.info.Name }

// Inputs are what rows have for a model that reads tables, nil for others.
func (s *Step) Inputs() Columns { return s.columns }

// Run answers the rows that have no fault yet.
func (s *Step) Run(ctx context.Context, rows []*pipeline.Row) error {
	inputs := make([]Input, 0, len(rows))
	sound := make([]*pipeline.Row, 0, len(rows))
	var numbers []float64 // of all rows: what they are cut from may be made anew as it grows
	var texts []string
	for _, r := range rows {
		if r.Fault != nil {
			continue
		}
		in := Input{Text: r.Text}
		if s.columns != nil {
			from, begin := len(numbers), len(texts)
			if numbers, texts, r.Fault = s.columns.Append(r, numbers, texts); r.Fault != nil {
				r.Fault.Model, r.Fault.Version = s.model.info.Name, s.model.info.Version
				numbers, texts = numbers[:from], texts[:begin]
				continue
			}
			in = Input{Table: Table{Rows: 1, Numbers: numbers[from:], Texts: texts[begin:]}}
		}
		inputs, sound = append(inputs, in), append(sound, r)
	}
	predictions, faults, err := s.model.Predict(ctx, s.class, inputs)
	if err != nil {
		return err
	}
	for i, r := range sound {
		if faults[i] != nil {
			r.Fault = pipeline.Faultf(pipeline.ClassModel, pipeline.StagePredict, "%v", faults[i])
			r.Fault.Model, r.Fault.Version = s.model.info.Name, s.model.info.Version
			continue
		}
		r.Predictions = append(r.Predictions, s.renamed(predictions[i]))
	}
	return nil
}

// renamed gives columns their names in the result.
func (s *Step) renamed(p pipeline.Prediction) pipeline.Prediction {
	if len(s.as) == 0 {
		return p
	}
	// A constant's predictions share their columns.
	p.Columns = slices.Clone(p.Columns)
	for i := range p.Columns {
		if name, ok := s.as[p.Columns[i].Name]; ok {
			p.Columns[i].Name = name
		}
	}
	return p
}

// Columns are the columns that the step adds to a result, in their order, with what the model once answered: an example of
// what they hold, or Null where there is none.
func (s *Step) Columns() []pipeline.Field {
	var columns []pipeline.Field
	switch engine := s.model.engine.(type) {
	case *constant:
		columns = engine.columns
	case *textModel:
		columns = engine.example
	case *tableModel:
		columns = engine.example
	}
	if columns == nil {
		for _, head := range s.model.info.Heads {
			columns = append(columns, pipeline.Field{Name: head.Name})
		}
	}
	return s.renamed(pipeline.Prediction{Columns: columns}).Columns
}
