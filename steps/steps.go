// Package steps are the verbs of a pipeline, a file each: what a step of the configuration becomes, on models that are loaded and views that are declared.
package steps

import "nearline/internal/config"

// builder is a step of the configuration that can be built.
type builder interface {
	// build the step and add it to the plan. The error begins with the verb.
	build(p *Plan) error
}

// verbs are all of them: each makes a builder of a step that is its own, and nil of others.
var verbs = []func(config.Step) builder{predictOf, rankOf, lookupOf, aggregateOf}
