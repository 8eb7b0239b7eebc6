package dev

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestItemsAreThoseThatMostResultsAreOf(t *testing.T) {
	b := NewBoard(testFacts(), noon, plainRenderer())
	for i, n := range []int{3, 9, 1, 9, 5, 0} {
		for range n {
			b.Add(Scored{At: noon, ItemID: fmt.Sprint("item-", i)})
		}
	}
	b.Add(Scored{At: noon})
	if got, want := b.busiest(4), []string{"item-1", "item-3", "item-4", "item-0"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for i := range 3 * remembered {
		b.Add(Scored{At: noon, ItemID: fmt.Sprint("once-", i)})
	}
	if len(b.seen) > remembered {
		t.Errorf("%d items are remembered, want at most %d", len(b.seen), remembered)
	}
}

func TestAnItemMovesFromWhereItWasTenSecondsAgo(t *testing.T) {
	b := NewBoard(testFacts(), noon, plainRenderer())
	look := func(second int, sentiment float64) Item {
		item := Item{At: noon.Add(time.Duration(second) * time.Second), ItemID: "kettle", Sentiment: sentiment, Reviews: 12}
		item.Before = b.before(item)
		b.Add(Items{item})
		return item
	}
	for second := range 30 {
		look(second, 0.9-float64(second)/100)
	}
	item := look(30, 0.6)
	if want := 0.9 - 0.19; item.Before != want {
		t.Errorf("before it was %v, want %v", item.Before, want)
	}
	if got, want := (Items{item}).Line(), "item     kettle: sentiment 0.60 ▼ from 0.71, 12 reviews, popularity 0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for i := range 3 * tracked {
		b.Add(Items{{At: noon, ItemID: fmt.Sprint("item-", i)}})
	}
	if len(b.past) > tracked {
		t.Errorf("the past of %d items is kept, want at most %d", len(b.past), tracked)
	}
}
