//go:build synctests

package consumers_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"nearline/consumers"
	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

var (
	schedules = flag.Int("schedules", environment("NEARLINE_SCHEDULES", 300), "how many random schedules to play")
	seed      = flag.Uint64("seed", 0, "play the schedule of this seed alone")
)

func environment(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// ours is the build that ships.
func ours(delivery pipeline.Delivery, protocol string) kafkatest.Build {
	var attempts, progress, worlds sync.Map // by line: a process
	return func(w *kafkatest.World, line *kafkatest.Line, index int) (pipeline.Source, error) {
		kept, known := attempts.Load(line)
		if !known {
			kept, _ = attempts.LoadOrStore(line, openAttempts(w, line, fmt.Sprintf("%p", line)))
		}
		c := config(w, line, index)
		noted, known := progress.Load(line)
		if !known {
			noted, _ = progress.LoadOrStore(line, replicaOn(w, line).progress)
		}
		c.Progress = noted.(*consumers.Progress)
		if _, watched := worlds.LoadOrStore(w, true); !watched && delivery == pipeline.ExactlyOnce {
			var reader *replica
			w.Finally(func() { placesAgree(reader) }) // before the reader's end
			reader = newReplica(w)
		}
		c.Delivery, c.Attempts, c.Kafka.GroupProtocol = delivery, kept.(*consumers.Attempts), protocol
		return consumers.Open(c)
	}
}

// placesAgree wants that what is noted is what the group has committed, to the record.
func placesAgree(reader *replica) {
	w := reader.w
	w.Helper()
	places, err := reader.progress.Places(context.Background())
	if err != nil {
		w.Errorf("read the places: %v", err)
		return
	}
	group := w.Cluster.GroupInfo(kafkatest.Group)
	if group == nil {
		return
	}
	for partition, committed := range group.Commits[kafkatest.Input] {
		if places[partition] != committed.Offset {
			w.Errorf("partition %d: place %d is noted, and offset %d committed", partition, places[partition], committed.Offset)
		}
	}
}

// wrong says what an outcome breaks.
func wrong(o kafkatest.Outcome, delivery pipeline.Delivery) error {
	if !o.AllCommitted {
		return errors.Join(fmt.Errorf("%d records were not committed after healing", o.Left), o.Report.Err())
	}
	if delivery == pipeline.AtLeastOnce {
		return o.Report.AtLeastOnce().Err()
	}
	return o.Report.Err()
}

func TestSchedulesLoseAndDoubleNothing(t *testing.T) {
	for _, build := range []struct {
		delivery pipeline.Delivery
		protocol string
		part     int // of all schedules
	}{
		{pipeline.ExactlyOnce, consumers.ClassicProtocol, 1},
		{pipeline.AtLeastOnce, consumers.ClassicProtocol, 5},
		{pipeline.ExactlyOnce, consumers.ConsumerProtocol, 3},
	} {
		name := fmt.Sprintf("%s, %s protocol", build.delivery, build.protocol)
		t.Run(name, func(t *testing.T) {
			first, count := uint64(1), (*schedules+build.part-1)/build.part
			if *seed != 0 {
				first, count = *seed, 1
			}
			var polled, committed, rescued atomic.Int64
			t.Run("seeds", func(t *testing.T) {
				for i := range count {
					s := kafkatest.Schedule{Seed: first + uint64(i), Build: ours(build.delivery, build.protocol)} //nolint:gosec // small
					s.Refusals = s.Seed%3 == 0
					if s.Seed%4 == 0 {
						s.Options = clusters["before"]
					}
					t.Run(fmt.Sprint(s.Seed), func(t *testing.T) {
						t.Parallel()
						o := s.Run(t)
						polled.Add(o.Polled)
						committed.Add(o.Committed)
						if o.Rescued {
							rescued.Add(1)
							t.Logf("seed %d was committed only by emptying the group:\n\t%s", s.Seed, strings.Join(o.Story, "\n\t"))
						}
						if err := wrong(o, build.delivery); err != nil {
							t.Errorf("%v\n\t%s\nrun it alone: go test -tags synctests -run %s ./consumers -seed %d", err,
								strings.Join(o.Story, "\n\t"), "TestSchedulesLoseAndDoubleNothing/"+strings.ReplaceAll(name, " ", "_"), s.Seed)
						}
					})
				}
			})
			t.Logf("%d schedules, %d cycles, %d committed, %d by emptying the group", count, polled.Load(), committed.Load(), rescued.Load())
			if limit := int64(1); rescued.Load() > limit {
				t.Errorf("%d of %d groups had to be emptied: want at most %d", rescued.Load(), count, limit)
			}
		})
	}
}
