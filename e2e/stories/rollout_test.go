package stories

import "testing"

// TestRollingRestart stops and starts one replica after the other, as a rollout does, while events come.
func TestRollingRestart(t *testing.T) {
	for _, membership := range []struct {
		name string
		with []setting
	}{{name: "dynamic"}, {name: "static", with: []setting{staticMembership}}} {
		t.Run(membership.name+" membership", func(t *testing.T) {
			s := begin(t, "restart-"+membership.name)
			s.topics(6)
			a := s.replica("a", membership.with...)
			b := s.replica("b", membership.with...)
			c := s.replica("c", membership.with...)
			load := s.load(300)
			s.expectShared(6, "a", "b", "c")
			s.awaitEffects(300)

			s.ledger.watchStalls()
			for _, r := range []*replica{a, b, c} {
				r.restart(membership.with...)
				s.expectShared(6, "a", "b", "c")
			}
			t.Logf("the longest stall in the restart of three replicas: %v", s.ledger.longestStall())

			load.stop()
			s.expectScored()
		})
	}
}
