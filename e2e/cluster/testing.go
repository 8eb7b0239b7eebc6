package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ForTest brings a cluster up that ends with the test. Where no container engine answers the test is skipped, unless
// NEARLINE_E2E_REQUIRED is set. The brokers' logs of a test that failed are in .cache/e2e/logs of the checkout.
func ForTest(t testing.TB, o Options) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	c, err := Start(ctx, o)
	switch {
	case errors.Is(err, ErrNoEngine) && os.Getenv("NEARLINE_E2E_REQUIRED") == "":
		t.Skipf("NOT RUN, there is no container engine (%s); NEARLINE_E2E_REQUIRED=1 makes this a failure",
			strings.ReplaceAll(err.Error(), "\n", "; ")) // one line, for the summary
	case err != nil:
		t.Fatalf("start a cluster: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.keepLogs(t)
		}
		if err := c.Close(); err != nil {
			t.Errorf("remove the cluster: %v", err)
		}
	})
	t.Logf("%d brokers of %s in %v", len(c.brokers), c.Image, time.Since(began).Round(100*time.Millisecond))
	return c
}

func (c *Cluster) keepLogs(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	root, err := checkout()
	if err != nil {
		t.Log(err)
		return
	}
	folder := filepath.Join(root, ".cache", "e2e", "logs", strings.ReplaceAll(t.Name(), "/", "_"))
	if err := c.KeepLogs(ctx, folder); err != nil {
		t.Log(err)
		return
	}
	t.Logf("the brokers' logs are in %s", folder)
}

// checkout is the folder of this repository.
func checkout() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, ".ci", "run")); err == nil {
			return folder, nil
		}
		above := filepath.Dir(folder)
		if above == folder {
			return "", errors.New("this is not within a checkout of Nearline")
		}
		folder = above
	}
}
