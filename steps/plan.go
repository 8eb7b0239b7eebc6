package steps

import (
	"context"
	"fmt"

	"nearline/batching"
	"nearline/features"
	"nearline/models"
	"nearline/pipeline"
	"nearline/schemas"
)

// World is what steps are built on.
type World struct {
	// Model that is loaded under the name; nil where none is.
	Model func(name string) *models.Model
	Views Views
	// Turn, if set, is asked before a request's candidates are ranked: see columns.CandidatesConfig.
	Turn func(ctx context.Context, candidates int) error
}

// Views that a configuration declares. They are asked for by names that it has.
type Views interface {
	// Declared is how the view is declared.
	Declared(view string) *features.ViewConfig
	// Finder looks the view's keys up.
	Finder(view string) *features.Finder
	// Emit makes the step that writes updates of the view, as features.NewEmit does.
	Emit(view string, paths map[string]string, columns, reads []string) (*features.Emit, []string, error)
}

// Plan is a program as it is built, step by step: it knows the columns that there are so far, and the paths that are wanted of events.
type Plan struct {
	// Lenient leaves names in results that clash to be told of each row that has them.
	Lenient bool

	class   batching.Class
	world   World
	program *pipeline.Program

	textless bool // no step so far reads the events' text
	// labels that predictions of a column may have, by the column's name in results; not there where they are not known.
	labels map[string][]string
}

// Error is what a step, or what is around the steps, cannot be made of.
type Error struct {
	// At is where in the pipeline, as the message begins: predict: or output.
	At  string
	Err error
}

func (e *Error) Error() string { return e.At + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// notLoaded says that a step's model is not there.
func notLoaded(model string) error { return fmt.Errorf("model %s is not loaded", model) }

// NewPlan of a program for rows of a class, without a step.
func NewPlan(class batching.Class, world World) *Plan {
	return &Plan{class: class, world: world, program: &pipeline.Program{Generation: 1}, textless: true, labels: make(map[string][]string)}
}

// Columns that the steps so far add, with examples of what they hold.
func (p *Plan) Columns() []pipeline.Field { return p.program.ResultColumns }

// Reads are the paths that the steps so far want of events.
func (p *Plan) Reads() []string { return p.program.Reads }

// Append a step that adds such columns. Reads are all paths that are wanted of events, with the step's own.
func (p *Plan) Append(step pipeline.Step, reads []string, columns ...pipeline.Field) {
	to := p.program
	to.Steps, to.Reads, to.ResultColumns = append(to.Steps, step), reads, append(to.ResultColumns, columns...)
}

// Add the step of a configuration.
func (p *Plan) Add(step Config) error {
	set, _ := step.set() // one: others are refused
	for _, verb := range set {
		if err := verb.build(p); err != nil {
			return err
		}
	}
	return nil
}

// Program that the plan has become. Events are read, and results written, as the configuration says; but for the stream both are JSON.
func (p *Plan) Program(input schemas.InputConfig, output schemas.OutputConfig) (*pipeline.Program, error) {
	if err := p.checkCopies(output.Copy); err != nil && !p.Lenient {
		return nil, &Error{At: "output.", Err: err}
	}
	made := p.program
	if p.class != batching.Stream {
		input.Format, input.Schema, output.Format, output.Schema = schemas.FormatJSON, "", schemas.FormatJSON, ""
	}
	var err error
	if made.Decoder, err = schemas.NewDecoder(input, output, schemas.Wanted{Paths: made.Reads, Textless: p.textless}); err != nil {
		return nil, &Error{At: "input: ", Err: err}
	}
	encoder, err := schemas.NewEncoder(output, input)
	if err != nil {
		return nil, &Error{At: "output: ", Err: err}
	}
	if err := encoder.Check(made.ResultColumns); err != nil && !p.Lenient {
		return nil, &Error{At: "output: ", Err: err}
	}
	made.Encoder = encoder
	return made, nil
}
