package torture

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The replicas also aggregate what they score: by item, the number of reviews, the sum of their numbers, that sum with a half-life, and the
// three largest. At the end the checker computes the same from the input, all at once, and compares.

// View that the replicas keep, in the terms of their configuration. Prefix is that of its topics.
type View struct {
	Name, Prefix string
	// Redis is the address of the store that has the view; "" is the replicas' memory.
	Redis string
}

// viewHalfLife of the decayed sum: much less than a run takes.
const viewHalfLife = 10 * time.Second

// Section is the one of features in a replica's configuration.
func (v View) Section(partitions int) map[string]any {
	of := map[string]any{"of": "number"}
	store := map[string]any{}
	if v.Redis != "" {
		store["redis"] = map[string]any{"addresses": []string{v.Redis}, "timeout": "1s"}
	}
	return map[string]any{
		"store": store, "topics": v.Prefix, "partitions": partitions, "dead_letters": v.Prefix + ".dlq",
		"views": []any{map[string]any{"name": v.Name, "key": "item_id", "time": "created_at", "fields": []any{
			map[string]any{"name": "count", "count": map[string]any{}},
			map[string]any{"name": "sum", "sum": of},
			map[string]any{"name": "lately", "sum": map[string]any{"of": "number", "half_life": viewHalfLife.String()}},
			map[string]any{"name": "top", "top": map[string]any{"of": "review_id", "by": of, "n": topN}},
		}}},
	}
}

const topN = 3

func (v View) group() string   { return strings.ReplaceAll(v.Prefix, ".", "-") + "-" + v.Name }
func (v View) updates() string { return v.Prefix + "." + v.Name + ".updates" }
func (v View) states() string  { return v.Prefix + "." + v.Name + ".state" }
func (v View) topics() []string {
	return []string{v.updates(), v.states(), v.Prefix + ".dlq"}
}

// scored is what the input says of a record, where it became a result.
type scored struct {
	item   uint32
	number uint32
	at     int64 // milliseconds
}

// items numbers the items that there are.
type items struct {
	numbers map[string]uint32
	names   []string
}

func (n *items) number(name string) uint32 {
	if number, known := n.numbers[name]; known {
		return number
	}
	if n.numbers == nil {
		n.numbers = map[string]uint32{}
	}
	number := uint32(len(n.names)) //nolint:gosec // as many as keys
	n.numbers[name], n.names = number, append(n.names, name)
	return number
}

// meaning of an input record for the view; false is none.
func (n *items) meaning(r *kgo.Record) (scored, bool) {
	var review struct {
		Item   string  `json:"item_id"`
		Number *uint32 `json:"number"`
		Said   int64   `json:"created_at"`
	}
	if json.Unmarshal(r.Value, &review) != nil || review.Item == "" || review.Number == nil {
		return scored{}, false
	}
	return scored{n.number(review.Item), *review.Number, counted(r.Timestamp.UnixMilli(), review.Said)}, true
}

// counted is the time by which an event counts: its own, or when it was written if that is earlier and a time at all. What the load writes before 1973 is none.
func counted(written, said int64) int64 {
	const year1973 = 100_000_000_000
	if said == 0 || written > year1973 && written < said {
		return written
	}
	return said
}

// aggregate of one item.
type aggregate struct {
	count, sum uint64
	lately     float64 // as of latest
	latest     int64
	top        []uint32
}

// aggregates of all that was scored.
func aggregates(all []scored, items int) []aggregate {
	by := make([]aggregate, items)
	for _, s := range all {
		by[s.item].latest = max(by[s.item].latest, s.at)
	}
	for _, s := range all {
		a := &by[s.item]
		a.count++
		a.sum += uint64(s.number)
		a.lately += float64(s.number) * math.Exp2(-float64(a.latest-s.at)/float64(viewHalfLife.Milliseconds()))
		a.top = append(a.top, s.number)
		slices.SortFunc(a.top, func(x, y uint32) int { return cmp.Compare(y, x) })
		a.top = a.top[:min(len(a.top), topN)]
	}
	return by
}

// state of an item, as its topic has it.
type state struct {
	Fields map[string]struct {
		Sum  float64 `json:"sum"`
		At   int64   `json:"at"`
		List []struct {
			Of string  `json:"of"`
			By float64 `json:"by"`
		} `json:"list"`
	} `json:"fields"`
}

// differs says how a state is not that of the aggregate; "" is not at all.
func (a *aggregate) differs(value []byte) string {
	var s state
	if err := json.Unmarshal(value, &s); err != nil {
		return fmt.Sprintf("its state cannot be read: %v", err)
	}
	for mark, field := range s.Fields {
		name, _, _ := strings.Cut(mark, "#")
		switch name {
		case "count":
			if uint64(field.Sum) != a.count {
				return fmt.Sprintf("it counts %v reviews, and there are %d", field.Sum, a.count)
			}
		case "sum":
			if uint64(field.Sum) != a.sum {
				return fmt.Sprintf("its sum is %v, and should be %d", field.Sum, a.sum)
			}
		case "lately":
			if field.At != a.latest || math.Abs(field.Sum-a.lately) > 1e-6*max(1, a.lately) {
				return fmt.Sprintf("its decayed sum is %v at %d, and should be %v at %d", field.Sum, field.At, a.lately, a.latest)
			}
		case "top":
			var top []uint32
			for _, e := range field.List {
				if n, err := strconv.ParseUint(e.Of, 10, 32); err == nil && float64(n) == e.By {
					top = append(top, uint32(n))
				}
			}
			if !slices.Equal(top, a.top) {
				return fmt.Sprintf("its largest are %v, and should be %v", field.List, a.top)
			}
		}
	}
	if len(s.Fields) != 4 {
		return fmt.Sprintf("it has %d features, and should have 4", len(s.Fields))
	}
	return ""
}

// compare the states with what the input says.
func (r *run) compare(ctx context.Context, l *ledger) error {
	want := aggregates(l.scored(), len(l.items.names))
	last := map[string][]byte{}
	err := r.readAll(ctx, func(record *kgo.Record) {
		if !strings.HasPrefix(string(record.Key), "\x00") {
			last[string(record.Key)] = bytes.Clone(record.Value) // its batch is let go
		}
	}, r.view.states())
	if err != nil {
		return err
	}
	wrong := map[string]string{}
	for i, a := range want {
		name := l.items.names[i]
		value, there := last[name]
		switch {
		case a.count == 0 && !there:
		case !there:
			wrong[name] = fmt.Sprintf("it has no state, and %d reviews", a.count)
		default:
			if difference := a.differs(value); difference != "" {
				wrong[name] = difference
			}
		}
	}
	for name := range last {
		if _, known := l.items.numbers[name]; !known {
			wrong[name] = "no review is of it"
		}
	}
	if r.store != nil {
		stored, err := r.store.differ(ctx, r.view.Name, l.items.names, want)
		if err != nil {
			return err
		}
		maps.Copy(wrong, stored)
	}
	l.counts.Aggregates, l.counts.Miscounted = len(want), len(wrong)
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		l.note("item %q: %s", name, wrong[name])
	}
	return nil
}
