package stories

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"nearline/e2e/cluster"
)

// TestOffsetsThatTheBrokersForget stops a pipeline with a view until the brokers have forgotten the offsets of both groups, which they do here after a
// minute. When it starts again, every event still has one effect, those that came meanwhile too, and the view counts each of them once.
func TestOffsetsThatTheBrokersForget(t *testing.T) {
	for _, start := range []string{"earliest", "latest"} {
		t.Run(start, func(t *testing.T) {
			t.Parallel()
			name := "forgotten-" + start
			s := begin(t, name)
			if s.cluster.Version == cluster.Oldest {
				// The refusal is by design: without an id, a topic that was made anew cannot be told from the old one.
				t.Skip("NOT RUN: brokers before 2.8 do not tell a topic's id, so that the service refuses to start until told where")
			}
			s.topics(3)
			views := name + ".features"
			counting := func(o *settings) {
				o.steps = ", {aggregate: {view: all}}"
				o.start = start
				o.features = fmt.Sprintf("features: {partitions: 3, topics: %s, dead_letters: %s.dlq, views: [{name: all, key: item_id, fields: [{name: events, count: {}}]}]}\n", views, views)
			}
			a := s.replica("a", counting)
			if start == "latest" {
				s.await("the group to have begun", func(ctx context.Context) error { return s.offsets(ctx, s.group) })
			}
			s.produce(300)
			s.awaitEffects(300)
			s.await("the view to have counted", func(ctx context.Context) error { return a.counts(ctx, 300) })
			a.stop()
			for _, group := range []string{s.group, name + "-features-all"} {
				s.await("the offsets of "+group+" to be forgotten", func(ctx context.Context) error {
					if s.offsets(ctx, group) == nil {
						return errors.New("they are there")
					}
					return nil
				})
			}
			s.produce(200)
			a.start(counting)
			s.awaitEffects(500)
			s.await("the view to have counted", func(ctx context.Context) error { return a.counts(ctx, 500) })
			if len(a.logged("the group has lost its offset of a partition")) == 0 {
				t.Errorf("its log does not say that the offsets were lost; see %s", a.log)
			}
			s.produce(100)
			s.await("the view to have counted", func(ctx context.Context) error { return a.counts(ctx, 600) })
			s.expectScored()
		})
	}
}

// offsets is an error where the group has none.
func (s *story) offsets(ctx context.Context, group string) error {
	committed, err := s.admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	n := 0
	committed.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			n++
		}
	})
	if n == 0 {
		return fmt.Errorf("group %s has no offsets", group)
	}
	return nil
}

// counts is an error as long as the view does not say that there were so many events in all, the bad ones left out.
func (r *replica) counts(ctx context.Context, events int) error {
	total := 0
	for key := range keys {
		_, body, err := r.get(ctx, fmt.Sprintf("/v1/features/all/item-%d", key))
		if err != nil {
			return err
		}
		var answer struct{ Values struct{ Events int } }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			return errors.New(body)
		}
		total += answer.Values.Events
	}
	if want := events - events/badEvery; total != want {
		return fmt.Errorf("it counts %d events, want %d", total, want)
	}
	return nil
}
