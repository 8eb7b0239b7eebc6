//go:build synctests

package consumers_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"nearline/internal/harness/kafkatest"
)

// TestMembersThatComeAndGoWasteNextToNothing keeps two members at work with a slow model while a third comes and goes
// every three seconds, and counts the cycles that were scored in vain.
func TestMembersThatComeAndGoWasteNextToNothing(t *testing.T) {
	const (
		lasts = 4 * time.Minute
		every = 3 * time.Second
	)
	kafkatest.Run(t, kafkatest.Shape{Brokers: 3, Partitions: 6}, func(w *kafkatest.World) {
		random := rand.New(rand.NewPCG(7, 7))
		var workers []*kafkatest.Worker
		start := func(index int) *kafkatest.Worker {
			line := w.Line()
			model := &kafkatest.Model{Takes: func(n int) time.Duration { return time.Duration(n) * 10 * time.Millisecond }}
			worker := w.Start(small(cycle(config(w, line, index), model)), line)
			workers = append(workers, worker)
			return worker
		}
		start(0)
		start(1)
		stop := time.Now().Add(lasts)
		for i := 0; time.Now().Before(stop); i++ {
			w.Produce(random, kafkatest.EveryKind(300, 40))
			comer := start(2 + i%2)
			time.Sleep(every)
			w.Produce(random, kafkatest.EveryKind(300, 40))
			comer.Ask()
			time.Sleep(every)
		}
		finish(t, w, workers...)
		var polled, committed, records int64
		for _, worker := range workers {
			polled += worker.Tally.Polls.Load()
			committed += worker.Tally.Committed.Load()
			records += worker.Tally.CommittedRecords.Load()
			for _, err := range worker.Tally.Errors() {
				t.Log(err)
			}
		}
		wasted := float64(polled-committed) / float64(polled)
		t.Logf("%d cycles, %d committed, %.1f%% wasted, %d records, %d members", polled, committed, 100*wasted, records, len(workers))
		if wasted > 0.05 {
			t.Errorf("%.1f%% of the cycles were wasted: want at most 5%%", 100*wasted)
		}
		if polled < 200 {
			t.Errorf("only %d cycles in %v: the members did not work", polled, lasts)
		}
	})
}

// TestStaleRevocationIsClearedBeforeScoring has partitions taken from a member that is at rest: the mark that the session
// keeps of it must not cost the next cycle.
func TestStaleRevocationIsClearedBeforeScoring(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 6}, func(w *kafkatest.World) {
		random := rand.New(rand.NewPCG(3, 3))
		var workers []*kafkatest.Worker
		for i := range 3 {
			line := w.Line()
			workers = append(workers, w.Start(cycle(config(w, line, i), new(kafkatest.Model)), line))
			time.Sleep(30 * time.Second)
			w.Produce(random, kafkatest.EveryKind(60, 20))
			time.Sleep(10 * time.Second)
		}
		finish(t, w, workers...)
		for i, worker := range workers {
			if polled, committed := worker.Tally.Polls.Load(), worker.Tally.Committed.Load(); polled != committed || polled == 0 {
				t.Errorf("member %d committed %d of %d cycles: want all, and some", i, committed, polled)
			}
		}
	})
}

// TestMembersOfANewGroupSettle starts members one after the other on a backlog, in a group that has committed nothing: that a cycle is taken back
// before the first commit must not end the member, since each new one takes the others' cycles back in turn.
func TestMembersOfANewGroupSettle(t *testing.T) {
	for seed := range uint64(10) {
		kafkatest.Run(t, kafkatest.Shape{Partitions: 6}, func(w *kafkatest.World) {
			random := rand.New(rand.NewPCG(seed, 5))
			w.Produce(random, kafkatest.EveryKind(3000, 200))
			var workers []*kafkatest.Worker
			for i := range 3 {
				line := w.Line()
				model := &kafkatest.Model{Takes: func(n int) time.Duration { return time.Duration(n) * 5 * time.Millisecond }}
				workers = append(workers, w.Start(small(cycle(config(w, line, i), model)), line))
				time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond)
			}
			finish(t, w, workers...)
			for i, worker := range workers {
				if opened := worker.Tally.Opened.Load(); opened != 1 {
					t.Errorf("seed %d: member %d was made %d times, want once: %v", seed, i, opened, worker.Tally.Errors())
				}
			}
		})
	}
}

// TestMembersHearOfEveryPartitionThatOthersMayHaveHeld has partitions taken from a member at rest more than once: of the second
// time its session says nothing before its next end.
func TestMembersHearOfEveryPartitionThatOthersMayHaveHeld(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Partitions: 6}, func(w *kafkatest.World) {
		var mu sync.Mutex
		told := map[int32]int{}
		start := func(index int) *kafkatest.Worker {
			line := w.Line()
			c := config(w, line, index)
			if index == 0 {
				c.Lost = func(partitions []int32) {
					mu.Lock()
					defer mu.Unlock()
					for _, p := range partitions {
						told[p]++
					}
				}
			}
			worker := w.Start(cycle(c, new(kafkatest.Model)), line)
			time.Sleep(30 * time.Second)
			return worker
		}
		first := start(0)
		mu.Lock()
		clear(told)
		mu.Unlock()
		others := []*kafkatest.Worker{start(1), start(2)}
		for _, worker := range others {
			if err := worker.Stop(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
		}
		mu.Lock()
		// Four of six went to others, and came back.
		if len(told) < 4 {
			t.Errorf("the member that stayed was told of partitions %v, want the four that others have held", told)
		}
		mu.Unlock() // the member may be told more when it ends
		finish(t, w, first)
	})
}
