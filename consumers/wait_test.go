//go:build synctests

package consumers_test

import (
	"sync"
	"testing"
	"time"

	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// TestPartitionThatIsGivenToAMemberAtRestIsReadSoon has a member at rest, whose fetch waits at the broker, given what another had: that fetch does not
// have the new partitions, which wait for its end.
func TestPartitionThatIsGivenToAMemberAtRestIsReadSoon(t *testing.T) {
	for phase := range 6 {
		kafkatest.Run(t, kafkatest.Shape{Partitions: 6}, func(w *kafkatest.World) {
			var mu sync.Mutex // guards all below
			var given []int32
			var polled time.Time
			line, other := w.Line(), w.Line()
			c := config(w, line, 0)
			c.Lost = func(partitions []int32) { // it is told of what it is given, too
				mu.Lock()
				defer mu.Unlock()
				given = partitions
			}
			staying := small(cycle(c, new(kafkatest.Model)))
			staying.At = func(p pipeline.Point) {
				if p == pipeline.PointPolled {
					mu.Lock()
					defer mu.Unlock()
					polled = time.Now()
				}
			}
			stays := w.Start(staying, line)
			leaves := w.Start(small(cycle(config(w, other, 1), new(kafkatest.Model))), other)
			time.Sleep(20 * time.Second)
			keys := committedKeys(w)
			time.Sleep(20*time.Second + time.Duration(phase)*770*time.Millisecond)
			mu.Lock()
			given = nil
			mu.Unlock()
			if err := leaves.Stop(); err != nil {
				t.Error(err)
			}
			to := func() []int32 {
				mu.Lock()
				defer mu.Unlock()
				return given
			}
			for len(to()) == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			sent := time.Now()
			w.ProduceEntries([]kafkatest.Entry{{Number: 20, Kind: kafkatest.Good, Key: keys[to()[0]]}})
			finish(t, w, stays)
			mu.Lock()
			defer mu.Unlock()
			if waited := polled.Sub(sent); waited < 0 || waited > time.Second {
				t.Errorf("phase %d: a record of a partition that was given waited for %v: want no longer than a fetch waits, half a second", phase, waited)
			}
		})
	}
}
