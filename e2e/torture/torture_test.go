package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"nearline/e2e/cluster"
)

// TestTortureOnRealCluster has replicas and brokers hurt while records come, on three brokers: none may be lost, doubled or
// out of order. It is the short run of what `make torture` does for long.
func TestTortureOnRealCluster(t *testing.T) {
	const seed = 5
	program, err := filepath.Abs("../../bin/nearline")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	folder, err := filepath.Abs("../../.cache/e2e/torture")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	hurt, err := buildHurt(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.ForTest(t, cluster.Options{})
	o := ordeal{program: program, hurt: hurt, folder: folder, out: t.Output(), lasts: 90 * time.Second, rate: 1000, seed: seed,
		every: 3 * time.Second, faults: allFaults()}
	line, r, err := o.run(t.Context(), c)
	if err != nil {
		t.Errorf("%v", err)
	}
	t.Logf("%s", line)
	if r.Lost+r.Doubled+r.OutOfOrder+r.Misplaced+r.Unknown != 0 {
		t.Errorf("lost %d, doubled %d, out of order %d, misplaced %d, unknown %d: want none of each (seed %d)",
			r.Lost, r.Doubled, r.OutOfOrder, r.Misplaced, r.Unknown, seed)
	}
	// Fewer, and nothing was shown.
	if r.Records < 5000 || r.Faults < 10 {
		t.Errorf("%d records and %d faults: want at least 5000 and 10", r.Records, r.Faults)
	}
	ofCluster := 0
	for kind := range r.Stalls {
		switch kind {
		case "kill", "freeze", "leave", "join":
		default:
			ofCluster++
		}
	}
	if ofCluster < 3 {
		t.Errorf("%d kinds of the cluster's faults came, want at least 3: %s", ofCluster, line)
	}
}
