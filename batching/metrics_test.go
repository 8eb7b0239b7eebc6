package batching

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
)

// scrape returns the metrics as text, without help and types.
func scrape(t *testing.T, all ...prometheus.Collector) []string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(all...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatalf("lint: %v", err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatalf("write metrics: %v", err)
		}
	}
	var lines []string
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestMetricsTellWhatRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := launch(t, DeviceConfig{Slots: 1})
		j := &journal{lasts: time.Second}
		q := NewQueue(d, "sentiment", loose, j.run)
		twin := NewQueue(d, "sentiment", loose, j.run) // the next version, say
		online, stream := q.Group(Online), twin.Group(Stream)
		add(t, online, 0, 1, 30)
		synctest.Wait()
		add(t, online, 1, 1, 10, errors.New("bad")) // a batch with the next, then each alone
		add(t, online, 2, 1, 20)
		add(t, stream, 3, 1, 50)
		time.Sleep(250 * time.Millisecond)
		for _, want := range []string{
			`nearline_batching_oldest_run_seconds{device="test"} 0.25`,
			`nearline_batching_queue_rows{class="online",device="test",queue="sentiment"} 2`,
			`nearline_batching_queue_rows{class="stream",device="test",queue="sentiment"} 1`,
			`nearline_batching_slot_busy_seconds_total{device="test"} 0.25`,
		} {
			if lines := scrape(t, d); !slices.Contains(lines, want) {
				t.Errorf("while the first row runs: no %s in\n%s", want, strings.Join(lines, "\n"))
			}
		}
		online.Wait(t.Context())
		stream.Wait(t.Context())
		time.Sleep(time.Minute)
		lines := scrape(t, d)
		for _, want := range []string{
			`nearline_batching_oldest_run_seconds{device="test"} 0`,
			`nearline_batching_slots{device="test"} 1`,
			`nearline_batching_slot_busy_seconds_total{device="test"} 5`,
			`nearline_batching_queue_rows{class="online",device="test",queue="sentiment"} 0`,
			`nearline_batching_rows_total{class="online",device="test",queue="sentiment"} 3`,
			`nearline_batching_rows_total{class="stream",device="test",queue="sentiment"} 1`,
			`nearline_batching_failed_rows_total{device="test",queue="sentiment"} 1`,
			`nearline_batching_search_runs_total{device="test",queue="sentiment"} 2`,
			`nearline_batching_real_tokens_total{device="test",queue="sentiment"} 140`,
			`nearline_batching_padded_tokens_total{device="test",queue="sentiment"} 150`,
			`nearline_batching_batch_rows_bucket{device="test",queue="sentiment",le="1"} 2`,
			`nearline_batching_batch_rows_bucket{device="test",queue="sentiment",le="2"} 3`,
			`nearline_batching_batch_rows_sum{device="test",queue="sentiment"} 4`,
			`nearline_batching_wait_seconds_bucket{class="online",device="test",le="0.5"} 1`,
			`nearline_batching_wait_seconds_bucket{class="online",device="test",le="1"} 3`,
			`nearline_batching_wait_seconds_sum{class="online",device="test"} 2`,
			`nearline_batching_wait_seconds_sum{class="stream",device="test"} 4`,
		} {
			if !slices.Contains(lines, want) {
				t.Errorf("in the end: no %s in\n%s", want, strings.Join(lines, "\n"))
			}
		}
		got := d.Stats()
		want := Stats{
			Elapsed: 65 * time.Second, Busy: 5 * time.Second, Share: 5. / 65,
			Rows: 4, Batches: 5, RealTokens: 140, PaddedTokens: 150,
		}
		if got != want {
			t.Errorf("stats: got %+v, want %+v", got, want)
		}
	})
}

func TestMetricsOfSeveralDevicesAndQueues(t *testing.T) {
	a, b := NewDevice(DeviceConfig{Name: "a", Slots: 1}), NewDevice(DeviceConfig{Name: "b", Slots: 2})
	run := func(int, []Item[int]) error { return nil }
	old, next := NewQueue(a, "m", loose, run), NewQueue(a, "m", loose, run)
	NewQueue(b, "m", loose, run)
	has := func(device string) bool {
		return slices.Contains(scrape(t, a, b), `nearline_batching_failed_rows_total{device="`+device+`",queue="m"} 0`)
	}
	if !has("a") || !has("b") {
		t.Error("no metrics of a queue")
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	if !has("a") {
		t.Error("the metrics of a name ended before its last queue was retired")
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	if has("a") || !has("b") {
		t.Error("the metrics of a name go on after its last queue was retired")
	}
}
