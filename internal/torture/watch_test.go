package torture

import (
	"testing"
	"time"
)

func TestWatchRemembersTheGapsOfEachPartition(t *testing.T) {
	var w watch
	zero := time.Now()
	at := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	for _, s := range []float64{0, 1, 1.05, 4} {
		w.see(at(s), 0)
		w.see(at(s+0.3), 1) // a partition that goes on does not hide one that does not
	}
	want := []gap{{0, at(0), at(1)}, {1, at(0.3), at(1.3)}, {0, at(1.05), at(4)}, {1, at(1.35), at(4.3)}}
	if len(w.gaps) != len(want) {
		t.Fatalf("got %v, want %v", w.gaps, want)
	}
	for i := range want {
		if w.gaps[i] != want[i] {
			t.Errorf("gap %d: got %v, want %v", i, w.gaps[i], want[i])
		}
	}
}
