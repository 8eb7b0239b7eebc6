package engine

import (
	"context"
	"fmt"
	"sync"

	"nearline/batching"
	"nearline/models"
	"nearline/pipeline"
	"nearline/schemas"
	"nearline/steps"
)

// Pipeline is what a program is compiled of.
type Pipeline struct {
	Name   string
	Input  schemas.InputConfig
	Steps  []steps.Config
	Output schemas.OutputConfig
	// Ready, if set, is called with each program that is put, before anybody has it.
	Ready func(*pipeline.Program)
	// Lenient is as in steps.Plan. It is for what a command's flags say, which cannot name a step's columns otherwise.
	Lenient bool
}

// World is what programs are compiled on, beside the models. The zero value has no views.
type World struct {
	Views steps.Views
	// Turn, if set, is asked before a request's candidates are ranked: see columns.CandidatesConfig.
	Turn func(ctx context.Context, candidates int) error
}

// Addition to a plan of what the configuration does not say.
type Addition func(*steps.Plan) error

// place of programs: those of a pipeline for rows of a class.
type place struct {
	pipeline string
	class    batching.Class
}

// current programs of a place.
type current struct {
	programs pipeline.Programs

	putting sync.Mutex // guards latest, and is held while a program is put
	latest  uint64     // generation
}

// Compile the program of a pipeline for rows of a class, on the models that are loaded by now. Nobody is handed it, and nothing keeps its models: see Put. An
// error wraps a *steps.Error, unless it is an addition's.
func (e *Engine) Compile(p Pipeline, class batching.Class, more ...Addition) (*pipeline.Program, error) {
	return e.compile(p, class, e.Model, more)
}

func (e *Engine) compile(p Pipeline, class batching.Class, model func(name string) *models.Model, more []Addition) (*pipeline.Program, error) {
	plan := steps.NewPlan(class, steps.World{Model: model, Views: e.options.World.Views, Turn: e.options.World.Turn})
	plan.Lenient = p.Lenient
	for i, step := range p.Steps {
		if err := plan.Add(step); err != nil {
			return nil, fmt.Errorf("pipeline %s: steps[%d].%w", p.Name, i, err)
		}
	}
	for _, add := range more {
		if err := add(plan); err != nil {
			return nil, err
		}
	}
	program, err := plan.Program(p.Input, p.Output)
	if err != nil {
		return nil, fmt.Errorf("pipeline %s: %w", p.Name, err)
	}
	return program, nil
}

// Put compiles a program and hands it out from now on, in place of the one before: see Programs. The models that it runs stay as long as somebody has it.
func (e *Engine) Put(p Pipeline, class batching.Class, more ...Addition) (*pipeline.Program, error) {
	at := e.currentAt(p.Name, class)
	at.putting.Lock()
	defer at.putting.Unlock()
	runs := e.hold(steps.Models(p.Steps))
	program, err := e.compile(p, class, func(name string) *models.Model { return runs[name] }, more)
	if err == nil {
		program.Generation = at.latest + 1
		if p.Ready != nil {
			p.Ready(program)
		}
		err = at.programs.Swap(program, func() { e.letGo(runs) })
	}
	if err != nil {
		e.letGo(runs)
		return nil, err
	}
	at.latest++
	return program, nil
}

// Programs of a pipeline for rows of a class hand out the one that was put last.
func (e *Engine) Programs(pipeline string, class batching.Class) *pipeline.Programs {
	return &e.currentAt(pipeline, class).programs
}

func (e *Engine) currentAt(pipeline string, class batching.Class) *current {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := place{pipeline, class}
	if e.places[at] == nil {
		e.places[at] = new(current)
	}
	return e.places[at]
}
