package models

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrStuck says that a model was given up while it was loaded: native code does not return, or a disk does not answer. What was begun
// is left as it is, so that the process should end.
var ErrStuck = errors.New("loading does not come to an end")

// interruptGrace is how long a load may take to heed an interrupt, before it is left alone.
const interruptGrace = time.Second

// progress says what loading is at. Safe for concurrent use.
type progress struct{ stage atomic.Pointer[string] }

type progressKey struct{}

// enterStage is called as a stage of loading begins.
func enterStage(ctx context.Context, stage string) {
	if p, ok := ctx.Value(progressKey{}).(*progress); ok {
		p.stage.Store(&stage)
	}
}

// outcome of a load.
type outcome struct {
	model *Model
	err   error
}

// inTime loads a model by load, on a goroutine of its own, and returns without it when it takes longer than the limit, 0 being none, or when
// ctx ends and load does not heed that. Then the error wraps ErrStuck or ctx's cause, and names the stage.
func inTime(ctx context.Context, limit time.Duration, load func(context.Context) (*Model, error)) (*Model, error) {
	var p progress
	watched := context.WithValue(ctx, progressKey{}, &p)
	done, given := make(chan outcome), make(chan struct{})
	go func() {
		m, err := load(watched)
		select {
		case done <- outcome{m, err}:
		case <-given:
			if m != nil {
				_ = m.Close(context.WithoutCancel(ctx)) // nobody waits for it any more
			}
		}
	}()
	stage := func() string {
		if s := p.stage.Load(); s != nil {
			return *s
		}
		return "at its beginning"
	}
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case o := <-done:
		return o.model, o.err
	case <-late:
		close(given)
		return nil, fmt.Errorf("%w: it is still %s after %v, which is models.load_timeout: mend the model, or raise that if it needs longer", ErrStuck, stage(), limit)
	case <-ctx.Done():
	}
	grace := time.NewTimer(interruptGrace)
	defer grace.Stop()
	select {
	case o := <-done:
		return o.model, o.err
	case <-grace.C:
		close(given)
		return nil, fmt.Errorf("it was left while %s: %w", stage(), context.Cause(ctx))
	}
}
