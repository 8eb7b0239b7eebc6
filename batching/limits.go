package batching

import (
	"errors"
	"fmt"
	"math"
)

// Order says which waiting rows of a queue join the row that a batch is formed around.
type Order uint8

// The orders.
const (
	Nearest   Order = iota // those nearest to it in cost: a backlog becomes a sort window, and little is padded
	FirstCome              // those that came next: what a plain queue does; for comparison
)

// MaxCost is the largest cost a row may have: an index by cost is what makes a pick cheap, and it must end somewhere.
const MaxCost = 1<<24 - 1

// Limits bound the batches of one queue, and the rows that wait for one.
type Limits struct {
	// MaxItems is the most rows in a batch. 1 for models whose answers depend on their neighbours, and on CPU, where a
	// batch is no faster than its rows one by one.
	MaxItems int
	// MaxTokens is the most tokens in a batch, counted as the device computes them: the longest row times the rows. A
	// single row longer than this cannot run: see ErrCost.
	MaxTokens int
	// MaxPadding is the most that a batch may cost over its rows alone: padded tokens ÷ real tokens. 1 means that only
	// rows of the same cost share a batch.
	MaxPadding float64
	// Order is Nearest unless a comparison wants otherwise.
	Order Order
	// Bound is how many rows may wait in each class before Add blocks. It is counted by class, so that a queue full of
	// backlog does not make an online row wait at the door. More rows are a wider window to find neighbours of equal
	// length in; more than a few thousand find none that are nearer.
	Bound int
}

// Validate returns everything wrong with the limits, joined. Keys are those of the configuration.
func (l Limits) Validate() error {
	var errs []error
	if l.MaxItems < 1 {
		errs = append(errs, fmt.Errorf("max_items is %d: want at least 1", l.MaxItems))
	}
	if l.MaxTokens < 1 {
		errs = append(errs, fmt.Errorf("max_tokens is %d: want at least the model's token limit", l.MaxTokens))
	}
	if !(l.MaxPadding >= 1) || math.IsInf(l.MaxPadding, 0) {
		errs = append(errs, fmt.Errorf("max_padding is %v: want at least 1 (rows of equal length only), such as 1.1", l.MaxPadding))
	}
	if l.Order > FirstCome {
		errs = append(errs, fmt.Errorf("order is %d: want nearest (%d) or first come (%d)", l.Order, Nearest, FirstCome))
	}
	if l.Bound < 1 {
		errs = append(errs, fmt.Errorf("bound is %d: want at least 1, and max_items or more to fill a batch", l.Bound))
	}
	return errors.Join(errs...)
}
