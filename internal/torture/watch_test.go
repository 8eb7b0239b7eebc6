package torture

import (
	"testing"
	"time"
)

func TestStallIsTheLongestGapThatTouchesAFault(t *testing.T) {
	var w watch
	zero := time.Now()
	at := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	for _, s := range []float64{0, 1, 1.05, 4, 4.01, 4.6} {
		w.see(at(s), 0)
		w.see(at(6+s), 1)
		w.see(at(6+s+0.3), 2) // a partition that goes on does not hide one that does not
	}
	for _, c := range []struct {
		from, to float64
		want     time.Duration
	}{
		{0, 0.5, time.Second},                // it is in the midst of a gap
		{1.01, 2, 2950 * time.Millisecond},   // one that begins after it
		{1.01, 5, 2950 * time.Millisecond},   // the longest of several
		{4.005, 4.1, 590 * time.Millisecond}, // and not those before
		{5, 6, 0},
		{7.2, 7.25, 2950 * time.Millisecond},
	} {
		if got := w.stall(at(c.from), at(c.to)); got.Round(time.Millisecond) != c.want {
			t.Errorf("from %v to %v: got %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
