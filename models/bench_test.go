//go:build cgo

package models

import (
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"nearline/batching"
)

// reviews are texts of about 80 tokens on average, with the spread that reviews have.
func reviews(n int) []string { return words(n, 150, 3) }

// pace runs the sides in turn, round after round, so that what else the machine does strikes all alike, and returns each
// one's median rows a second, and its median ratio to the first.
func pace(b *testing.B, rows int, sides ...func() error) (rates, ratios []float64) {
	b.Helper()
	all, paired := make([][]float64, len(sides)), make([][]float64, len(sides))
	for b.Loop() {
		for i, side := range sides {
			began := time.Now()
			if err := side(); err != nil {
				b.Fatal(err)
			}
			rate := float64(rows) / time.Since(began).Seconds()
			all[i] = append(all[i], rate)
			paired[i] = append(paired[i], rate/all[0][len(all[0])-1])
		}
	}
	for i := range sides {
		rates, ratios = append(rates, median(all[i])), append(ratios, median(paired[i]))
	}
	return rates, ratios
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func shipped(b *testing.B, slots, threads int) *Model {
	b.Helper()
	c := DefaultConfig()
	c.Repository, c.Slots, c.Threads = "zoo", slots, threads
	return loaded(b, c, "sentiment", running(b, c))
}

// bareGraph runs texts through a model's graph and nothing else.
type bareGraph struct {
	slots []*BareSlot
	texts []*Prepared
}

func bare(b *testing.B, m *Model, texts []string) *bareGraph {
	b.Helper()
	slots, err := m.Bare()
	if err != nil {
		b.Fatal(err)
	}
	graph := &bareGraph{slots: slots}
	for _, in := range Texts(texts...) {
		prepared, err := m.Prepare(in)
		if err != nil {
			b.Fatal(err)
		}
		graph.texts = append(graph.texts, prepared)
	}
	return graph
}

// Tokens of all texts.
func (g *bareGraph) Tokens() (tokens int) {
	for _, text := range g.texts {
		tokens += text.Tokens()
	}
	return tokens
}

// Run all texts once, in their order, so many at a time, on all slots at once.
func (g *bareGraph) Run(batch int) error {
	var next atomic.Int64
	var slots errgroup.Group
	for _, s := range g.slots {
		slots.Go(func() error {
			for {
				end := int(next.Add(int64(batch)))
				if end-batch >= len(g.texts) {
					return nil
				}
				if err := s.Run(g.texts[end-batch : min(end, len(g.texts))]); err != nil {
					return err
				}
			}
		})
	}
	return slots.Wait()
}

// The whole way through tokenizer, scheduler and heads, against the graph alone on the same texts, and against batches of
// whatever comes first.
func BenchmarkPredict(b *testing.B) {
	texts := reviews(64)
	m := shipped(b, 0, 0)
	graph := bare(b, m, texts)
	b.ReportAllocs()
	rates, ratios := pace(b, len(texts),
		func() error { return graph.Run(1) },
		func() error { _, _, err := m.Predict(b.Context(), batching.Stream, Texts(texts...)); return err },
		func() error { return graph.Run(32) })
	b.ReportMetric(rates[1], "reviews/s")
	b.ReportMetric(rates[1]*float64(graph.Tokens())/float64(len(texts)), "tokens/s")
	b.ReportMetric(ratios[1], "of_bare")
	b.ReportMetric(ratios[2], "first_come_32_of_bare")
}

// One thread on each core against one run on all cores.
func BenchmarkThreads(b *testing.B) {
	texts := reviews(40)
	cores := runtime.GOMAXPROCS(0)
	many, one := bare(b, shipped(b, cores, 1), texts), bare(b, shipped(b, 1, cores), texts)
	rates, ratios := pace(b, len(texts), func() error { return many.Run(1) }, func() error { return one.Run(1) })
	b.ReportMetric(rates[0], "slots_reviews/s")
	b.ReportMetric(rates[1], "threads_reviews/s")
	b.ReportMetric(ratios[1], "threads_of_slots")
}
