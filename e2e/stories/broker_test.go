package stories

import "testing"

// TestBrokerIsKilled kills the broker that leads the group, which is the worst one to lose, while events come, and starts it again.
func TestBrokerIsKilled(t *testing.T) {
	s := begin(t, "broker")
	s.topics(6)
	s.replica("a")
	s.replica("b")
	s.expectShared(6, "a", "b")
	load := s.load(300)
	s.awaitEffects(500)

	s.ledger.watchStalls()
	broker, err := s.cluster.GroupCoordinator(t.Context(), s.group)
	s.must("find the group's broker", err)
	s.must("kill it", s.cluster.Kill(t.Context(), broker))
	s.awaitEffects(s.ledger.effects() + 1000)
	s.must("start it again", s.cluster.Restart(t.Context(), broker))
	s.must("see the replicas in sync", s.cluster.AwaitInSync(t.Context()))
	s.awaitEffects(s.ledger.effects() + 500)
	t.Logf("the broker of the group was killed; %s", s.ledger.longestStall())
	load.stop()
	s.expectScored()
}
