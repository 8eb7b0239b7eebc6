package stories

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// deleteTopics of the service's own, while it runs.
func (s *story) deleteTopics(names ...string) {
	s.t.Helper()
	ctx, cancel := s.withDeadline()
	defer cancel()
	deleted, err := s.admin.DeleteTopics(ctx, names...)
	if err == nil {
		err = deleted.Error()
	}
	s.must("delete topics", err)
}

// TestTopicOfAttemptsDeletedWhileRunning deletes it under two replicas, one of which is killed: who takes over looks for marks and writes some, in a
// topic that the service has made again.
func TestTopicOfAttemptsDeletedWhileRunning(t *testing.T) {
	s := begin(t, "unmarked")
	s.topics(6)
	attempts := "nearline.attempts." + s.group
	a, b := s.replica("a"), s.replica("b")
	s.produce(300)
	s.awaitEffects(300)

	s.deleteTopics(attempts)
	b.kill()
	s.produce(300)
	s.awaitEffects(600)
	s.deleteTopics(attempts)
	s.create(1, attempts) // somebody is faster than the service
	b.start()
	s.produce(300)
	s.expectShared(6, "a", "b")
	s.produce(300)
	a.expectStream(http.StatusOK, "")
	s.expectScored()
	s.deleteTopics(attempts) // it was there
}

// TestStatesDeletedWhileRunning deletes what a view has learned, and has it made again: the view stops and says what to do, also after a restart, while
// everything else goes on. Told to count what its updates still have, it does.
func TestStatesDeletedWhileRunning(t *testing.T) {
	s := begin(t, "forgotten")
	s.topics(3)
	const silent = "the view does not begin anew by itself"
	counting := func(o *settings) {
		o.steps = ", {aggregate: {view: thing}}"
		o.features = "features: {partitions: 3, topics: forgotten.features, dead_letters: forgotten.features.dlq, views: [{name: thing, key: item_id, fields: [{name: events, count: {}}]}]}\n"
	}
	const updates, states, group = "forgotten.features.thing.updates", "forgotten.features.thing.state", "forgotten-features-thing"
	a := s.replica("a", counting)
	events := func(want int) {
		t.Helper()
		s.await(fmt.Sprintf("%d events of a key", want), func(ctx context.Context) error {
			_, body, err := a.get(ctx, "/v1/features/thing/item-1")
			if has := fmt.Sprintf(`"events":%d`, want); err == nil && !strings.Contains(body, has) {
				err = fmt.Errorf("it says %s, want %s", body, has)
			}
			return err
		})
	}
	s.produce(10 * keys)
	events(10)

	s.deleteTopics(states)
	s.produce(2 * keys)
	a.expectStream(http.StatusServiceUnavailable, silent)
	s.create(3, states)
	a.expectStream(http.StatusServiceUnavailable, silent)
	s.awaitEffects(12 * keys) // the pipeline itself goes on
	a.restart(counting)
	a.expectStream(http.StatusServiceUnavailable, silent)
	a.stop()

	var earliest kadm.Offsets
	for p := range int32(3) {
		earliest.Add(kadm.Offset{Topic: updates, Partition: p, At: 0, LeaderEpoch: -1})
	}
	s.await("the group to be told to begin anew", func(ctx context.Context) error {
		committed, err := s.admin.CommitOffsets(ctx, group, earliest)
		if err == nil {
			err = committed.Error()
		}
		return err
	})
	a.start(counting)
	events(12)
	a.expectStream(http.StatusOK, "")
	s.expectScored()
	s.deleteTopics(updates, states, "forgotten.features.dlq")
}
