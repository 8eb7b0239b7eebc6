package batching

import (
	"errors"
	"fmt"
	"math"
	"slices"
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
	// MaxTokens is the most tokens in a batch, counted as the device computes them: the longest row times the rows, or with Packed all
	// rows together. A single row longer than this cannot run: see ErrCost.
	MaxTokens int
	// MaxPadding is the most that a batch may cost over its rows alone: padded tokens ÷ real tokens. 1 means that only
	// rows of the same cost share a batch.
	MaxPadding float64
	// Buckets are lengths that batches are padded up to, ascending, so that few shapes occur: a GPU's memory and its kernels
	// are chosen by shape. Where that would pass MaxTokens or MaxPadding, and above the last bucket, a batch is as long as
	// its longest row. Nil where nothing is gained, as on CPU.
	Buckets []int
	// Packed says that rows lie one after the other in a run, without padding, as those of tables do: a batch costs what its rows
	// do. MaxPadding and Buckets are then of no use.
	Packed bool
	// Order is Nearest unless a comparison wants otherwise.
	Order Order
	// Bound is how many rows may wait in each class before Add blocks. It is counted by class, so that a queue full of
	// backlog does not make an online row wait at the door. More rows are a wider window to find neighbours of equal
	// length in; more than a few thousand find none that are nearer.
	Bound int
}

// Width is how long the rows of a batch are once they are padded, which packed ones are not, of so many rows and tokens in all.
func (l *Limits) Width(longest, rows, real int) int {
	at, _ := slices.BinarySearch(l.Buckets, longest)
	if at == len(l.Buckets) {
		return longest
	}
	if padded := l.Buckets[at] * rows; padded > l.MaxTokens || float64(padded) > l.MaxPadding*float64(real) {
		return longest
	}
	return l.Buckets[at]
}

// padded is what a batch costs on the device.
func (l *Limits) padded(longest, rows, real int) int {
	if l.Packed {
		return real
	}
	return l.Width(longest, rows, real) * rows
}

// DefaultBuckets are eight lengths an octave, up to a model's limit, which is the last: rounding adds 6% on average, and a
// limit of 512 leaves 56 lengths. From 64 on they are multiples of 8, as tensor cores like them. A guess, not measured.
func DefaultBuckets(limit int) []int {
	var buckets []int
	for length, step := 1, 1; length < limit; length += step {
		buckets = append(buckets, length)
		if length == 16*step {
			step *= 2
		}
	}
	return append(buckets, limit)
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
	if l.Packed && len(l.Buckets) > 0 {
		errs = append(errs, fmt.Errorf("buckets is %v: packed rows are not padded, want none", l.Buckets))
	}
	if !(l.MaxPadding >= 1) || math.IsInf(l.MaxPadding, 0) {
		errs = append(errs, fmt.Errorf("max_padding is %v: want at least 1 (rows of equal length only), such as 1.1", l.MaxPadding))
	}
	for i, b := range l.Buckets {
		if b < 1 || i > 0 && b <= l.Buckets[i-1] {
			errs = append(errs, fmt.Errorf("buckets is %v: want lengths of at least 1, each above the last", l.Buckets))
			break
		}
	}
	if l.Order > FirstCome {
		errs = append(errs, fmt.Errorf("order is %d: want nearest (%d) or first come (%d)", l.Order, Nearest, FirstCome))
	}
	if l.Bound < 1 {
		errs = append(errs, fmt.Errorf("bound is %d: want at least 1, and max_items or more to fill a batch", l.Bound))
	}
	return errors.Join(errs...)
}
