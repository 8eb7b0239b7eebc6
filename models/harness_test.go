package models

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nearline/batching"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// repository makes a model repository: each model has version 1, copied from a folder of onnx/testdata, and then the
// files, by their paths below the repository.
func repository(t testing.TB, models map[string]string, files map[string]string) Config {
	t.Helper()
	c := DefaultConfig()
	c.Repository = t.TempDir()
	for name, from := range models {
		if err := os.CopyFS(filepath.Join(c.Repository, name, "1"), os.DirFS(filepath.Join("onnx", "testdata", from))); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range files {
		path = filepath.Join(c.Repository, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// constantModel is a repository of one constant, named plumbing.
func constantModel(t testing.TB) Config {
	return repository(t, nil, map[string]string{"plumbing/1/nearline.yaml": "task: constant\ncolumns: {sentiment: {label: positive, score: 0.5}, helpfulness: 0.25}\n"})
}

// running makes the config's device and runs it for the time of the test.
func running(t testing.TB, c Config) *batching.Device {
	t.Helper()
	device := c.NewDevice()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- device.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run device: %v", err)
		}
	})
	return device
}

// loaded loads a model for the time of the test.
func loaded(t testing.TB, c Config, name string, device *batching.Device) *Model {
	t.Helper()
	return loadedWithin(t, c, name, batching.Limits{}, device)
}

// loadedWithin loads it with limits of its own, unless they are zero.
func loadedWithin(t testing.TB, c Config, name string, limits batching.Limits, device *batching.Device) *Model {
	t.Helper()
	m, err := LoadUnchecked(context.Background(), c, name, limits, device, NewMetrics(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("the model does not drain"))
		defer cancel()
		if err := m.Close(ctx); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
	})
	return m
}

// numbered are the texts t0, t1 and so on.
func numbered(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = "t" + strconv.Itoa(i)
	}
	return texts
}
