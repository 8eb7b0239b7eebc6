package stories

import (
	"fmt"
	"testing"
)

// TestReplicasShareThePartitions has replicas join while events come, one, two, then four: all partitions are shared, and
// nothing is lost, doubled or out of order meanwhile.
func TestReplicasShareThePartitions(t *testing.T) {
	for _, partitions := range []int{6, 12} {
		t.Run(fmt.Sprintf("%d partitions", partitions), func(t *testing.T) {
			s := begin(t, fmt.Sprintf("sharing-%d", partitions))
			s.topics(partitions)
			s.replica("a")
			load := s.load(300)
			s.expectShared(partitions, "a")

			s.replica("b")
			s.expectShared(partitions, "a", "b")

			s.replica("c")
			s.replica("d")
			s.expectShared(partitions, "a", "b", "c", "d")

			load.stop()
			s.expectScored()
		})
	}
}
