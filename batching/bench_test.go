package batching

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// reviewLengths are token counts as those of reviews: most are short, some run into the limit of 512.
func reviewLengths(n int) []int {
	rnd := rand.New(rand.NewPCG(1, 2))
	lengths := make([]int, n)
	for i := range lengths {
		lengths[i] = min(512, max(3, int(math.Exp(4.3+0.8*rnd.NormFloat64()))))
	}
	return lengths
}

// BenchmarkPolicy keeps a number of rows waiting: each round forms a batch and adds as many rows as it took.
func BenchmarkPolicy(b *testing.B) {
	lengths := reviewLengths(1 << 16)
	for _, items := range []int{1, 32} {
		for _, waiting := range []int{64, 8_000, 100_000} {
			b.Run(fmt.Sprintf("items=%d/waiting=%d", items, waiting), func(b *testing.B) {
				b.ReportAllocs()
				tb := newTable(DefaultMaxWait, Limits{MaxItems: items, MaxTokens: 1 << 16, MaxPadding: 1.1, Bound: 1 << 20})
				for i := range waiting {
					tb.push(0, Stream, lengths[i%len(lengths)], 0)
				}
				var batch batch
				var now time.Duration
				rows := 0
				for b.Loop() {
					now++
					batch.reset()
					tb.policy.next(now, 1, &tb.backlog, &batch)
					rows += len(batch.rows)
					for _, r := range batch.rows {
						tb.seq++
						r.seq, r.arrived, r.cost = tb.seq, now, lengths[rows%len(lengths)]
						tb.backlog.push(r)
					}
				}
				seconds := b.Elapsed().Seconds()
				b.ReportMetric(float64(b.N)/seconds, "picks/s")
				b.ReportMetric(float64(rows)/seconds, "rows/s")
				b.ReportMetric(seconds*1e9/float64(rows), "ns/row")
			})
		}
	}
}

// BenchmarkDevice measures what the scheduler costs a row, from Add to Wait, with a model that takes no time: members hand
// over cycles of 4,096 rows each.
func BenchmarkDevice(b *testing.B) {
	lengths := reviewLengths(4096)
	for _, items := range []int{1, 32} {
		for _, members := range []int{1, 2, 8} {
			for _, bound := range []int{1 << 10, 1 << 16} {
				b.Run(fmt.Sprintf("items=%d/members=%d/bound=%d", items, members, bound), func(b *testing.B) {
					b.ReportAllocs()
					d := NewDevice(DeviceConfig{Name: "bench", Slots: 2, MaxWait: DefaultMaxWait})
					ctx, cancel := context.WithCancel(b.Context())
					var device, all sync.WaitGroup
					device.Go(func() { _ = d.Run(ctx) })
					q := NewQueue(d, "q", Limits{MaxItems: items, MaxTokens: 1 << 16, MaxPadding: 1.1, Bound: bound},
						func(int, []Item[int]) error { return nil })
					cycle := func() {
						g := q.Group(Stream)
						for i, length := range lengths {
							if err := g.Add(ctx, Item[int]{Cost: length, Value: i}); err != nil {
								b.Error(err)
							}
						}
						g.Wait(ctx)
					}
					for b.Loop() {
						for range members {
							all.Go(cycle)
						}
						all.Wait()
					}
					rows, seconds := float64(b.N*members*len(lengths)), b.Elapsed().Seconds()
					b.ReportMetric(rows/seconds, "rows/s")
					b.ReportMetric(seconds*1e9/rows, "ns/row")
					stats := d.Stats()
					b.ReportMetric(float64(stats.Rows)/float64(stats.Batches), "rows/batch")
					cancel()
					device.Wait()
				})
			}
		}
	}
}

// BenchmarkOrder compares what a batch of 32 costs over its rows alone when neighbours in length join it, and when those
// join that came next: with 4,096 reviews waiting, and no bound on padding that would make either batch smaller.
func BenchmarkOrder(b *testing.B) {
	lengths := reviewLengths(1 << 16)
	ratio := map[Order]float64{}
	for _, order := range []Order{FirstCome, Nearest} {
		b.Run([]string{"nearest", "first_come"}[order], func(b *testing.B) {
			b.ReportAllocs()
			tb := newTable(DefaultMaxWait, Limits{MaxItems: 32, MaxTokens: 1 << 20, MaxPadding: 1 << 20, Order: order, Bound: 1 << 20})
			for i := range 4096 {
				tb.push(0, Stream, lengths[i], 0)
			}
			var batch batch
			rows, real, padded := 0, 0, 0
			for b.Loop() {
				batch.reset()
				tb.policy.next(0, 1, &tb.backlog, &batch)
				real += batch.real
				padded += batch.longest * len(batch.rows)
				for _, r := range batch.rows {
					rows++
					tb.seq++
					r.seq, r.cost = tb.seq, lengths[rows%len(lengths)]
					tb.backlog.push(r)
				}
			}
			ratio[order] = float64(padded) / float64(real)
			b.ReportMetric(ratio[order], "padding_ratio")
			if order == Nearest && ratio[FirstCome] > 0 {
				b.ReportMetric(ratio[FirstCome]/ratio[Nearest], "fewer_tokens_ratio")
			}
		})
	}
}
