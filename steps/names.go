package steps

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nearline/columns"
	"nearline/internal/spelling"
	"nearline/pipeline"
	"nearline/schemas"
)

// A name that refers to nothing would be ignored without a word, so each is looked for where it should be: what a configuration calls columns and labels is
// known once models are there.

// checkLabels that columns are made of.
func (p *Plan) checkLabels(inputs map[string]columns.Config) error {
	var errs []error
	var check func(path string, c columns.Config)
	check = func(path string, c columns.Config) {
		errs = append(errs, p.checkLabel(path, c.Of, c.Label))
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

// checkLabel of a prediction: one that the model does not have would count as the other, with what is left to 1.
func (p *Plan) checkLabel(at, path, label string) error {
	labels, known := p.labels[path]
	if label == "" || !known || slices.Contains(labels, label) {
		return nil
	}
	return fmt.Errorf("%s: label is %q, and %s has the labels %s%s", at, label, path, strings.Join(labels, ", "), spelling.DidYouMean(label, labels))
}

// checkCopies finds fields to copy that steps make: results have those anyway, and events do not.
func (p *Plan) checkCopies(copies []schemas.CopyField) error {
	var errs []error
	for i, field := range copies {
		name, rest, _ := strings.Cut(field.Path, ".")
		at := slices.IndexFunc(p.program.ResultColumns, func(column pipeline.Field) bool { return column.Name == name })
		if at < 0 || rest == "" {
			continue
		}
		rest, _, _ = strings.Cut(rest, ".")
		if _, made := p.program.ResultColumns[at].Value.Lookup(rest); made {
			errs = append(errs, fmt.Errorf("copy[%d] is %q: a step makes %s, and results have it without that; copy takes fields of the event alone, "+
				"and if it has one of that name, give the step's another with as", i, field.Path, name))
		}
	}
	return errors.Join(errs...)
}
