package stories

import (
	"context"
	"fmt"
	"testing"
)

// TestRetentionOvertakesTheGroup removes records that the group has not read, while the service is away. They are counted and
// logged as an error, and what is still there is scored.
func TestRetentionOvertakesTheGroup(t *testing.T) {
	t.Parallel()
	s := begin(t, "retention")
	s.topics(6)
	a := s.replica("a")
	s.produce(300)
	s.awaitEffects(300)
	a.stop()

	s.produce(1500)
	removed := s.removeOldest(0.4)
	if removed == 0 {
		t.Fatal("nothing was removed: nothing can be shown")
	}

	a.start()
	s.await("the loss to be counted", func(context.Context) error {
		if got := a.metric("nearline_consumer_retention_lost_records_total"); got != float64(removed) {
			return fmt.Errorf("nearline_consumer_retention_lost_records_total is %v, want %d", got, removed)
		}
		return nil
	})
	lines := a.logged(`"level":"ERROR"`, "retention removed records before they were read", "give the topic a longer retention")
	if len(lines) == 0 {
		t.Errorf("its log has no error that says what is lost; see %s", a.log)
	}
	s.produce(300)
	s.expectScored()
}
