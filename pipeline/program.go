package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Program is what a pipeline does to events: how it reads them, the steps that they go through, and how it writes the answer, on models that are loaded. The
// stream's cycles, requests and chunks of files all have their programs, and run rows through them in one way.
//
// A program does not change. Another version of a model makes another program, which takes the place of the old one as a whole: see Programs.
type Program struct {
	// Generation counts the programs of a pipeline: of two, the later one has the higher number.
	Generation uint64
	Decoder    Decoder
	Steps      Steps
	Encoder    Encoder
	// ResultColumns are what the steps add to results, in order, with examples of what they hold.
	ResultColumns []Field
	// Reads are the paths that the steps want of events, as Row.Read has them.
	Reads []string
}

// Observe is told of each step that has run on rows, and how long that took.
type Observe func(step string, took time.Duration)

// Run takes rows through all steps. See Steps.Run.
func (p *Program) Run(ctx context.Context, rows []*Row, observe Observe) error {
	return p.Steps.Run(ctx, rows, observe)
}

// Steps of a program, in order.
type Steps []Step

// Run takes rows through the steps. A row that gets a fault in one step is not shown to the next. A tombstone is shown to none. An error is no row's fault, and
// is a *StepError. Observe may be nil.
//
// It returns when all rows are through all steps. That a step sees all rows at once, after the last of them has left the step before it, is promised to an
// Ordered and to a Keeper alone.
func (s Steps) Run(ctx context.Context, rows []*Row, observe Observe) error {
	for _, step := range s {
		live := make([]*Row, 0, len(rows))
		for _, row := range rows {
			if row.Fault == nil && !row.Record.Tombstone() {
				live = append(live, row)
			}
		}
		if len(live) == 0 {
			return nil
		}
		began := time.Now()
		if err := step.Run(ctx, live); err != nil {
			return &StepError{Step: step.Name(), Err: err}
		}
		if observe != nil {
			observe(step.Name(), time.Since(began))
		}
	}
	return nil
}

// Split the steps before the first that is Ordered. Those before it may run on any rows at once; it, and those after it, run on rows in their order.
func (s Steps) Split() (atOnce, inOrder Steps) {
	first := slices.IndexFunc(s, func(step Step) bool { _, ok := step.(Ordered); return ok })
	if first < 0 {
		first = len(s)
	}
	return s[:first], s[first:]
}

// eachKeeper among the steps.
func (s Steps) eachKeeper(do func(Keeper) error) error {
	for _, step := range s {
		if keeper, ok := step.(Keeper); ok {
			if err := do(keeper); err != nil {
				return &StepError{Step: step.Name(), Err: err}
			}
		}
	}
	return nil
}

// StepError says in which step something went wrong that is no row's fault.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }

func (e *StepError) Unwrap() error { return e.Err }

// Programs hands out the program of a pipeline that is current. Whoever works on rows takes it once, and keeps it to the end of that work: a cycle, a request, a
// chunk of a file. The zero value has no program yet. It is safe for concurrent use.
type Programs struct {
	mu      sync.Mutex
	current *inUse // nil for none
}

// inUse is a program and who has it. The mutex of its Programs guards it.
type inUse struct {
	program *Program
	users   int
	// replaced says that nobody takes it any more.
	replaced bool
	drained  func()
}

// NewPrograms hands out the same program always.
func NewPrograms(program *Program) *Programs { return &Programs{current: &inUse{program: program}} }

// Take the program that is current. It stays usable until release is called, whatever takes its place meanwhile. Program is nil where there is none, before the
// first and after the last; release is to be called even so.
func (p *Programs) Take() (program *Program, release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.current
	if taken == nil {
		return nil, func() {}
	}
	taken.users++
	return taken.program, sync.OnceFunc(func() { p.leave(taken) })
}

// Swap makes a program the current one. Drained, which may be nil, is called once: when another has taken its place and the last who had it has let go. That
// is called by whoever lets go last, so it must not take long.
//
// It fails where the program is of no later generation than the current one. Then nothing has changed, and drained is not called.
func (p *Programs) Swap(next *Program, drained func()) error {
	p.mu.Lock()
	if p.current != nil && next.Generation <= p.current.program.Generation {
		defer p.mu.Unlock()
		return fmt.Errorf("a program of generation %d cannot take the place of one of generation %d: want a later one", next.Generation, p.current.program.Generation)
	}
	old := p.current
	p.current = &inUse{program: next, drained: drained}
	p.mu.Unlock()
	p.retire(old)
	return nil
}

// Close leaves no program to take. Those who have one keep it.
func (p *Programs) Close() {
	p.mu.Lock()
	old := p.current
	p.current = nil
	p.mu.Unlock()
	p.retire(old)
}

// retire a program that another took the place of; nil is none.
func (p *Programs) retire(old *inUse) {
	if old != nil {
		p.change(old, func() { old.replaced = true })
	}
}

// leave a program that was taken.
func (p *Programs) leave(taken *inUse) {
	p.change(taken, func() { taken.users-- })
}

// change how a program is used, and tell, once, that nobody will have it any more.
func (p *Programs) change(of *inUse, how func()) {
	p.mu.Lock()
	how()
	var drained func()
	if of.replaced && of.users == 0 {
		drained, of.drained = of.drained, nil
	}
	p.mu.Unlock()
	if drained != nil {
		drained()
	}
}
