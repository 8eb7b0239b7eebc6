package stories

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"nearline/consumers"
)

// TestRotationThatOverlapsAbortsNoCycle replaces all credentials that Kafka sees, authorities, certificates, and the user with its password, at a thousand records
// a second, while logins last for five seconds. Old and new ones count together for a while. A classic group and one of KIP-848 read the records: no cycle
// of theirs is aborted, and no member leaves.
func TestRotationThatOverlapsAbortsNoCycle(t *testing.T) {
	s := beginGuarded(t, "rotation")
	s.topics(6)
	twin := s.twin("rotation-848")
	login := func(o *settings) { patient(o); s.settings(s.scram())(o) }
	next := func(o *settings) { login(o); byConsumer(o) }
	s.createTopics(s.story)
	s.createTopics(twin)
	for _, config := range []string{s.writeConfig("a", login), twin.writeConfig("k", next)} {
		s.grant(config, s.user)
		s.grant(config, s.next)
	}
	replicas := []*replica{s.replica("a", login), s.replica("b", login), twin.replica("k", next)}
	began := time.Now()
	load := s.load(1000)
	s.expectShared(6, "a", "b")
	twin.expectSettled(6, 2)
	s.awaitLater(2000)

	changes := regexp.MustCompile(`^nearline_consumer_partition_changes_total\{.*\} (\S+)$`)
	before := s.sum(changes, replicas)
	calm := func(what string, f func()) {
		t.Helper()
		s.calm(what, replicas, 6000, f) // in six seconds or more: each connection has logged in again
		twin.awaitEffects(s.ledger.effects())
	}
	calm("both authorities are trusted", func() {
		s.put("ca.pem", slices.Concat(s.old.PEM, s.young.PEM))
		s.must("have the brokers trust both", s.cluster.Trust(t.Context(), s.old, s.young))
	})
	calm("certificates are signed by the other", func() {
		s.must("have the brokers certified anew", s.cluster.Certify(t.Context(), s.young))
		s.issue(s.young, "service", "127.0.0.1", "localhost")
	})
	calm("another user with the same rights", func() { s.login(s.next, "kafka-hunter3") })
	calm("old credentials count no more", func() {
		s.put("ca.pem", s.young.PEM)
		s.must("have the brokers trust the young authority alone", s.cluster.Trust(t.Context(), s.young))
		s.must("change the password of the user before", s.cluster.SetPassword(t.Context(), s.user, "kafka-of-nobody"))
	})
	if after := s.sum(changes, replicas); after != before {
		t.Errorf("%v partitions changed hands during the rotation, want none: a member left", after-before)
	}
	for _, r := range replicas {
		for _, used := range []string{"the new login is accepted", "the new certificate of the brokers is accepted", "the new certificate that brokers are shown is accepted"} {
			if len(r.logged(used)) == 0 {
				t.Errorf("%s does not say that %s: was it used? See %s", r.name, used, r.log)
			}
		}
		if refused := r.logged("refuses the login"); len(refused) > 0 {
			t.Errorf("%s was refused while old and new credentials overlapped: %s", r.name, refused[0])
		}
	}
	load.stop()
	t.Logf("%.0f records a second", float64(s.written)/time.Since(began).Seconds())
	twin.ledger.write(slices.Collect(maps.Values(s.ledger.events))...)
	s.await("an effect for every event, by KIP-848", func(context.Context) error { return twin.ledger.lacking() })
	s.expectScored()
	twin.ledger.readToEnds()
	twin.ledger.judge()
	s.nothingInTheClear()
}

// twin is the same story once more: another group reads its events, and writes to other topics.
func (s *story) twin(name string) *story {
	s.t.Helper()
	twin := *s
	twin.group, twin.scored, twin.dead = "nearline-"+name, name+".scored", name+".dlq"
	twin.outputs(6)
	s.t.Cleanup(func() {
		twin.ledger.close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, _ = s.admin.DeleteTopics(ctx, twin.scored, twin.dead)
	})
	return &twin
}

// expectSettled waits until a group of KIP-848 has so many members that share so many partitions.
func (s *story) expectSettled(partitions, members int) {
	s.t.Helper()
	s.await(fmt.Sprintf("%d partitions shared by %d members of %s", partitions, members, s.group), func(ctx context.Context) error {
		groups, err := s.admin.DescribeConsumerGroups(ctx, s.group)
		if err == nil {
			err = groups.Error()
		}
		if err != nil {
			return err
		}
		group, held := groups[s.group], 0
		for _, member := range group.Members {
			held += len(member.Assignment[s.raw])
		}
		if group.State != "Stable" || len(group.Members) != members || held != partitions {
			return fmt.Errorf("it is %s, with %d members that have %d partitions", group.State, len(group.Members), held)
		}
		return nil
	})
}

// byConsumer is KIP-848.
func byConsumer(s *settings) { s.kafka += ", group_protocol: " + consumers.ConsumerProtocol }
