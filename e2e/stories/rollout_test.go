package stories

import (
	"strings"
	"testing"
)

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
			t.Logf("three replicas restarted; %s", s.ledger.longestStall())

			load.stop()
			s.expectScored()
		})
	}
}

// TestConfigIsRolledOut gives one replica after the other another configuration while events come. Both work side by side for a
// while: every event has one result, in one of the two shapes, and the new one alone once all replicas have it.
func TestConfigIsRolledOut(t *testing.T) {
	renamed := func(s *settings) {
		s.predict, s.output = "as: {sentiment: verdict}", "copy: [{item: item_id}], id: review_id"
	}
	s := begin(t, "config")
	s.topics(6)
	a := s.replica("a")
	b := s.replica("b")
	s.expectShared(6, "a", "b")
	load := s.load(300)
	s.awaitEffects(300)
	before := s.ledger.effects()

	a.restart(renamed)
	s.expectShared(6, "a", "b")
	s.awaitEffects(s.ledger.effects() + 500)
	b.restart(renamed)
	load.stop()
	after := s.written
	s.produce(300)
	s.expectScored()

	count := map[string]int{}
	for id, outputs := range s.ledger.outputsByID() {
		value := string(outputs[0].Value)
		shape := "neither"
		switch n := number(id); {
		case outputs[0].Topic == s.dead:
			continue
		case strings.Contains(value, `"sentiment":{"label"`) && strings.Contains(value, `"item_id":`) && n < after:
			shape = "old"
		case strings.Contains(value, `"verdict":{"label"`) && strings.Contains(value, `"item":`):
			shape = "new"
		default:
			t.Errorf("%s became %s, want the old shape, or from number %d on the new one", id, value, after)
		}
		count[shape]++
	}
	t.Logf("results by shape: %v; %d events were scored before the rollout, %d were written after it", count, before, s.written-after)
	if count["old"] < before*9/10 || count["new"] < 500 {
		t.Errorf("results by shape: %v: want both, or nothing was shown", count)
	}
}
