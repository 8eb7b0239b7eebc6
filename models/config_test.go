package models

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"nearline/batching"
)

func TestConfigNamesEveryProblem(t *testing.T) {
	c := Config{
		Versions:    map[string]int{"m": 0},
		Device:      "gpu",
		Slots:       -1,
		Threads:     -2,
		HangTimeout: -time.Second,
		Batch:       BatchConfig{MaxItems: -1, MaxTokens: -1, MaxPadding: 0.5, Bound: -1, Buckets: []int{8, 0}},
	}
	err := c.Validate("models")
	if err == nil {
		t.Fatal("got no error")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{
		"models.repository is empty: want ", "models.versions.m is 0: want ", `models.device is "gpu": want `, "models.slots is -1: want ",
		"models.threads is -2: want ", "models.hang_timeout is -1s: want ", "models.batch.max_items is -1: want ",
		"models.batch.max_tokens is -1: want ", "models.batch.max_padding is 0.5: want ", "models.batch.buckets[1] is 0: want ",
		"models.batch.bound is -1: want ",
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d: got %q, want it to begin with %q", i, lines[min(i, len(lines)-1)], want)
		}
	}
	if err := DefaultConfig().Validate("models"); err != nil {
		t.Errorf("the default: got %v", err)
	}
}

func TestSlotsFollowTheCores(t *testing.T) {
	c := DefaultConfig()
	if _, slots, threads := c.machine(); slots != runtime.GOMAXPROCS(0) || threads != 1 {
		t.Errorf("got %d slots of %d threads, want one thread on each of %d cores", slots, threads, runtime.GOMAXPROCS(0))
	}
	c.Threads = 1000
	if _, slots, _ := c.machine(); slots != 1 {
		t.Errorf("more threads than cores: got %d slots, want 1", slots)
	}
	c = Config{Device: "cuda"}
	if _, slots, _ := c.machine(); slots != 2 {
		t.Errorf("cuda: got %d slots, want 2", slots)
	}
}

func TestLimitsFollowTheDeviceAndTheGraph(t *testing.T) {
	batched := Config{Batch: BatchConfig{MaxItems: 32}}
	for _, c := range []struct {
		name   string
		config Config
		alone  bool
		want   int
	}{
		{"cpu", Config{}, false, 1},
		{"cuda", Config{Device: "cuda"}, false, 64},
		{"cuda, coupled rows", Config{Device: "cuda"}, true, 1},
		{"configured", batched, false, 32},
		{"configured, coupled rows", batched, true, 1},
	} {
		l, err := c.config.limits(512, c.alone)
		if err != nil || l.MaxItems != c.want {
			t.Errorf("%s: got %d items, %v, want %d", c.name, l.MaxItems, err, c.want)
		}
		if err := l.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := (Config{Batch: BatchConfig{MaxTokens: 128}}).limits(256, false); err == nil {
		t.Error("fewer tokens than a text may have: got no error")
	}
}

func TestBucketsKeepToTheModelsLimit(t *testing.T) {
	forced := BatchConfig{Buckets: []int{16, 64, 512, 1024}}
	for _, c := range []struct {
		name   string
		config Config
		alone  bool
		want   []int
	}{
		{"cpu", Config{}, false, nil},
		{"cuda", Config{Device: "cuda"}, false, batching.DefaultBuckets(100)},
		{"forced on cpu", Config{Batch: forced}, false, []int{16, 64, 100}},
		{"forced on cuda", Config{Device: "cuda", Batch: forced}, false, []int{16, 64, 100}},
		{"rows that run alone", Config{Device: "cuda", Batch: forced}, true, nil},
	} {
		l, err := c.config.limits(100, c.alone)
		if err != nil || !slices.Equal(l.Buckets, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, l.Buckets, err, c.want)
		}
	}
}
