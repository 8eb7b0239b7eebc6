package stories

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"nearline/e2e/cluster"
)

// root of the checkout, and what is built and kept there.
var (
	root    = absolute("../..")
	program = filepath.Join(root, "bin", "nearline")
	cache   = filepath.Join(root, ".cache", "e2e")
	kept    = filepath.Join(cache, "stories") // configurations and logs of the last run
)

func absolute(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		panic(err) // the working directory is gone
	}
	return path
}

// shared cluster of all stories, brought up by the first.
var shared struct {
	sync.Once
	cluster *cluster.Cluster
	err     error
}

func TestMain(m *testing.M) {
	status := m.Run()
	for name, c := range map[string]*cluster.Cluster{"brokers": shared.cluster, "guarded-brokers": fortress.cluster} {
		if c == nil {
			continue
		}
		var err error
		if status != 0 {
			err = c.KeepLogs(context.Background(), filepath.Join(kept, name))
		}
		if err := errors.Join(err, c.Close()); err != nil {
			fmt.Fprintln(os.Stderr, "remove a cluster:", err)
			status = 1
		}
	}
	os.Exit(status)
}

// sharedCluster skips the test where no container engine answers, unless NEARLINE_E2E_REQUIRED is set.
func sharedCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	shared.Do(func() {
		if _, shared.err = os.Stat(program); shared.err != nil {
			shared.err = fmt.Errorf("%w: run `make build` first", shared.err)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		began := time.Now()
		// Any that Nearline supports; the newest where none is named.
		// Retention sweeps each second, and not every five minutes: what it may take goes within a story. And the brokers forget the offsets of groups as
		// early as they can, so that each story shows that nothing depends on those.
		options := cluster.Options{Version: os.Getenv("NEARLINE_E2E_KAFKA"), Properties: map[string]string{
			"log.retention.check.interval.ms": "1000", "log.initial.task.delay.ms": "500",
			"offsets.retention.minutes": "1", "offsets.retention.check.interval.ms": "1000",
		}}
		if shared.cluster, shared.err = cluster.Start(ctx, options); shared.err == nil {
			t.Logf("three brokers of %s in %v", shared.cluster.Image, time.Since(began).Round(100*time.Millisecond))
		}
	})
	switch {
	case errors.Is(shared.err, cluster.ErrNoEngine):
		notRun(t, shared.err)
	case shared.err != nil:
		t.Fatalf("start a cluster: %v", shared.err)
	}
	return shared.cluster
}

// notRun skips a test for what the machine lacks, where nobody has said that all of them are required.
func notRun(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("NEARLINE_E2E_REQUIRED") != "" {
		t.Fatal(err)
	}
	t.Skipf("NOT RUN: %v; NEARLINE_E2E_REQUIRED=1 makes this a failure", err)
}
