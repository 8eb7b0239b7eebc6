package memory

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"nearline/features"
	"nearline/pipeline"
)

// BenchmarkBytesOfAKey says what a key takes in the memory of a replica: of one that keeps its partition, and of one that has it in its own store. Run it with
// -benchtime=1x. The figures of docs/features.md for max_keys are of it.
func BenchmarkBytesOfAKey(b *testing.B) {
	count := func(names ...string) (fields []features.FieldConfig) {
		for _, name := range names {
			fields = append(fields, features.FieldConfig{Name: name, Count: &features.CountConfig{}})
		}
		return fields
	}
	for _, c := range []struct {
		name   string
		key    int // bytes
		texts  int // that its fields take of an update
		fields []features.FieldConfig
	}{
		{"key=16/counts=1", 16, 0, count("a")},
		{"key=16/counts=5", 16, 0, count("a", "b", "c", "d", "e")},
		{"key=1024/counts=1", 1024, 0, count("a")},
		{"key=16/last=20x16", 16, 1, []features.FieldConfig{{Name: "l", Last: &features.LastConfig{Of: "text", N: 20}}}},
		{"key=16/distinct", 16, 1, []features.FieldConfig{{Name: "d", Distinct: &features.DistinctConfig{Of: "text"}}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			const keys = 20_000
			view := features.NewView(features.ViewConfig{Name: "item", Key: "id", Fields: c.fields})
			restore := func(context.Context, int32, int64, func(key, value []byte) error) (int64, error) { return 1, nil }
			for b.Loop() {
				table := features.NewTable(view, "states", "0", restore, slog.New(slog.DiscardHandler), nil)
				store := New()
				sink := features.Sink{View: view, Store: store, Source: "s"}
				heap := func() float64 {
					runtime.GC()
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					return float64(m.HeapAlloc)
				}
				states := make([]pipeline.Output, 0, keys)
				empty := heap()
				for from := 0; from < keys; from += 2_000 {
					var rows []*pipeline.Row
					for i := from; i < from+2_000; i++ {
						key := fmt.Sprintf("%0*d", c.key, i)
						for n := range 20 {
							read := []pipeline.Value{pipeline.IntValue(int64(1_000 + n))}
							for range c.texts {
								read = append(read, pipeline.StringValue(fmt.Sprintf("text-%011d", n)))
							}
							rows = append(rows, &pipeline.Row{Record: &pipeline.Record{Key: []byte(key)}, Read: read})
						}
					}
					if err := table.Run(b.Context(), rows); err != nil {
						b.Fatal(err)
					}
					outputs, err := table.Changes()
					if err != nil {
						b.Fatal(err)
					}
					table.Keep()
					states = append(states, outputs...)
				}
				written := 0
				for _, o := range states {
					written += cap(o.Key) + cap(o.Value)
				}
				kept := heap() - empty - float64(written)
				before := heap()
				for from := 0; from < keys; from += 1_000 {
					var records []*pipeline.Record
					for i, o := range states[from : from+1_000] {
						records = append(records, &pipeline.Record{Key: o.Key, Value: o.Value, Offset: int64(from + i)})
					}
					if err := sink.Apply(b.Context(), records); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(kept/keys, "B/kept")
				b.ReportMetric((heap()-before)/keys, "B/stored")
				runtime.KeepAlive(table)
				runtime.KeepAlive(store)
				runtime.KeepAlive(states)
			}
		})
	}
}
