//go:build synctests

package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// follower of a topic of states, as one of a group.
type follower struct {
	mu     sync.Mutex // guards all that follows
	away   bool       // the store takes no marks
	marked map[int32]int64
	from   map[int32]int64
}

func (f *follower) run(ctx context.Context, t *testing.T, topic *consumers.StateTopic) {
	if err := topic.Follow(ctx, consumers.Following{
		Group: "store",
		Apply: func(context.Context, []*pipeline.Record) error { return nil },
		Mark: func(_ context.Context, committed, next map[int32]int64) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.away {
				return errors.New("the store is away")
			}
			f.from, f.marked = maps.Clone(committed), maps.Clone(next)
			return nil
		},
	}); err != nil {
		t.Error(err)
	}
}

func (f *follower) do(something func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	something()
}

// The first follower has applied both partitions and marked neither when one of them goes to the second.
func TestWhoLosesAPartitionMarksNothingOfItAnyMore(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{}, func(w *kafkatest.World) {
		s := &states{World: w}
		s.writer = s.client(kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if _, err := kadm.NewClient(s.writer).CreateTopic(w.Context(), 2, 1, nil, "states"); err != nil {
			t.Fatal(err)
		}
		put := func() {
			for p := range int32(2) {
				r := &kgo.Record{Topic: "states", Partition: p, Key: []byte("a"), Value: []byte("1")}
				if err := s.writer.ProduceSync(w.Context(), r).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
		put()
		put()
		ctx, cancel := context.WithCancel(w.Context())
		first, second := &follower{away: true}, &follower{}
		var both sync.WaitGroup
		for _, f := range []*follower{first, second} {
			both.Go(func() { f.run(ctx, t, s.open(w.Line(), 0)) })
			time.Sleep(10 * time.Second)
		}
		second.do(func() {
			if len(second.marked) != 1 {
				t.Fatalf("the second follower has marked %v: this shows nothing", second.marked)
			}
		})
		first.do(func() { first.away = false })
		time.Sleep(10 * time.Second)
		first.do(func() {
			if len(first.marked) != 1 {
				t.Errorf("the first has marked %v: want its own partition alone", first.marked)
			}
		})
		put()
		time.Sleep(10 * time.Second)
		first.do(func() {
			second.do(func() {
				from, marked := map[int32]int64{}, map[int32]int64{}
				for _, f := range []*follower{first, second} {
					maps.Copy(from, f.from)
					maps.Copy(marked, f.marked)
				}
				if got, want := fmt.Sprint(from, marked), "map[0:2 1:2] map[0:3 1:3]"; got != want {
					t.Errorf("marked %s, want %s", got, want)
				}
			})
		})
		cancel()
		both.Wait()
	})
}
