package deadletters

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// Keys say nothing of where a record was: other clients choose otherwise, and so did a topic that has more partitions now.
func TestReplayGoesBackIntoThePartitionThatTheRecordCameFrom(t *testing.T) {
	w := newWorld(t)
	for partition := range int32(2) {
		for i := range 4 {
			w.die(w.review(partition, fmt.Sprintf("k%d", i), "x"), pipeline.ClassDecode, "not JSON")
		}
	}
	w.die(w.review(1, "", "without a key"), pipeline.ClassDecode, "not JSON")
	if got := w.replay(ReplayOptions{Write: true}); got.To[raw] != 9 {
		t.Fatalf("got %+v, want nine put back", got)
	}
	client := w.newClient(kgo.ConsumeTopics(raw), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for seen := 0; seen < 18; {
		for r := range client.PollFetches(w.ctx).RecordsAll() {
			seen++
			for _, h := range r.Headers {
				if from, ok := strings.CutPrefix(string(h.Value), raw+"/"); ok && h.Key == "nearline-replay-source" && !strings.HasPrefix(from, fmt.Sprint(r.Partition, "/")) {
					t.Errorf("what came from %s of %s is in partition %d", from, raw, r.Partition)
				}
			}
		}
	}
}

// listed are the letters, each with what was done about it.
func (w *world) listed(filter Filter) (got []string) {
	w.Helper()
	if _, err := w.open().List(w.ctx, filter, 0, func(l Listed) error {
		got = append(got, fmt.Sprintf("%s:%s", l.Letter.Key, l.Dealt))
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	return got
}

func TestADeadLetterIsDealtWithOnceInWhateverWay(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"repaired", "dismissed", "replayed", "left"} {
		w.die(w.review(1, key, "{"+key), pipeline.ClassDecode, "not JSON")
	}
	at := func(offset int64) Filter { return Filter{Places: []Place{{1, offset}}} }
	repair := func(_ context.Context, r *pipeline.Record) ([]byte, error) { return append(r.Value, '}'), nil }
	if got := w.replay(ReplayOptions{Write: true, Filter: at(0), Repair: repair}); got.To[raw] != 1 || got.Picked != 1 {
		t.Errorf("repair: got %+v, want one put back", got)
	}
	if got := w.replay(ReplayOptions{Filter: at(1), Dismiss: true}); got.Dead != 1 {
		t.Errorf("dry run: got %+v, want that one would be dismissed", got)
	}
	if got := w.replay(ReplayOptions{Write: true, Filter: at(1), Dismiss: true, Note: "spam"}); got.Dead != 1 || len(got.To) != 0 {
		t.Errorf("dismiss: got %+v, want one dismissed and none put back", got)
	}
	w.replay(ReplayOptions{Write: true, Filter: at(2)})
	w.want("the list", w.listed(Filter{}), "repaired:repaired\ndismissed:dismissed\nreplayed:replayed\nleft:")
	w.want("what is left", w.listed(Filter{Left: true}), "left:")

	failing := func(context.Context, *pipeline.Record) ([]byte, error) { return nil, errors.New("jq says no") }
	got := w.replay(ReplayOptions{Write: true, Repair: failing})
	if got.Already != 3 || got.Total() != 0 || got.Skipped["the repair failed"] != 1 || !strings.Contains(got.Example["the repair failed"], "jq says no") {
		t.Errorf("got %+v, want that the others are left alone, and the last was not repaired", got)
	}
	counts, _, err := w.open().Counts(w.ctx, Filter{}, []string{"class"})
	if err != nil || len(counts) != 1 || counts[0].Letters != 4 || counts[0].Replayed != 2 || counts[0].Dismissed != 1 {
		t.Errorf("got %+v, %v, want 4 letters, 2 put back and 1 dismissed", counts, err)
	}
	// Whoever dismissed it may think again.
	w.replay(ReplayOptions{Write: true, Filter: at(1), Again: true})
	w.want("the dismissed one", w.listed(at(1)), "dismissed:replayed")
	found := false
	for _, record := range w.all(raw) {
		found = found || strings.HasPrefix(record, "repaired={repaired} nearline-replay-attempt:1")
	}
	if !found {
		t.Errorf("got %q, want the repaired value under its key", w.all(raw))
	}
}
