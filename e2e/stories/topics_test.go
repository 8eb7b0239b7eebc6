package stories

import (
	"context"
	"fmt"
	"net/http"
	"testing"
)

// TestTopicThatDoesNotExistYet starts the service before its input topic is there: it waits, says so, and begins by itself.
func TestTopicThatDoesNotExistYet(t *testing.T) {
	t.Parallel()
	s := begin(t, "waiting")
	s.outputs(6)
	a := s.replica("a")
	a.expectStream(http.StatusServiceUnavailable, "topic "+s.raw+" does not exist: create it, and the pipeline begins by itself")
	if lines := a.logged(`"the pipeline waits"`, s.raw); len(lines) == 0 {
		t.Errorf("its log does not say that it waits; see %s", a.log)
	}

	s.input(6)
	s.produce(200)
	a.expectStream(http.StatusOK, "")
	s.expectScored()
}

// TestPartitionsAddedWhileRunning writes to new partitions at once: the service finds them within a minute, and reads them from
// their beginning. A key may have moved to another partition, where it has an order of its own.
func TestPartitionsAddedWhileRunning(t *testing.T) {
	t.Parallel()
	s := begin(t, "growing")
	s.topics(3)
	s.replica("a")
	s.replica("b")
	s.produce(300)
	s.awaitEffects(300)

	s.addPartitions(9)
	s.await("events in every new partition", func(context.Context) error {
		s.produce(keys)
		if n := s.ledger.inPartition(); len(n) < 9 {
			return fmt.Errorf("there are %v by partition", n)
		}
		return nil
	})
	s.produce(1000)
	s.expectShared(9, "a", "b")
	s.produce(300)
	s.expectScored()
}
