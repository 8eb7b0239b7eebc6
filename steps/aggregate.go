package steps

import (
	"errors"
	"fmt"

	"nearline/batching"
	"nearline/features"
	"nearline/internal/config"
)

// aggregate says what each event means for a view of features.
type aggregate struct{ *config.Aggregate }

func aggregateOf(step config.Step) builder {
	if step.Aggregate == nil {
		return nil
	}
	return aggregate{step.Aggregate}
}

// build adds nothing but for the stream: neither a request nor a line of a file is an event.
func (c aggregate) build(p *Plan) error {
	if p.class != batching.Stream {
		return nil
	}
	if err := p.checkOperands(p.world.Views.Declared(c.View), c.Map); err != nil {
		return fmt.Errorf("aggregate: %w", err)
	}
	step, reads, err := p.world.Views.Emit(c.View, c.Map, fieldNamesOf(p.Columns()), p.Reads())
	if err != nil {
		return fmt.Errorf("aggregate: %w", err)
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
