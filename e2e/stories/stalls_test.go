package stories

import (
	"fmt"
	"time"
)

// stalls of the outputs while events come all the time: in any of the input's partitions, and in all at once.
type stalls struct {
	last         map[string]time.Time // by the input's partition
	lastOfAll    time.Time
	inOne, inAll time.Duration
}

func (s *stalls) begin(now time.Time) { *s = stalls{last: map[string]time.Time{}, lastOfAll: now} }

func (s *stalls) see(partition string, now time.Time) {
	if last, seen := s.last[partition]; seen {
		s.inOne = max(s.inOne, now.Sub(last))
	}
	s.inAll = max(s.inAll, now.Sub(s.lastOfAll))
	s.last[partition], s.lastOfAll = now, now
}

// watchStalls from now on.
func (l *ledger) watchStalls() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalls.begin(time.Now())
}

// longestStall since watchStalls, in words.
func (l *ledger) longestStall() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	const precision = 10 * time.Millisecond
	return fmt.Sprintf("the longest stall of one partition: %v, of all at once: %v",
		l.stalls.inOne.Round(precision), l.stalls.inAll.Round(precision))
}
