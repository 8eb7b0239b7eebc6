package pipeline

import (
	"sync"
	"time"
)

// Status is the health of one member's cycle, for people and for probes. Silence is not a fault: a member on an idle topic
// is healthy. Safe for concurrent use; a nil *Status keeps nothing.
type Status struct {
	mu      sync.Mutex // guards all below
	now     Snapshot
	failure time.Time // the last one
	started bool
}

// recovered is how long after its last fault a member that has nothing to do counts as healthy again. It is longer than
// the longest wait between two attempts, so a member that keeps failing never does.
const recovered = permanentBackoff + 15*time.Second

// Snapshot is what a member's cycle last did.
type Snapshot struct {
	// Healthy is false from a fault until the next committed cycle, or until no attempt has failed for a while.
	Healthy bool
	Blame   Blame
	Err     error
	Since   time.Time
	// Records in hand now; Cycles committed so far, and the records in them.
	Records   int
	Cycles    int64
	Committed int64
	// LastCommit is zero before the first.
	LastCommit time.Time
}

// Snapshot of the status. A member that has not had its first record yet is healthy.
func (s *Status) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return Snapshot{Healthy: true}
	}
	now := s.now
	if !now.Healthy && s.over() {
		now.Healthy = true
	}
	return now
}

// over says that the last fault is long enough ago. mu is held.
func (s *Status) over() bool { return time.Since(s.failure) > recovered }

func (s *Status) took(records int) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started, s.now.Healthy = true, true
	}
	s.now.Records = records
}

// gave is told that the records in hand were given back.
func (s *Status) gave() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Records = 0
}

func (s *Status) turned() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
	s.now.Committed += int64(s.now.Records)
	s.now.Healthy, s.now.Blame, s.now.Err, s.now.Records = true, BlameNobody, nil, 0
	s.now.LastCommit = time.Now()
	s.now.Cycles++
}

func (s *Status) failed(blame Blame, err error) {
	if s == nil || blame == BlameRecord || blame == BlameNobody {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started || s.now.Healthy || s.over() {
		s.now.Since = time.Now()
	}
	s.started, s.failure = true, time.Now()
	s.now.Healthy, s.now.Blame, s.now.Err, s.now.Records = false, blame, err, 0
}

func (s *Status) inHand() int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Records
}
