package hostile

import (
	"testing"
	"time"

	load "nearline/internal/hostile"
)

// TestHostileRecordsHurtNobodyElse has the service read 100,000 records of which two in three hurt, bombs of a gigabyte among them.
// Each has its one effect, and the process neither ends nor grows.
func TestHostileRecordsHurtNobodyElse(t *testing.T) {
	const records, seed, most = 100_000, 11, 512 // MiB
	s := newSite(t)
	service := s.start()
	began := time.Now()
	ledger, err := load.Load{Topic: raw, Records: records, Seed: seed, Bombs: []int64{100 << 20, 300 << 20, 1000 << 20}}.Write(s.ctx, s.client)
	if err != nil {
		t.Fatal(err)
	}
	written := time.Since(began)
	report, err := ledger.Await(s.ctx, s.cluster.Direct(), scored, dead, 2*time.Minute)
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
	t.Logf("nearline dlq count says\n%s", s.run("dlq", "count", "--config", s.config, "--by", "class"))
}
