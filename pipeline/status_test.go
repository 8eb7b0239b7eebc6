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

func TestStatusMayBeNil(*testing.T) {
	var s *Status
	s.took(1)
	s.turned()
	s.failed(BlamePassing, errors.New("x"))
	_ = s.inHand()
}
