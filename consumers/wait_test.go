//go:build synctests

package consumers_test

import (
	"testing"
	"time"

	"nearline/internal/kafkatest"
	"nearline/pipeline"
)

// TestPartitionThatIsGivenToAMemberAtRestIsReadSoon has a member at rest, whose fetch waits at the broker, given what another had: that fetch does not
// have the new partitions, which wait for its end.
func TestPartitionThatIsGivenToAMemberAtRestIsReadSoon(t *testing.T) {
	for phase := range 10 {
		kafkatest.In(t, kafkatest.Shape{Partitions: 6}, func(w *kafkatest.World) {
			var given, polled time.Time
			line, other := w.Line(), w.Line()
			c := config(w, line, 0)
			c.Lost = func([]int32) { given = time.Now() } // it is told of what it is given, too
			staying := small(cycle(c, new(kafkatest.Model)))
			staying.At = func(p pipeline.Point) {
				if p == pipeline.PointPolled {
					polled = time.Now()
				}
			}
			stays := w.Start(staying, line)
			leaves := w.Start(small(cycle(config(w, other, 1), new(kafkatest.Model))), other)
			time.Sleep(30*time.Second + time.Duration(phase)*470*time.Millisecond)
			if err := leaves.Stop(); err != nil {
				t.Error(err)
			}
			w.ProduceKinds(kafkatest.Good, kafkatest.Good, kafkatest.Good, kafkatest.Good, kafkatest.Good, kafkatest.Good, kafkatest.Good, kafkatest.Good)
			finish(t, w, stays)
			if waited := polled.Sub(given); waited > time.Second {
				t.Errorf("phase %d: records of partitions that were given wait for %v: want no longer than a fetch waits, half a second", phase, waited)
			}
		})
	}
}
