package dev

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Item is what the stream has learned of one item by now.
type Item struct {
	At         time.Time
	ItemID     string
	Sentiment  float64 // from 0 to 1
	Reviews    int64
	Popularity float64
	// Before is the sentiment some ten seconds earlier; it is the same where nobody looked then.
	Before float64
}

// Items are what was found at one look.
type Items []Item

// LookUp says what is known of an item; false is nothing.
type LookUp func(ctx context.Context, itemID string) (Item, bool)

const (
	shownItems = 4
	// trend is how far back a movement is measured.
	trend = 10 * time.Second
	// tracked bounds the items whose past is kept, and remembered those that are counted.
	tracked    = 64
	remembered = 4096
)

// followItems looks up the items that most is said of, until ctx ends.
func (v *View) followItems(ctx context.Context, emit func([]any)) {
	every := time.Second
	if !v.cfg.Live {
		every = trend / 2 // a line each, among the reviews
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		v.mu.Lock()
		busiest := v.board.busiest(shownItems)
		v.mu.Unlock()
		var found Items
		for _, id := range busiest {
			item, ok := v.cfg.LookUp(ctx, id)
			if !ok {
				continue
			}
			v.mu.Lock()
			item.Before = v.board.before(item)
			v.mu.Unlock()
			found = append(found, item)
		}
		if len(found) > 0 {
			emit([]any{found})
		}
		if v.cfg.Ranking != nil {
			if ranking, ok := v.cfg.Ranking(); ok {
				emit([]any{ranking})
			}
		}
	}
}

// sees counts a result of an item.
func (b *Board) sees(itemID string) {
	if itemID == "" {
		return
	}
	if len(b.seen) >= remembered && b.seen[itemID] == 0 {
		clear(b.seen) // the busy ones are back in a moment
	}
	b.seen[itemID]++
}

// busiest are the items that most results are of.
func (b *Board) busiest(n int) []string {
	counts := b.seen
	ids := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	return ids[:min(n, len(ids))]
}

// before is the sentiment of the item some ten seconds ago.
func (b *Board) before(item Item) float64 {
	for _, old := range b.past[item.ItemID] {
		if item.At.Sub(old.At) <= trend+time.Second {
			return old.Sentiment
		}
	}
	return item.Sentiment
}

func (b *Board) look(items Items) {
	b.items = items
	for _, item := range items {
		if len(b.past) >= tracked && b.past[item.ItemID] == nil {
			clear(b.past)
		}
		past := slices.DeleteFunc(b.past[item.ItemID], func(old Item) bool { return item.At.Sub(old.At) > trend+time.Second })
		b.past[item.ItemID] = append(past, item)
	}
}

// arrow of a movement that is worth one.
func (i Item) arrow() string {
	switch moved := i.Sentiment - i.Before; {
	case moved >= 0.005:
		return "▲"
	case moved <= -0.005:
		return "▼"
	default:
		return "="
	}
}

// Line is what is known of the items, a line each.
func (items Items) Line() string {
	lines := make([]string, len(items))
	for i, item := range items {
		lines[i] = item.line()
	}
	return strings.Join(lines, "\n")
}

func (i Item) line() string {
	moved := ""
	if i.arrow() != "=" {
		moved = fmt.Sprintf(" %s from %.2f", i.arrow(), i.Before)
	}
	return fit(fmt.Sprintf("item     %s: sentiment %.2f%s, %s reviews, popularity %.0f",
		clean(i.ItemID), i.Sentiment, moved, thousands(i.Reviews), i.Popularity), lineWidth, "…")
}

// items of the board as one line.
func (d *drawing) items(b *Board) string {
	if len(b.items) == 0 {
		return ""
	}
	var line strings.Builder
	line.WriteString("items")
	for _, item := range b.items {
		style := d.style.dim
		switch item.arrow() {
		case "▲":
			style = d.style.good
		case "▼":
			style = d.style.bad
		}
		fmt.Fprintf(&line, "   %s %s%s", clean(item.ItemID), style.Render(fmt.Sprintf("%.2f%s", item.Sentiment, item.arrow())),
			d.style.dim.Render(" of "+thousands(item.Reviews)))
	}
	return line.String()
}
