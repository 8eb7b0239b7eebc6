//go:build synctests

package consumers_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// states is a compacted topic of one partition, with a writer.
type states struct {
	*kafkatest.World
	writer *kgo.Client
}

func newStates(w *kafkatest.World, options ...kgo.Opt) *states {
	w.Helper()
	s := &states{World: w}
	s.writer = s.client(append(options, kgo.ProducerLinger(0), kgo.DefaultProduceTopic("states"))...)
	compact := "compact"
	if _, err := kadm.NewClient(s.writer).CreateTopic(w.Context(), 1, 1, map[string]*string{"cleanup.policy": &compact}, "states"); err != nil {
		w.Fatal(err)
	}
	return s
}

func (s *states) client(options ...kgo.Opt) *kgo.Client {
	s.Helper()
	client, err := s.Connection(s.Line()).Client(options...)
	if err != nil {
		s.Fatal(err)
	}
	s.Finally(client.Close)
	return client
}

// put a record, and return its offset.
func (s *states) put(key, value string) int64 {
	s.Helper()
	r := &kgo.Record{Key: []byte(key), Value: []byte(value)}
	if err := s.writer.ProduceSync(s.Context(), r).FirstErr(); err != nil {
		s.Fatal(err)
	}
	return r.Offset
}

// compactAwayTheFence that was written last: a later one of another reader takes its place.
func (s *states) compactAwayTheFence() {
	s.Helper()
	later := s.put("\x00fence", "another reader's")
	last := s.put("b", "2") // of a partition's last batch nothing is compacted
	s.Cluster.Compact()
	reader := s.client(kgo.ConsumeTopics("states"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var left []int64
	for len(left) == 0 || left[len(left)-1] < last {
		reader.PollFetches(s.Context()).EachRecord(func(r *kgo.Record) { left = append(left, r.Offset) })
	}
	if slices.Contains(left, later-1) {
		s.Fatalf("offsets %v are left, and the first fence, %d, among them: this test shows nothing", left, later-1)
	}
}

// open a reader of the topic, whose first fence is acknowledged late.
func (s *states) open(line *kafkatest.Line, late time.Duration) *consumers.StateTopic {
	if late > 0 {
		line.Arm(kmsg.Produce, 0, kafkatest.Act{Delay: late})
	}
	topic := consumers.OpenState(s.Connection(line), consumers.DefaultKafka(), "states", kafkatest.Log(s.TB))
	s.Finally(topic.Close)
	return topic
}

// restore all of the topic, within a minute.
func (s *states) restore(topic *consumers.StateTopic) (found map[string]string, err error) {
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	found = map[string]string{}
	_, err = topic.Restore(ctx, 0, 0, func(key, value []byte) error {
		found[string(key)] = string(value)
		return nil
	})
	return found, err
}

func TestRestoreEndsWhereItsFenceWasCompactedAway(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{}, func(w *kafkatest.World) {
		s := newStates(w)
		s.put("a", "1")
		topic := s.open(w.Line(), 10*time.Second)
		done := make(chan struct{})
		go func() {
			defer close(done)
			found, err := s.restore(topic)
			if err != nil || found["a"] != "1" {
				t.Errorf("restored %v, %v: want a, without waiting for a fence that is gone", found, err)
			}
		}()
		time.Sleep(time.Second) // the fence is there, and its reader does not know yet
		s.compactAwayTheFence()
		<-done
	})
}

func TestFollowerHasCaughtUpWhereItsFenceWasCompactedAway(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{}, func(w *kafkatest.World) {
		s := newStates(w)
		s.put("a", "1")
		line := w.Line()
		for range 100 {
			line.Arm(kmsg.Fetch, 0, kafkatest.Act{Before: true}) // or else it would have the fence before that is gone
		}
		topic := s.open(line, 10*time.Second)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		var caughtUp bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			err := topic.Follow(ctx, consumers.Following{
				Partitions: 1, CaughtUp: func() { caughtUp = true; cancel() },
				Apply: func(context.Context, []*pipeline.Record) error { return nil },
			})
			if err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(time.Second)
		s.compactAwayTheFence()
		if line.Disarm() == 0 {
			t.Error("the follower fetched before the fence was gone: this test shows nothing")
		}
		<-done
		if !caughtUp {
			t.Error("the follower waits for a fence that is gone")
		}
	})
}

// A store must not say that it is full before it has all that was there when it began.
func TestFollowerHasCaughtUpOnceAllIsApplied(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{}, func(w *kafkatest.World) {
		s := newStates(w)
		s.put("a", "1")
		s.put("b", "1")
		line := w.Line()
		for range 100 {
			line.Arm(kmsg.Fetch, 0, kafkatest.Act{Before: true}) // or else the states could be applied before the fence is written
		}
		time.AfterFunc(5*time.Second, func() { line.Disarm() })
		topic := s.open(line, 0)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		found, tries := map[string]string{}, 0
		err := topic.Follow(ctx, consumers.Following{
			Partitions: 1,
			CaughtUp: func() {
				if want := map[string]string{"a": "1", "b": "1"}; !maps.Equal(found, want) {
					t.Errorf("the follower had caught up with %v applied: want %v", found, want)
				}
				cancel()
			},
			Apply: func(_ context.Context, records []*pipeline.Record) error {
				if tries++; tries < 3 {
					return context.DeadlineExceeded // the store is away
				}
				for _, r := range records {
					found[string(r.Key)] = string(r.Value)
				}
				return nil
			},
		})
		if err != nil || len(found) == 0 {
			t.Errorf("applied %v after %d tries, %v", found, tries, err)
		}
	})
}

// What a member that died left open may still be committed by the brokers: how it ends decides what is restored.
func TestRestoreWaitsForTheEndOfOpenTransactions(t *testing.T) {
	for try, want := range map[kgo.TransactionEndTry]string{kgo.TryAbort: "1", kgo.TryCommit: "2"} {
		kafkatest.Run(t, kafkatest.Shape{}, func(w *kafkatest.World) {
			s := newStates(w, kgo.TransactionalID("before"))
			write := func(value string) {
				if err := s.writer.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
				s.put("a", value)
			}
			write("1")
			if err := s.writer.EndTransaction(w.Context(), kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
			write("2")
			topic, ended, done := s.open(w.Line(), 0), false, make(chan struct{})
			go func() {
				defer close(done)
				found, err := s.restore(topic)
				if err != nil || found["a"] != want || !ended {
					t.Errorf("restored %v, %v, after the open transaction had ended: %t; want %q after it", found, err, ended, want)
				}
			}()
			time.Sleep(10 * time.Second)
			ended = true
			if err := s.writer.EndTransaction(w.Context(), try); err != nil {
				t.Fatal(err)
			}
			<-done
		})
	}
}
