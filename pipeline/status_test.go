package pipeline

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatusIsHealthyUntilAFaultAndAfterTheNextCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Status)
		if !s.Snapshot().Healthy {
			t.Error("a member that has had nothing to do is unhealthy")
		}
		s.took(5)
		if got := s.Snapshot(); !got.Healthy || got.Records != 5 {
			t.Errorf("with 5 records in hand: %+v", got)
		}
		broken := errors.New("broken")
		s.failed(BlamePassing, broken)
		since := time.Now()
		time.Sleep(time.Second)
		s.failed(BlamePermanent, broken)
		if got := s.Snapshot(); got.Healthy || got.Blame != BlamePermanent || !got.Since.Equal(since) || got.Records != 0 {
			t.Errorf("after two faults: %+v, want unhealthy since the first", got)
		}
		s.turned()
		if got := s.Snapshot(); !got.Healthy || got.Err != nil || got.Cycles != 1 || got.LastCommit.IsZero() {
			t.Errorf("after a commit: %+v", got)
		}
		s.failed(BlameRecord, broken)
		if !s.Snapshot().Healthy {
			t.Error("a record's fault made the stream unhealthy")
		}
		s.failed(BlamePassing, broken)
		time.Sleep(recovered + time.Second)
		if !s.Snapshot().Healthy {
			t.Error("a member on an idle topic stays unhealthy long after its last fault")
		}
	})
}

func TestStatusTellsANewFaultsOwnTimeAfterARecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Status)
		s.failed(BlamePassing, errors.New("broken"))
		// Nothing comes, so no commit ends the first fault.
		time.Sleep(24 * time.Hour)
		s.failed(BlamePassing, errors.New("broken again"))
		if got := s.Snapshot(); got.Healthy || !got.Since.Equal(time.Now()) {
			t.Errorf("got %+v, want a fault since now, and not since yesterday", got)
		}
	})
}

func TestStatusMayBeNil(*testing.T) {
	var s *Status
	s.took(1)
	s.turned()
	s.gave()
	s.failed(BlamePassing, errors.New("x"))
	_ = s.inHand()
}
