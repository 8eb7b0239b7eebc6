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

// Lookup adds features of a row's keys.
type Lookup struct {
	// Views to look up, all at the same time.
	Views []LookupView `yaml:"views"`
	// Wait for a store that does not answer, instead of going on with defaults.
	Wait bool `yaml:"wait"`
}

// LookupView is a view, and what of it the result has. In YAML it is the view's name, or a mapping.
type LookupView struct {
	View string `yaml:"view"`
	// As is the column's name in the result; the view's is the default.
	As string `yaml:"as"`
	// Key is the path of the key in these events; the view's is the default.
	Key string `yaml:"key"`
	// Fields of the view that the result has; all are the default.
	Fields []string `yaml:"fields"`
}

// UnmarshalYAML reads either form.
func (l *LookupView) UnmarshalYAML(unmarshal func(any) error) error {
	if unmarshal(&l.View) == nil {
		return nil
	}
	type plain LookupView
	return unmarshal((*plain)(l))
}

func (c *Lookup) validate(l *problems.List, at place) {
	if len(c.Views) == 0 {
		l.Add(at.path+".views", "is empty: want at least %s", at.oneOfViews(""))
	}
	names := map[string]string{}
	for i, looked := range c.Views {
		path := fmt.Sprintf("%s.views[%d]", at.path, i)
		view := at.Features.View(looked.View)
		if view == nil {
			l.Add(path, "is %q: want %s", looked.View, at.oneOfViews(looked.View))
		}
		for j, field := range looked.Fields {
			if names := viewFields(view); view != nil && !slices.Contains(names, field) {
				l.Add(fmt.Sprintf("%s.fields[%d]", path, j), "is %q: want a field of view %s (%s)%s", field, view.Name, strings.Join(names, ", "), spelling.DidYouMean(field, names))
			}
		}
		column := cmp.Or(looked.As, looked.View)
		if other, twice := names[column]; twice {
			l.Add(path, "adds %q to results: %s does so already, name one of them otherwise with as", column, other)
		}
		names[column] = path
		if looked.Key != "" && !isPath(looked.Key) {
			l.Add(path+".key", "is %q: want the path of a field, such as meta.item", looked.Key)
		}
	}
}

func (c *Lookup) needs() Needs { return Needs{Views: true} }

func (c *Lookup) build(p *Plan) error {
	var views []features.ViewLookup
	for _, l := range c.Views {
		views = append(views, features.ViewLookup{Finder: p.world.Views.Finder(l.View), As: l.As, Fields: l.Fields, Key: l.Key})
	}
	step, reads, err := features.NewLookup(views, c.Wait, pipeline.FieldNames(p.Columns()), p.Reads())
	if err != nil {
		return &Error{At: "lookup: ", Err: err}
	}
	p.Append(step, reads, step.Columns()...)
	return nil
}
