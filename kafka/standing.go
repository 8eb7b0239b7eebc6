package kafka

import (
	"crypto/sha256"
	"sync"
	"time"
)

// digest tells one content of credentials from another without keeping it.
type digest [sha256.Size]byte

// digestOf the parts of a content.
func digestOf(parts ...string) digest {
	all := sha256.New()
	for _, part := range parts {
		one := sha256.Sum256([]byte(part))
		all.Write(one[:])
	}
	return digest(all.Sum(nil))
}

const (
	// grace is how long refused credentials may still be right: whoever rotates changes a file here and a setting there, and one of them comes first. A
	// guess: the mount of a Kubernetes secret follows within a minute, but the operator's own steps come seconds apart.
	grace = 30 * time.Second
	// doubt is how long a refused connection waits for the change that explains it, instead of failing: see standing.wait. All connections to a
	// broker wait in one line, heartbeats too, and no session is shorter than this.
	doubt = 2 * time.Second
	// lookAgain is how often the files are read meanwhile.
	lookAgain = 50 * time.Millisecond
)

// standing is what the other side thinks of one kind of credentials of this process. It decides whether a refusal may pass: while something has
// just changed, here or there, and never because of a file's time, which a copy or a mount may set to anything.
//
// Safe for concurrent use.
type standing[C comparable] struct {
	mu       sync.Mutex
	accepted C         // by anybody, last
	known    bool      // that anything was accepted
	shown    C         // last
	since    time.Time // when that was first shown
	// refused is what each address refuses, since when, and when it last did.
	refused map[string]refused[C]
}

type refused[C comparable] struct {
	content C
	since   time.Time
	latest  time.Time
}

// show a content: from the first time on it is new for a while.
func (s *standing[C]) show(content C) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown != content {
		s.shown, s.since = content, time.Now()
	}
}

// accept a content at an address. Fresh says that another one was accepted last.
func (s *standing[C]) accept(address string, content C) (fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refused, address)
	fresh = s.known && s.accepted != content
	s.accepted, s.known = content, true
	return fresh
}

// refuse a content at an address, where current is the content that there is by now. It says whether that may pass.
func (s *standing[C]) refuse(address string, used, current C) (mayPass bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.refused == nil {
		s.refused = make(map[string]refused[C])
	}
	// What has not come again for so long was another time: whoever is refused tries again after 30 seconds at the latest.
	before := s.refused[address]
	if before.content != used || before.since.IsZero() || now.Sub(before.latest) > recurring {
		before = refused[C]{content: used, since: now}
	}
	before.latest = now
	s.refused[address] = before
	switch {
	case used != current: // and nobody has tried that yet
		return true
	case !s.known:
		return false
	case used == s.accepted: // and now it is not: the change may be under way
		return now.Sub(s.refused[address].since) < grace
	default: // new here, and perhaps not there yet
		return now.Sub(s.since) < grace
	}
}

// wait for a change that explains a refusal at an address, as long as the refusals there are young. Changed looks for one; ended is closed when nobody
// wants to know any more.
func (s *standing[C]) wait(address string, ended <-chan struct{}, changed func() bool) {
	s.mu.Lock()
	left := doubt - time.Since(s.refused[address].since)
	s.mu.Unlock()
	if left <= 0 {
		return
	}
	over := time.NewTimer(min(left, doubt/2))
	defer over.Stop()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for !changed() {
		select {
		case <-ended:
			return
		case <-over.C:
			return
		case <-again.C:
		}
	}
}
