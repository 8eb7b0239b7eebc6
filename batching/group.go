package batching

import (
	"context"
	"fmt"
)

// Group is a set of rows that one caller adds and waits for together. What has been added runs whether or not it is waited
// for, so Wait is not optional. A group is not safe for concurrent use; any number of groups may be used at once.
type Group[T any] struct {
	queue *queue
	class Class
	cells [][]cell[T] // in the order of Add; a chunk never moves once it is made, since rows are pointed to
	size  int
	tally tally // guarded by Device.mu
}

// cell is a row with what Run is to see of it.
type cell[T any] struct {
	row
	item Item[T]
}

// maxChunk bounds what a group allocates ahead: 256 rows are about 40 KiB.
const maxChunk = 256

// Add hands a row over. It may start to run before Add returns, while the caller prepares the next one. Add blocks while
// Limits.Bound rows of this class wait.
//
// An error says that the row was not taken and has no place in what Wait returns: ctx has ended (its cause is wrapped), or
// the queue is closed (ErrClosed). Rows added before are not affected: call Wait all the same. A row that can never run,
// on the other hand, is that row's fault alone: Add takes it, and Wait gives it ErrCost.
func (g *Group[T]) Add(ctx context.Context, item Item[T]) error {
	q := g.queue
	if item.Cost < 1 || item.Cost > min(q.limits.MaxTokens, MaxCost) {
		c := g.grow(item)
		c.state = ended
		c.err = fmt.Errorf("%w: cost is %d, want 1 to %d", ErrCost, item.Cost, min(q.limits.MaxTokens, MaxCost))
		return nil
	}
	if err := q.doors[g.class].Acquire(ctx, 1); err != nil {
		return fmt.Errorf("add row to queue %s: %w", q.name, context.Cause(ctx))
	}
	c := g.grow(item)
	if !q.device.add(&c.row) {
		g.shrink()
		q.doors[g.class].Release(1)
		return fmt.Errorf("add row to queue %s: %w", q.name, ErrClosed)
	}
	return nil
}

// Len returns how many rows Wait will return an error for.
func (g *Group[T]) Len() int { return g.size }

// Wait returns when every row has ended: one error a row in the order of Add, nil for those that ran. When ctx ends, rows
// that no slot has taken yet are withdrawn with ctx's cause, and those already running are waited for (but not run again if
// their batch fails), so that after Wait nobody touches what the values point to. The group is then empty and may be used again.
func (g *Group[T]) Wait(ctx context.Context) []error {
	d := g.queue.device
	done := d.watch(&g.tally)
	select {
	case <-done:
	case <-ctx.Done():
		d.withdraw(&g.tally, g.rows, context.Cause(ctx))
		<-done
	}
	errs := make([]error, 0, g.size)
	for r := range g.rows {
		errs = append(errs, r.err)
	}
	g.cells, g.size = nil, 0
	return errs
}

// rows are the group's rows in the order of Add.
func (g *Group[T]) rows(yield func(*row) bool) {
	for _, chunk := range g.cells {
		for i := range chunk {
			if !yield(&chunk[i].row) {
				return
			}
		}
	}
}

// grow returns the cell of a new row.
func (g *Group[T]) grow(item Item[T]) *cell[T] {
	last := len(g.cells) - 1
	if last < 0 || len(g.cells[last]) == cap(g.cells[last]) {
		g.cells = append(g.cells, make([]cell[T], 0, min(max(1, g.size), maxChunk)))
		last++
	}
	g.cells[last] = append(g.cells[last], cell[T]{item: item})
	g.size++
	c := &g.cells[last][len(g.cells[last])-1]
	c.queue, c.group, c.class, c.cost, c.self = g.queue, &g.tally, g.class, item.Cost, c
	return c
}

// shrink takes the last row back.
func (g *Group[T]) shrink() {
	last := len(g.cells) - 1
	g.cells[last] = g.cells[last][:len(g.cells[last])-1]
	g.size--
}
