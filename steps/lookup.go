package steps

import (
	"fmt"

	"nearline/features"
	"nearline/internal/config"
)

// lookup adds features of a row's keys.
type lookup struct{ *config.Lookup }

func lookupOf(step config.Step) builder {
	if step.Lookup == nil {
		return nil
	}
	return lookup{step.Lookup}
}

func (c lookup) build(p *Plan) error {
	var views []features.ViewLookup
	for _, l := range c.Views {
		views = append(views, features.ViewLookup{Finder: p.world.Views.Finder(l.View), As: l.As, Fields: l.Fields, Key: l.Key})
	}
	step, reads, err := features.NewLookup(views, c.Wait, fieldNamesOf(p.Columns()), p.Reads())
	if err != nil {
		return fmt.Errorf("lookup: %w", err)
	}
	p.Append(step, reads, step.Columns()...)
	return nil
}
