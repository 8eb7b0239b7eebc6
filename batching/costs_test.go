package batching

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCostsFindNeighbours(t *testing.T) {
	for _, span := range []int{3, 64, 65, 700, 5000, 300_000, MaxCost + 1} {
		t.Run(fmt.Sprint("span ", span), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, uint64(span)))
			var set costs
			var members []int // sorted
			for range 3000 {
				cost := rnd.IntN(span)
				if i, found := slices.BinarySearch(members, cost); found {
					set.remove(cost)
					members = slices.Delete(members, i, i+1)
				} else if len(members) < 40 {
					set.add(cost)
					members = slices.Insert(members, i, cost)
				}
				probe := rnd.IntN(span)
				if rnd.IntN(10) == 0 {
					probe = MaxCost
				}
				i, found := slices.BinarySearch(members, probe)
				wantUp, okUp := 0, i < len(members)
				if okUp {
					wantUp = members[i]
				}
				if !found {
					i--
				}
				wantDown, okDown := 0, i >= 0
				if okDown {
					wantDown = members[i]
				}
				if got, ok := set.atLeast(probe); ok != okUp || got != wantUp {
					t.Fatalf("atLeast(%d) of %v: got %d, %v, want %d, %v", probe, members, got, ok, wantUp, okUp)
				}
				if got, ok := set.atMost(probe); ok != okDown || got != wantDown {
					t.Fatalf("atMost(%d) of %v: got %d, %v, want %d, %v", probe, members, got, ok, wantDown, okDown)
				}
			}
		})
	}
}

func TestCostsTakeTheirSizeFromTheLargest(t *testing.T) {
	var set costs
	set.add(4095)
	bytes := 0
	for _, level := range set.levels {
		bytes += 8 * len(level)
	}
	if bytes > 600 {
		t.Errorf("a set up to 4095 takes %d bytes, want at most 600", bytes)
	}
}
