package batching

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestLimitsNameKeyValueAndRemedy(t *testing.T) {
	for _, c := range []struct {
		change func(*Limits)
		want   string
	}{
		{func(l *Limits) {}, ""},
		{func(l *Limits) { l.MaxItems = 0 }, "max_items is 0: want at least 1"},
		{func(l *Limits) { l.MaxTokens = -1 }, "max_tokens is -1: want at least the model's token limit"},
		{func(l *Limits) { l.MaxPadding = 0.5 }, "max_padding is 0.5: want at least 1 (rows of equal length only), such as 1.1"},
		{func(l *Limits) { l.MaxPadding = math.NaN() }, "max_padding is NaN: want at least 1 (rows of equal length only), such as 1.1"},
		{func(l *Limits) { l.Order = 9 }, "order is 9: want nearest (0) or first come (1)"},
		{func(l *Limits) { l.Buckets = []int{8, 16} }, ""},
		{func(l *Limits) { l.Buckets = []int{0, 16} }, "buckets is [0 16]: want lengths of at least 1, each above the last"},
		{func(l *Limits) { l.Buckets = []int{8, 8} }, "buckets is [8 8]: want lengths of at least 1, each above the last"},
		{func(l *Limits) { l.Packed = true }, ""},
		{func(l *Limits) { l.Packed, l.Buckets = true, []int{8, 16} }, "buckets is [8 16]: packed rows are not padded, want none"},
		{func(l *Limits) { l.Bound = 0 }, "bound is 0: want at least 1, and max_items or more to fill a batch"},
		{func(l *Limits) { l.MaxItems, l.Bound = 0, 0 },
			"max_items is 0: want at least 1\nbound is 0: want at least 1, and max_items or more to fill a batch"},
	} {
		limits := loose
		c.change(&limits)
		got := ""
		if err := limits.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: got %q, want %q", limits, got, c.want)
		}
	}
}

func TestDeviceConfigNamesKeyValueAndRemedy(t *testing.T) {
	for _, c := range []struct {
		config DeviceConfig
		want   string
	}{
		{DeviceConfig{Name: "cpu", Slots: 1, MaxWait: DefaultMaxWait}, ""},
		{DeviceConfig{Slots: 1}, "name is empty: want what metrics call the device, such as cpu"},
		{DeviceConfig{Name: "cpu"}, "slots is 0: want at least 1"},
		{DeviceConfig{Name: "cpu", Slots: 1, MaxWait: [3]time.Duration{Stream: -1}}, "max_wait.stream is -1ns: want 0 (no limit) or more"},
		{DeviceConfig{Name: "cpu", Slots: 1, HangTimeout: -time.Second}, "hang_timeout is -1s: want 0 (no limit), or well over the longest run"},
	} {
		got := ""
		if err := c.config.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: got %q, want %q", c.config, got, c.want)
		}
	}
}

func TestBrokenPromisesPanic(t *testing.T) {
	d := NewDevice(DeviceConfig{Name: "test", Slots: 1})
	q := NewQueue(d, "q", loose, func(int, []Item[int]) error { return nil })
	for name, call := range map[string]func(){
		"device without slots": func() { NewDevice(DeviceConfig{Name: "cpu"}) },
		"queue without limits": func() { NewQueue(d, "q", Limits{}, func(int, []Item[int]) error { return nil }) },
		"unknown class":        func() { q.Group(3) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic")
				}
			}()
			call()
		})
	}
	if got, want := fmt.Sprint(Online, Stream, Backfill, Class(3)), "online stream backfill class 3"; got != want {
		t.Errorf("classes: got %q, want %q", got, want)
	}
}

func TestWidthIsTheBucketUnlessABoundForbidsIt(t *testing.T) {
	l := Limits{MaxTokens: 100, MaxPadding: 1.25, Buckets: []int{8, 16, 32}}
	for _, c := range []struct {
		name                string
		longest, rows, real int
		want                int
	}{
		{"a bucket", 8, 2, 16, 8},
		{"up to the next", 13, 2, 26, 16},
		{"padding past its bound", 9, 2, 18, 9},
		{"neighbours leave no room to pad", 14, 3, 38, 14},
		{"tokens within their bound", 30, 3, 90, 32},
		{"tokens past their bound", 31, 4, 124, 31},
		{"longer than all buckets", 33, 1, 33, 33},
		{"a row alone", 1, 1, 1, 1},
	} {
		if got := l.Width(c.longest, c.rows, c.real); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
	if got := (&Limits{MaxTokens: 100, MaxPadding: 9}).Width(13, 2, 26); got != 13 {
		t.Errorf("without buckets: got %d, want 13", got)
	}
}

func TestDefaultBucketsEndAtTheLimit(t *testing.T) {
	for _, limit := range []int{1, 7, 16, 17, 100, 128, 384, 512, 8192} {
		buckets := DefaultBuckets(limit)
		if err := (Limits{MaxItems: 1, MaxTokens: limit, MaxPadding: 1, Bound: 1, Buckets: buckets}).Validate(); err != nil {
			t.Fatalf("%d: %v", limit, err)
		}
		if last := buckets[len(buckets)-1]; last != limit {
			t.Errorf("%d: the last bucket is %d", limit, last)
		}
		for i := 1; i < len(buckets); i++ {
			if wide := float64(buckets[i]) / float64(buckets[i-1]+1); wide > 1.125 {
				t.Errorf("%d: from %d to %d adds %.3f, want at most an eighth", limit, buckets[i-1]+1, buckets[i], wide)
			}
		}
	}
	if n := len(DefaultBuckets(512)); n != 56 {
		t.Errorf("got %d buckets up to 512, want 56", n)
	}
}
