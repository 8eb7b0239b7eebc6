// Package steps are the verbs of a pipeline, a file each: how a step is configured, what is wrong with it, and what it becomes on models that are loaded and
// views that are declared.
package steps

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"nearline/features"
	"nearline/internal/problems"
	"nearline/internal/spelling"
	"nearline/pipeline"
)

// Config is one thing done to rows: exactly one of its fields is set. Each is a verb, and has a line in verbs.
type Config struct {
	Predict   *Predict   `yaml:"predict"`
	Rank      *Rank      `yaml:"rank"`
	Lookup    *Lookup    `yaml:"lookup"`
	Aggregate *Aggregate `yaml:"aggregate"`
}

// verb is a step as it is configured.
type verb interface {
	// validate adds what is wrong with the step.
	validate(l *problems.List, at place)
	// needs are what it stands on.
	needs() Needs
	// build the step and add it to the plan. The error is an *Error that begins with the verb.
	build(p *Plan) error
}

// verbs are all of them, in the order in which they are told.
var verbs = []struct {
	name string // the key
	// of a step, if it has this one.
	of func(Config) (verb, bool)
	// unset is what a step of it is that says nothing; nil is the zero value.
	unset any
}{
	{"predict", func(c Config) (verb, bool) { return c.Predict, c.Predict != nil }, nil},
	{"rank", func(c Config) (verb, bool) { return c.Rank, c.Rank != nil }, DefaultRank()},
	{"lookup", func(c Config) (verb, bool) { return c.Lookup, c.Lookup != nil }, nil},
	{"aggregate", func(c Config) (verb, bool) { return c.Aggregate, c.Aggregate != nil }, nil},
}

// Verbs that there are, by their keys.
func Verbs() []string {
	names := make([]string, len(verbs))
	for i, v := range verbs {
		names[i] = v.name
	}
	return names
}

// Defaults of the verbs that have some: each a value of the type that a field of Config points to.
func Defaults() (values []any) {
	for _, v := range verbs {
		if v.unset != nil {
			values = append(values, v.unset)
		}
	}
	return values
}

// set are the verbs that the step has, with their keys: one, in a step that is valid.
func (c Config) set() (set []verb, names []string) {
	for _, v := range verbs {
		if has, ok := v.of(c); ok {
			set, names = append(set, has), append(names, v.name)
		}
	}
	return set, names
}

// Needs are what a step stands on, beside the rows.
type Needs struct {
	// Models that it runs.
	Models []string
	// Views says that it may look values of views up.
	Views bool
}

// Needs of the step.
func (c Config) Needs() (all Needs) {
	set, _ := c.set()
	for _, v := range set {
		needs := v.needs()
		all.Models, all.Views = append(all.Models, needs.Models...), all.Views || needs.Views
	}
	return all
}

// Models that steps run, each once.
func Models(all []Config) (names []string) {
	for _, step := range all {
		for _, name := range step.Needs().Models {
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Surroundings are what the rest of a configuration says that steps are a part of.
type Surroundings struct {
	// Repository that models are in.
	Repository string
	// Features declares the views.
	Features features.Config
	Delivery pipeline.Delivery
}

// place of a step among the others.
type place struct {
	Surroundings
	path    string // of the verb's key
	steps   string // of the list
	earlier []Config
}

// Validate names every problem of the steps at path.
func Validate(all []Config, path string, s Surroundings) error {
	l := &problems.List{}
	if len(all) == 0 {
		l.Add(path, "is empty: want at least one, such as predict: {model: sentiment}")
	}
	for i, step := range all {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch set, names := step.set(); len(set) {
		case 0:
			l.Add(at, "is empty: want one verb, such as predict: {model: sentiment}")
		case 1:
			set[0].validate(l, place{Surroundings: s, path: at + "." + names[0], steps: path, earlier: all[:i]})
		default:
			l.Add(at, "has %s: want one verb a step, make %d of it", strings.Join(names, " and "), len(names))
		}
	}
	return l.Err()
}

// oneOfViews says which views there are, and which of them was probably meant.
func (s Surroundings) oneOfViews(name string) string {
	var known []string
	for _, view := range s.Features.Views {
		known = append(known, view.Name)
	}
	return fmt.Sprintf("one of features.views (%s)%s", cmp.Or(strings.Join(known, ", "), "there is none yet"), spelling.DidYouMean(name, known))
}

// viewFields are the names of a view's fields; a nil view has none.
func viewFields(view *features.ViewConfig) (names []string) {
	if view != nil {
		for _, field := range view.Fields {
			names = append(names, field.Name)
		}
	}
	return names
}

// isPath says that a text may be the path of a field.
func isPath(text string) bool { return !slices.Contains(strings.Split(text, "."), "") }
