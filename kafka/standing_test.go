package kafka

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// at a time of the story, a content is accepted or refused.
type at struct {
	after   time.Duration
	does    string // accept, refuse, or refuse elsewhere
	used    string
	current string // content of the file by then; "" is what was used
	mayPass bool
}

func TestRefusalsPassOnlyWhileSomethingHasJustChanged(t *testing.T) {
	for name, story := range map[string][]at{
		"nothing was ever accepted":                                 {{does: "refuse", used: "a"}, {after: time.Second, does: "refuse", used: "a"}},
		"nothing was ever accepted, and the file has changed since": {{does: "refuse", used: "a", current: "b", mayPass: true}, {does: "refuse", used: "b"}},
		"the file came first": {
			{does: "accept", used: "a"}, {after: time.Hour, does: "refuse", used: "b", mayPass: true}, {after: 29 * time.Second, does: "refuse", used: "b", mayPass: true},
			{after: 2 * time.Second, does: "refuse", used: "b"}, {after: time.Hour, does: "accept", used: "b"}, {does: "refuse", used: "b", mayPass: true},
		},
		"the broker came first": {
			{does: "accept", used: "a"}, {after: time.Hour, does: "refuse", used: "a", mayPass: true}, {after: 29 * time.Second, does: "refuse", used: "a", mayPass: true},
			{after: 2 * time.Second, does: "refuse", used: "a"}, {does: "refuse", used: "a", current: "b", mayPass: true}, {does: "accept", used: "b"},
		},
		"an address that has not been used for long": {
			{does: "accept", used: "a"}, {does: "refuse elsewhere", used: "a", mayPass: true}, {after: 3 * time.Hour, does: "refuse elsewhere", used: "a", mayPass: true},
			{after: 29 * time.Second, does: "refuse elsewhere", used: "a", mayPass: true}, {after: 2 * time.Second, does: "refuse elsewhere", used: "a"},
			{after: 31 * time.Second, does: "refuse elsewhere", used: "a"},
		},
		"one broker refuses what another accepts": {
			{does: "accept", used: "a"}, {does: "refuse elsewhere", used: "a", mayPass: true}, {after: time.Minute, does: "accept", used: "a"},
			{does: "refuse elsewhere", used: "a"}, {does: "refuse", used: "a", mayPass: true},
		},
		"a file that is changed back": {
			{does: "accept", used: "a"}, {does: "refuse", used: "b", mayPass: true}, {after: time.Minute, does: "refuse", used: "b"},
			{does: "accept", used: "a"}, {after: time.Hour, does: "refuse", used: "b", mayPass: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s standing[string]
				for i, step := range story {
					time.Sleep(step.after)
					address := "k1:9092"
					if step.does == "refuse elsewhere" {
						address = "k2:9092"
					}
					s.show(step.used)
					if step.does == "accept" {
						s.accept(address, step.used)
						continue
					}
					current := step.current
					if current == "" {
						current = step.used
					}
					if got := s.refuse(address, step.used, current); got != step.mayPass {
						t.Errorf("step %d, %s of %q: may pass is %t, want %t", i, step.does, step.used, got, step.mayPass)
					}
				}
			})
		})
	}
}

func TestARefusedConnectionWaitsForTheChangeAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s standing[string]
		s.accept("k1:9092", "a")
		s.refuse("k1:9092", "a", "a")
		waits := func(want time.Duration, changed func() bool, ended chan struct{}) {
			t.Helper()
			began := time.Now()
			s.wait("k1:9092", ended, changed)
			if got := time.Since(began); got != want {
				t.Errorf("it waited %v, want %v", got, want)
			}
		}
		never := func() bool { return false }
		waits(0, func() bool { return true }, nil)
		var changed atomic.Bool
		time.AfterFunc(320*time.Millisecond, func() { changed.Store(true) })
		waits(350*time.Millisecond, changed.Load, nil)
		ended := make(chan struct{})
		time.AfterFunc(10*time.Millisecond, func() { close(ended) })
		waits(10*time.Millisecond, never, ended)
		waits(time.Second, never, nil)
		waits(640*time.Millisecond, never, nil) // two seconds after the first refusal
		waits(0, never, nil)                    // all others fail at once, so that heartbeats get through
	})
}
