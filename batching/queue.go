package batching

import (
	"context"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/semaphore"
)

// Item is a row as its model sees it.
type Item[T any] struct {
	Cost  int // tokens, at least 1; rows of equal cost need no padding
	Value T   // typically a pointer to a struct with the row's input, into which Run writes its result
}

// Run computes one batch on a slot. It is called from one goroutine a slot, so what it keeps by slot (a session, buffers)
// needs no lock. It must not return before the computation has ended, and must not keep batch after it returns.
//
// An error blames the batch: the batch is halved and run again until each guilty row is alone, so Run is called again with
// rows that it has seen, and must overwrite what it wrote for them. An error that wraps ErrDevice blames nobody: every row
// of the batch gets it as it is. A panic is an error like any other: see PanicError.
type Run[T any] func(slot int, batch []Item[T]) error

// Queue holds the rows that wait for one loaded model version. It is safe for concurrent use.
type Queue[T any] struct {
	core *queue
}

// queue is what a Queue is to its device, which knows no T. Fields below doors are guarded by Device.mu.
type queue struct {
	name   string
	device *Device
	limits Limits
	run    func(slot int, rows []*row) error
	doors  [classes]*semaphore.Weighted // Limits.Bound permits each; a row holds one while it waits

	lanes   [classes]lane
	unended int // rows that have not ended, wherever they are
	closed  bool
	drained chan struct{} // closed once closed and unended is 0
	series  *series
}

// NewQueue adds a queue to a device. The limits must be valid; it panics otherwise. Two queues may share a name, as two
// versions of a model do during a swap: they share their metrics too.
func NewQueue[T any](d *Device, name string, limits Limits, run Run[T]) *Queue[T] {
	if err := limits.Validate(); err != nil {
		panic(fmt.Sprintf("batching: queue %s: %v", name, err))
	}
	items := make([][]Item[T], d.Slots()) // reused: a slot runs one batch at a time
	core := newQueue(name, limits)
	core.run = func(slot int, rows []*row) (err error) {
		batch := items[slot][:0]
		for _, r := range rows {
			batch = append(batch, r.self.(*cell[T]).item) //nolint:errcheck // a queue holds cells of its own type only
		}
		items[slot] = batch
		defer clear(batch)
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
		}()
		return run(slot, batch)
	}
	d.attach(core)
	return &Queue[T]{core}
}

func newQueue(name string, limits Limits) *queue {
	q := &queue{name: name, limits: limits, drained: make(chan struct{})}
	for c := range q.lanes {
		q.doors[c] = semaphore.NewWeighted(int64(limits.Bound))
		q.lanes[c].indexed = limits.Order == Nearest && limits.MaxItems > 1
	}
	return q
}

// Group begins a set of rows that one caller hands over and waits for together, such as those of one cycle.
func (q *Queue[T]) Group(class Class) *Group[T] {
	if class >= classes {
		panic(fmt.Sprintf("batching: %v: want online, stream or backfill", class))
	}
	return &Group[T]{queue: q.core, class: class}
}

// Drain retires the queue: Add returns ErrClosed from now on, and Drain returns nil once every row within has ended. When
// ctx ends first it returns ctx's cause; the queue stays closed, and Drain may be called again. Rows end only while the
// device runs, or when it stops.
func (q *Queue[T]) Drain(ctx context.Context) error {
	d := q.core.device
	d.mu.Lock()
	q.core.closed = true
	q.core.detachIfDrained()
	d.mu.Unlock()
	select {
	case <-q.core.drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain queue %s: %w", q.core.name, context.Cause(ctx))
	}
}

// Close is Drain without a deadline.
func (q *Queue[T]) Close() error { return q.Drain(context.Background()) }

// release lets as many rows in as have been taken out, by class.
func (q *queue) release(taken [classes]int64) {
	for class, n := range taken {
		if n > 0 {
			q.doors[class].Release(n)
		}
	}
}

// detachIfDrained lets go of a retired queue that has become empty. Its device's mu is held.
func (q *queue) detachIfDrained() {
	if !q.closed || q.unended > 0 || q.device == nil {
		return
	}
	select {
	case <-q.drained:
	default:
		q.device.detach(q)
		close(q.drained)
	}
}
