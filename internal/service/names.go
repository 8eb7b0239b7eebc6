package service

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nearline/batching"
	"nearline/columns"
	"nearline/features"
	"nearline/internal/config"
	"nearline/models"
	"nearline/models/tasks"
	"nearline/pipeline"
	"nearline/schemas"
)

// A name that refers to nothing would be ignored without a word, so each is looked for where it should be: what a configuration calls columns and labels is
// known once models are there.

// checkPredict says which of the names that a predict step has are none of its model's, or of a step before it.
func (w *work) checkPredict(model *models.Model, p *config.Predict) error {
	columns := fieldNamesOf(models.NewStep(model, batching.Stream, nil, nil).Columns())
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.As)) {
		if !slices.Contains(columns, name) {
			errs = append(errs, fmt.Errorf("as.%s: model %s answers with no such column, want %s%s", name, p.Model, strings.Join(columns, ", "), config.DidYouMean(name, columns)))
		}
	}
	return errors.Join(append(errs, w.checkLabels(p.Inputs))...)
}

// noteLabels of a model's columns for the steps after it.
func (w *work) noteLabels(model *models.Model, p *config.Predict) {
	for _, head := range model.Info().Heads {
		if head.Kind == tasks.Classification {
			w.labels[p.Column(head.Name)] = head.Labels
		}
	}
}

// checkLabels that columns are made of.
func (w *work) checkLabels(inputs map[string]columns.Config) error {
	var errs []error
	var check func(path string, c columns.Config)
	check = func(path string, c columns.Config) {
		errs = append(errs, w.checkLabel(path, c.Of, c.Label))
		for i, part := range c.Cross {
			check(fmt.Sprintf("%s.cross[%d]", path, i), part)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		c := inputs[name]
		if c.Of == "" {
			c.Of = name
		}
		check("inputs."+name, c)
	}
	return errors.Join(errs...)
}

// checkOperands of a view, whose paths may be called otherwise in these events.
func (w *work) checkOperands(view *features.ViewConfig, called map[string]string) error {
	var errs []error
	for _, field := range view.Fields {
		var of features.Operand
		switch {
		case field.Sum != nil:
			of = field.Sum.Operand
		case field.Mean != nil:
			of = field.Mean.Operand
		case field.Top != nil:
			of = field.Top.By
		}
		path := of.Of
		if other, ok := called[path]; ok {
			path = other
		}
		errs = append(errs, w.checkLabel(fmt.Sprintf("view %s: field %s", view.Name, field.Name), path, of.Label))
	}
	return errors.Join(errs...)
}

// checkLabel of a prediction: one that the model does not have would count as the other, with what is left to 1.
func (w *work) checkLabel(at, path, label string) error {
	labels, known := w.labels[path]
	if label == "" || !known || slices.Contains(labels, label) {
		return nil
	}
	return fmt.Errorf("%s: label is %q, and %s has the labels %s%s", at, label, path, strings.Join(labels, ", "), config.DidYouMean(label, labels))
}

// checkCopies finds fields to copy that steps make: results have those anyway, and events do not.
func (w *work) checkCopies(copies []schemas.CopyField) error {
	var errs []error
	for i, field := range copies {
		name, rest, _ := strings.Cut(field.Path, ".")
		at := slices.IndexFunc(w.program.Columns, func(column pipeline.Field) bool { return column.Name == name })
		if at < 0 || rest == "" {
			continue
		}
		rest, _, _ = strings.Cut(rest, ".")
		if _, made := w.program.Columns[at].Value.Lookup(rest); made {
			errs = append(errs, fmt.Errorf("copy[%d] is %q: a step makes %s, and results have it without that; copy takes fields of the event alone, "+
				"and if it has one of that name, give the step's another with as", i, field.Path, name))
		}
	}
	return errors.Join(errs...)
}

func fieldNamesOf(fields []pipeline.Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}
