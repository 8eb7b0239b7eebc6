package features

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/axiomhq/hyperloglog"
)

// State is what a view has kept of one key. Values that it shares with an older copy are never written to.
type State struct {
	// At is the latest time of an event, in milliseconds since 1970.
	At    int64
	cells []cell // as the view has fields
}

// cell is the state of one feature. Of a sum or a mean it holds both sums as of the time at: older events weigh less by
// forward and backward decay alike, so the order in which events come changes nothing but the last bits.
type cell struct {
	sum, weight float64
	at          int64
	list        []entry
	sketch      *hyperloglog.Sketch
}

// entry of a list.
type entry struct {
	Text string
	By   float64
	At   int64
}

func (v *View) newState() *State { return &State{cells: make([]cell, len(v.fields))} }

// copy for another cycle's changes: lists and sketches are replaced, never written to.
func (s *State) copy() *State { return &State{At: s.At, cells: slices.Clone(s.cells)} }

// decay is what an event of one time, in milliseconds, weighs at another.
func decay(from, to int64, halfLife time.Duration) float64 {
	if halfLife == 0 || from == to {
		return 1
	}
	return math.Exp2((float64(from) - float64(to)) / float64(halfLife.Milliseconds()))
}

// accumulate a number with its weight, of an event at the time.
func (c *cell) accumulate(number, weight float64, at int64, halfLife time.Duration) {
	if c.weight == 0 {
		c.at = at
	}
	if at > c.at {
		older := decay(c.at, at, halfLife)
		c.sum *= older
		c.weight *= older
		c.at = at
	}
	less := decay(at, c.at, halfLife)
	c.sum = min(max(c.sum+number*less, -math.MaxFloat64), math.MaxFloat64) // JSON has no infinity
	c.weight += weight * less
}

// insertLast keeps the n youngest, the youngest first; of the same time, the one that came last.
func (c *cell) insertLast(e entry, n int) {
	i, _ := slices.BinarySearchFunc(c.list, e, func(have, e entry) int {
		return cmp.Or(cmp.Compare(e.At, have.At), 1)
	})
	c.insert(i, e, n)
}

// insertTop keeps the n with the largest numbers; of the same number, the younger, then the one that is first by its text.
func (c *cell) insertTop(e entry, n int) {
	if same := slices.IndexFunc(c.list, func(have entry) bool { return have.Text == e.Text }); same >= 0 {
		if c.list[same].At > e.At {
			return
		}
		c.list = slices.Delete(slices.Clone(c.list), same, same+1)
	}
	i, _ := slices.BinarySearchFunc(c.list, e, func(have, e entry) int {
		return cmp.Or(cmp.Compare(e.By, have.By), cmp.Compare(e.At, have.At), cmp.Compare(have.Text, e.Text))
	})
	c.insert(i, e, n)
}

func (c *cell) insert(i int, e entry, n int) {
	if i >= n {
		return
	}
	list := make([]entry, 0, min(len(c.list)+1, n))
	list = append(append(list, c.list[:i]...), e)
	c.list = append(list, c.list[i:min(len(c.list), n-1)]...)
}

// precision of the sketches: 2^12 registers, an error of 1.6%, at most 4 KiB.
const precision = 12

func (c *cell) insertDistinct(text string) {
	sketch := newSketch()
	if c.sketch != nil {
		sketch = c.sketch.Clone()
	}
	sketch.Insert([]byte(text))
	c.sketch = sketch
}

func newSketch() *hyperloglog.Sketch {
	sketch, err := hyperloglog.NewSketch(precision, true)
	if err != nil {
		panic(err) // the precision is legal
	}
	return sketch
}
