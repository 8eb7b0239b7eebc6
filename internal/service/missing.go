package service

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/columns"
	"nearline/features"
	"nearline/internal/observe"
	"nearline/internal/spelling"
	"nearline/models"
	"nearline/pipeline"
)

// fed are the columns of a step whose model reads a table.
type fed interface {
	Watch(*columns.Metrics, *slog.Logger)
	Missing() []columns.Missing
}

// fedStep is one with such columns.
type fedStep struct {
	name string
	fed
}

func fedBy(steps pipeline.Steps) []fedStep {
	var found []fedStep
	for _, step := range steps {
		var of any
		switch step := step.(type) {
		case *models.Step:
			of = step.Inputs()
		case *models.RankStep:
			of = step.Candidates()
		}
		if columns, ok := of.(fed); ok {
			found = append(found, fedStep{step.Name(), columns})
		}
	}
	return found
}

// watchColumns has the missing values of a program's columns counted and told of.
func (w *worker) watchColumns(registry prometheus.Registerer, program *pipeline.Program) {
	for _, of := range fedBy(program.Steps) {
		if w.columnMetrics == nil {
			w.columnMetrics = columns.NewMetrics(registry, w.config.Name)
		}
		of.Watch(w.columnMetrics, w.logger)
	}
}

// NeverThere says which columns of the current program's models have had no value in any row so far, each step for itself.
func NeverThere(programs *pipeline.Programs) []string {
	const most = 20
	program, release := programs.Take()
	defer release()
	if program == nil {
		return nil
	}
	var said []string
	for _, step := range fedBy(program.Steps) {
		var columns []string
		never := step.Missing()
		for _, m := range never {
			name := m.Column
			if m.Path != name {
				name += " (" + m.Path + ")"
			}
			columns = append(columns, name)
		}
		if len(columns) == 0 {
			continue
		}
		if more := len(columns) - most; more > 0 {
			columns = append(columns[:most], fmt.Sprintf("and %d more", more))
		}
		said = append(said, fmt.Sprintf("%s: no row so far had a value for %s; are the paths right?", step.name, strings.Join(columns, ", ")))
	}
	return said
}

// neverThere says what has never been there, which is worth knowing and hinders nothing.
func (w *worker) neverThere() observe.Finding {
	if never := NeverThere(w.programs); len(never) > 0 {
		return observe.Finding{Detail: map[string]any{"never_there": never}}
	}
	return observe.Finding{}
}

// tellDoubts of a program's paths.
func tellDoubts(views []features.ViewConfig, program *pipeline.Program, logger *slog.Logger) {
	for _, doubt := range doubts(views, program) {
		logger.Warn("a path is probably not meant as it is taken", "path", doubt)
	}
}

// doubts are paths of events that were probably meant to be something else: the columns of a step, or a view's.
func doubts(views []features.ViewConfig, program *pipeline.Program) []string {
	columns := program.ResultColumns
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	for _, v := range views {
		names = append(names, v.Name)
	}
	var said []string
	for _, path := range program.Reads {
		first, rest, dotted := strings.Cut(path, ".")
		rest, _, _ = strings.Cut(rest, ".")
		at := slices.IndexFunc(columns, func(c pipeline.Field) bool { return c.Name == first })
		view := slices.IndexFunc(views, func(v features.ViewConfig) bool { return v.Name == first })
		switch {
		case at >= 0 && dotted:
			said = append(said, fmt.Sprintf("%s is read from events: the step that makes %s comes after the one that reads it", path, first))
		case at >= 0:
		case view >= 0:
			if dotted && slices.ContainsFunc(views[view].Fields, func(f features.FieldConfig) bool { return f.Name == rest }) {
				said = append(said, fmt.Sprintf("%s is read from events: no step before looks view %s up", path, first))
			}
		default:
			meant := spelling.Slip(first, names)
			if dotted {
				meant = spelling.Nearest(first, names)
			}
			if meant != "" && (dotted || labelled(columns, meant)) {
				said = append(said, fmt.Sprintf("%s is read from events, which have it or not: did you mean %s?", path, meant+strings.TrimPrefix(path, first)))
			}
		}
	}
	return said
}

// labelled says that a column is a prediction of a label: few fields of events are nearly called so.
func labelled(columns []pipeline.Field, name string) bool {
	return slices.ContainsFunc(columns, func(c pipeline.Field) bool {
		_, label := c.Value.Lookup("label")
		_, score := c.Value.Lookup("score")
		return c.Name == name && label && score
	})
}
