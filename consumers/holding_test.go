//go:build synctests

package consumers_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// A group that has committed nothing has no offsets to go back to, and the client says nothing of such partitions.
func TestAbortOfTheFirstCycleGivesEveryRecordBack(t *testing.T) {
	for _, delivery := range []pipeline.Delivery{pipeline.ExactlyOnce, pipeline.AtLeastOnce} {
		t.Run(string(delivery), func(t *testing.T) {
			kafkatest.Run(t, kafkatest.Shape{Brokers: 2, Partitions: 3}, func(w *kafkatest.World) {
				w.Produce(rand.New(rand.NewPCG(1, 1)), kafkatest.EveryKind(60, 5))
				c := config(w, w.Line(), 0)
				c.Delivery = delivery
				member, err := consumers.Open(c)
				if err != nil {
					t.Fatal(err)
				}
				defer member.Close()
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				type place struct {
					partition int32
					offset    int64
				}
				// take polls until all partitions' records were seen, and says which.
				take := func() map[place]bool {
					seen := make(map[place]bool)
					for len(seen) < 60 {
						records, err := member.Poll(ctx, pipeline.Limits{})
						if err != nil {
							t.Fatalf("after %d of 60 records: %v", len(seen), err)
						}
						for _, r := range records {
							seen[place{r.Partition, r.Offset}] = true
						}
					}
					return seen
				}
				first := take()
				if err := member.Abort(ctx); err != nil {
					t.Fatal(err)
				}
				second := take()
				for p := range first {
					if !second[p] {
						t.Errorf("the record at %d of partition %d did not come back after the abort", p.offset, p.partition)
					}
				}
			})
		})
	}
}
