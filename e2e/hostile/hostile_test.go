package hostile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	load "nearline/internal/harness/hostile"
	"nearline/kafka"
	"nearline/pipeline"
)

// TestHostileRecordsHurtNobodyElse has the service read 100,000 records of which two in three hurt, bombs of a gigabyte among them.
// Each has its one effect, and the process neither ends nor grows.
func TestHostileRecordsHurtNobodyElse(t *testing.T) {
	const records, seed, most = 100_000, 11, 512 // MiB
	bombs := []int64{100 << 20, 300 << 20, 1000 << 20}
	s := newSite(t)
	service := s.start()
	began := time.Now()
	ledger, err := load.Load{Topic: raw, Records: records, Seed: seed, Bombs: bombs}.Write(s.ctx, s.client)
	if err != nil {
		t.Fatal(err)
	}
	written := time.Since(began)
	report, err := ledger.Await(s.ctx, kafka.Connection{Brokers: s.cluster.Direct()}.Client, scored, dead, 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	peak := s.peakMemory(service)
	s.stop(service)
	t.Logf("seed %d: %v; written in %v, all effects after %v; peak memory %d MiB", seed, report, written.Round(time.Second), time.Since(began).Round(time.Second), peak)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if report.Scored < records/4 || len(report.Classes) < 4 {
		t.Errorf("got %v, want a quarter scored and four classes at least: nothing else was shown", report)
	}
	if peak > most {
		t.Errorf("the process took %d MiB at its peak, want at most %d", peak, most)
	}
	s.replayLarge(report.Classes[pipeline.ClassTooLarge], 2*len(bombs))
	t.Logf("nearline dlq count says\n%s", s.run("dlq", "count", "--config", s.config, "--by", "class"))
}

// replayLarge puts what was too large into another topic: its dead letters are references, so the originals come from their topic, all but
// the bombs.
func (s *site) replayLarge(letters, bombs int) {
	s.Helper()
	const to = "reviews.large"
	if _, err := kadm.NewClient(s.client).CreateTopic(s.ctx, 3, 3, nil, to); err != nil {
		s.Fatal(err)
	}
	got := s.run("dlq", "replay", "--config", s.config, "--class", string(pipeline.ClassTooLarge), "--to", to, "--yes")
	for _, want := range []string{
		fmt.Sprintf("%d originals were put back into %s", letters-bombs, to),
		fmt.Sprintf("%d are left out: it does not fit into memory", bombs),
	} {
		if !strings.Contains(got, want) {
			s.Errorf("replay of what was too large: got\n%s, want %q", got, want)
		}
	}
	size := 0
	for _, r := range s.all(to) {
		size += len(r.Value)
	}
	s.Logf("%d MiB of originals came back by reference", size>>20)
}
