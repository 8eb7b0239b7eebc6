package main

import (
	"fmt"
	"slices"
	"strings"
)

// figure is one line of the result: a number that machines can be compared by, its spread over the rounds, and what was
// asked of it.
type figure struct {
	name  string
	unit  string // "" for a ratio
	floor float64
	aim   float64
	// less says that smaller is better.
	less   bool
	rounds []float64
	// note gives the absolute figures behind a ratio.
	note string
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func (f figure) verdict() string {
	m := median(f.rounds)
	reached := func(want float64) bool { return m >= want && !f.less || m <= want && f.less }
	switch {
	case reached(f.aim):
		return "aim reached"
	case reached(f.floor):
		return "above the floor"
	default:
		return "BELOW THE FLOOR"
	}
}

func (f figure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-44s %8.3f%s  (%.3f to %.3f, %d rounds)", f.name, median(f.rounds), f.unit, slices.Min(f.rounds), slices.Max(f.rounds), len(f.rounds))
	if f.floor != 0 || f.aim != 0 { // nothing was asked of the others
		fmt.Fprintf(&b, "  floor %g  aim %g  %s", f.floor, f.aim, f.verdict())
	}
	if f.note != "" {
		fmt.Fprintf(&b, "\n%-44s %s", "", f.note)
	}
	return b.String()
}

// measurement runs one side once and returns its figure, such as reviews a second.
type measurement func(round int) (float64, error)

// paired runs two sides in turn, A B B A A B …, so that a machine that changes its pace changes it for both, and
// returns the ratio a ÷ b of every round with the figures of either side.
func paired(rounds int, a, b measurement) (ratios, as, bs []float64, err error) {
	for round := range rounds {
		var x, y float64
		if round%2 == 0 {
			if x, err = a(round); err == nil {
				y, err = b(round)
			}
		} else {
			if y, err = b(round); err == nil {
				x, err = a(round)
			}
		}
		if err != nil {
			return nil, nil, nil, err
		}
		ratios, as, bs = append(ratios, x/y), append(as, x), append(bs, y)
	}
	return ratios, as, bs, nil
}
