package stories

import (
	"net/http"
	"testing"
)

// TestTopicThatDoesNotExistYet starts the service before its input topic is there: it waits, says so, and begins by itself.
func TestTopicThatDoesNotExistYet(t *testing.T) {
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
	s := begin(t, "growing")
	s.topics(3)
	s.replica("a")
	s.replica("b")
	s.produce(300)
	s.awaitEffects(300)

	s.grow(9)
	if new := s.produce(1200)[3:]; min(new[0], new[1], new[2], new[3], new[4], new[5]) == 0 {
		t.Fatalf("the new partitions got %v events, want some in each", new)
	}
	s.expectShared(9, "a", "b")
	s.produce(300)
	s.expectScored()
}
