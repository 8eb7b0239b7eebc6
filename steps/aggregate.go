package steps

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nearline/batching"
	"nearline/features"
	"nearline/internal/problems"
	"nearline/internal/spelling"
	"nearline/pipeline"
)

// Aggregate says what each event means for a view of features.
type Aggregate struct {
	// View is declared in features.views.
	View string `yaml:"view"`
	// Map gives paths of the view the ones that they have in these events, such as {item_id: product.sku}.
	Map map[string]string `yaml:"map"`
}

func (c *Aggregate) validate(l *problems.List, at place) {
	view := at.Features.View(c.View)
	if view == nil {
		l.Add(at.path+".view", "is %q: want %s", c.View, at.oneOfViews(c.View))
	}
	if view != nil && view.Source == features.SourceStore {
		l.Add(at.path+".view", "is %q: others fill that view; want one without source: %s", c.View, features.SourceStore)
	}
	for j, earlier := range at.earlier {
		if earlier.Aggregate != nil && earlier.Aggregate.View == c.View {
			l.Add(at.path+".view", "is %q: steps[%d] has it already, and would count each event twice; remove one", c.View, j)
		}
	}
	if at.Delivery != pipeline.ExactlyOnce {
		l.Add(at.path, "needs delivery: exactly_once: with %s an event may count twice", at.Delivery)
	}
	for _, from := range slices.Sorted(maps.Keys(c.Map)) {
		if view != nil && !slices.Contains(view.Paths(), from) {
			l.Add(at.path+".map."+from, ": view %s has no such path, want one of %s%s", view.Name, strings.Join(view.Paths(), ", "), spelling.DidYouMean(from, view.Paths()))
		}
		if to := c.Map[from]; !isPath(to) {
			l.Add(at.path+".map."+from, "is %q: want the path of a field, such as product.id", to)
		}
	}
}

func (c *Aggregate) needs() Needs { return Needs{} }

// build adds nothing but for the stream: neither a request nor a line of a file is an event.
func (c *Aggregate) build(p *Plan) error {
	if p.class != batching.Stream {
		return nil
	}
	if err := p.checkOperands(p.world.Views.Declared(c.View), c.Map); err != nil {
		return &Error{At: "aggregate: ", Err: err}
	}
	step, reads, err := p.world.Views.Emit(c.View, c.Map, pipeline.FieldNames(p.Columns()), p.Reads())
	if err != nil {
		return &Error{At: "aggregate: ", Err: err}
	}
	p.Append(step, reads)
	return nil
}

// checkOperands of a view, whose paths may be called otherwise in these events.
func (p *Plan) checkOperands(view *features.ViewConfig, called map[string]string) error {
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
		errs = append(errs, p.checkLabel(fmt.Sprintf("view %s: field %s", view.Name, field.Name), path, of.Label))
	}
	return errors.Join(errs...)
}
