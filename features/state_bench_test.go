package features

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkDecodeState is most of what a restore costs.
func BenchmarkDecodeState(b *testing.B) {
	view, written := writtenState(b)
	b.SetBytes(int64(len(written)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := view.DecodeState(written); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeState(b *testing.B) {
	view, written := writtenState(b)
	state, _, err := view.DecodeState(written)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := view.encodeState(state); err != nil {
			b.Fatal(err)
		}
	}
}

// writtenState of a key with fifty events, in a view of every kind but distinct, whose sketch would be most of it.
func writtenState(tb testing.TB) (*View, []byte) {
	c := shop()
	c.Fields = append(c.Fields[:8:8], c.Fields[9])
	view := NewView(c)
	state := view.newState()
	for _, e := range randomEvents(rand.New(rand.NewPCG(1, 1)), 50) {
		view.add(state, view.updateOf(e))
	}
	written, err := view.encodeState(state)
	if err != nil {
		tb.Fatal(err)
	}
	return view, written
}
