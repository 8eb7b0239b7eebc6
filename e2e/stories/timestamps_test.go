package stories

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// counting has replicas aggregate the story's events by item: how many, and what is lately left of them.
func (s *story) counting(o *settings) {
	o.steps = ", {aggregate: {view: item}}"
	o.features = fmt.Sprintf("features: {partitions: 6, topics: %s.features, dead_letters: %s.features.dlq, views: [{name: item, key: item_id, time: at, fields: [{name: events, count: {}}]}]}\n",
		s.raw, s.raw)
}

// configure a topic. A setting that the brokers are too old for is left out.
func (s *story) configure(topic string, settings map[string]string) {
	s.t.Helper()
	ctx, cancel := s.withDeadline()
	defer cancel()
	for name, value := range settings {
		altered, err := s.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, topic)
		s.must("configure "+topic, err)
		if _, err := altered.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err }); err != nil && s.cluster.Version != oldest {
			s.t.Fatalf("configure %s of %s: %v", name, topic, err)
		}
	}
}

const oldest = "2.5.1"

// produceOf events with timestamps, and count them by item.
func (s *story) produceOf(n int, of map[string]int, at func(i int) time.Time) {
	s.t.Helper()
	for i := range n {
		record, e := s.event(s.written)
		s.written++
		record.Timestamp = at(i)
		s.ledger.write(e)
		s.writer.Produce(s.t.Context(), record, func(r *kgo.Record, err error) {
			if err != nil {
				s.t.Errorf("write an event: %v", err)
				return
			}
			s.ledger.written(e.id, r.Partition, r.Offset)
		})
		if !e.bad {
			of[e.key]++
		}
	}
	ctx, cancel := s.withDeadline()
	defer cancel()
	s.must("write events", s.writer.Flush(ctx))
}

// expectCounts waits until a replica answers with these numbers of events.
func (r *replica) expectCounts(of map[string]int) {
	r.story.t.Helper()
	r.story.await("the counts of "+r.name, func(ctx context.Context) error {
		for _, item := range slices.Sorted(maps.Keys(of)) {
			_, body, err := r.get(ctx, "/v1/features/item/"+item)
			if err != nil {
				return err
			}
			var answer struct{ Values struct{ Events int } }
			if json.Unmarshal([]byte(body), &answer) != nil {
				return errors.New(body)
			}
			if answer.Values.Events != of[item] {
				return fmt.Errorf("%s has %d events, want %d", item, answer.Values.Events, of[item])
			}
		}
		return nil
	})
}

// TestOldEventsAreCountedWhateverStandsStill has events of a month ago, and brokers that sweep every second. One replica is frozen, then both are killed,
// while updates wait: each event counts, and each result is there.
func TestOldEventsAreCountedWhateverStandsStill(t *testing.T) {
	s := begin(t, "old-events")
	s.topics(6)
	s.configure(s.raw, map[string]string{"retention.ms": "-1", "segment.ms": "1000"})
	s.configure(s.scored, map[string]string{"segment.ms": "1000"})
	a, b := s.replica("a", s.counting), s.replica("b", s.counting)
	month := time.Now().Add(-30 * 24 * time.Hour)
	of := map[string]int{}
	old := func(i int) time.Time { return month.Add(time.Duration(i) * time.Millisecond) }
	s.produceOf(2000, of, old)
	s.must("freeze a", a.command.Process.Signal(syscall.SIGSTOP))
	s.produceOf(20_000, of, old)
	time.Sleep(12 * time.Second) // sweeps
	s.must("thaw a", a.command.Process.Signal(syscall.SIGCONT))
	s.produceOf(20_000, of, old)
	a.kill()
	b.kill()
	time.Sleep(12 * time.Second)
	a.start(s.counting)
	b.start(s.counting)
	a.expectCounts(of)
	b.expectCounts(of)
	s.expectScored()
}

// TestTimestampsThatTheOutputRefusesLoseNothing has records of the years to come, which only the input takes, beside some whose timestamp is none. Results and
// updates are all there: results have the time of writing, and tell of the record's.
func TestTimestampsThatTheOutputRefusesLoseNothing(t *testing.T) {
	s := begin(t, "odd-timestamps")
	s.topics(6)
	s.configure(s.raw, map[string]string{"retention.ms": "-1", "message.timestamp.after.max.ms": "9223372036854775807"})
	a, b := s.replica("a", s.counting), s.replica("b", s.counting)
	of := map[string]int{}
	now := time.Now()
	s.produceOf(8000, of, func(i int) time.Time {
		return []time.Time{now, now.Add(48 * time.Hour), now.AddDate(30, 0, 0), time.UnixMilli(-1), time.UnixMilli(1), time.UnixMilli(now.Unix()), now.Add(-300 * time.Hour)}[i%7]
	})
	a.expectCounts(of)
	b.expectCounts(of)
	restamped := 0
	reader := s.client(kgo.ConsumeTopics(s.scored), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer reader.Close()
	ctx, cancel := s.withDeadline()
	defer cancel()
	want := 0
	for _, n := range of {
		want += n
	}
	for read := 0; read < want; {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d results within %v", read, want, patience)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			read++
			for _, h := range r.Headers {
				if h.Key != "nearline-source-timestamp" {
					continue
				}
				restamped++
				if _, err := strconv.ParseInt(string(h.Value), 10, 64); err != nil || time.Since(r.Timestamp).Abs() > time.Hour {
					t.Errorf("a result of a record of %s is of %v", h.Value, r.Timestamp)
				}
			}
		})
	}
	if restamped < want/2 {
		t.Errorf("%d of %d results have the time of writing, want most: all but a seventh of the timestamps are odd", restamped, want)
	}
	s.expectScored()
}
