package batching

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var _ prometheus.Collector = (*Device)(nil)

// metrics are the descriptions of a device's metrics. The device is a constant label, so that several can be registered.
type metrics struct {
	slots, busy, oldest   *prometheus.Desc
	wait                  *prometheus.Desc // by class
	waiting, rows         *prometheus.Desc // by queue and class
	failed, searches      *prometheus.Desc // by queue
	real, padded, batches *prometheus.Desc // by queue

	all []*prometheus.Desc
}

func newMetrics(device string) (m metrics) {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc("nearline_batching_"+name, help, labels, prometheus.Labels{"device": device})
		m.all = append(m.all, d)
		return d
	}
	m.slots = desc("slots", "Batches that the device runs at once.")
	m.busy = desc("slot_busy_seconds_total", "Time that slots spent running batches, all slots added up. Its rate divided by "+
		"nearline_batching_slots is the share of the device in use. Near 1 with rows waiting, the model is the bottleneck, "+
		"as it should be; below 0.97, something else is.")
	m.oldest = desc("oldest_run_seconds", "How long the oldest run that has not ended has lasted; 0 without one. A value that "+
		"keeps growing is a hung model: consumers go on to send heartbeats, so only this and liveness tell.")
	m.wait = desc("wait_seconds", "Time from a row's arrival to the start of its first run. Under a backlog, streams wait as "+
		"long as a full queue takes. Online rows should wait about one run; longer means too few slots for the online load "+
		"alone, or overdue rows that take turns with it.", "class")
	m.waiting = desc("queue_rows", "Rows that wait for a slot. At the queue's bound callers wait to add more, and back-pressure "+
		"reaches the fetch: usual while there is lag.", "queue", "class")
	m.rows = desc("rows_total", "Rows that a slot has taken, once each, whatever became of them.", "queue", "class")
	m.failed = desc("failed_rows_total", "Rows whose run ended in an error: those found guilty, and whole batches where the "+
		"device failed.", "queue")
	m.searches = desc("search_runs_total", "Runs of part of a failed batch in search of the guilty row: about twice the "+
		"logarithm of the batch's size for each. They are time taken from other rows.", "queue")
	m.real = desc("real_tokens_total", "Tokens of the rows that ran, without padding.", "queue")
	m.padded = desc("padded_tokens_total", "Tokens that the device computed for them: the length that the rows are padded to, times rows, summed over runs. "+
		"Divided by nearline_batching_real_tokens_total it is the price of padding.", "queue")
	m.batches = desc("batch_rows", "Rows in a batch when it was formed. Small batches while few rows wait are low latency; while "+
		"many wait, max_tokens or max_padding keeps them small.", "queue")
	return m
}

// Describe implements prometheus.Collector.
func (d *Device) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range d.metrics.all {
		out <- desc
	}
}

// Collect implements prometheus.Collector. The series of a queue end when the last queue of its name is retired.
func (d *Device) Collect(out chan<- prometheus.Metric) {
	for _, metric := range d.snapshot() {
		out <- metric
	}
}

// snapshot reads all metrics at one moment. Sending them may take as long as the reader likes, and so is not done under mu.
func (d *Device) snapshot() (all []prometheus.Metric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	counter := func(desc *prometheus.Desc, v float64, labels ...string) {
		all = append(all, prometheus.MustNewConstMetric(desc, prometheus.CounterValue, v, labels...))
	}
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		all = append(all, prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...))
	}
	m, now := &d.metrics, d.now()
	gauge(m.slots, float64(d.config.Slots))
	counter(m.busy, d.busy(now).Seconds())
	var lasted time.Duration
	if since, running := d.oldest(); running {
		lasted = now - since
	}
	gauge(m.oldest, lasted.Seconds())
	for class := range Class(classes) {
		all = append(all, d.stats.waits[class].metric(m.wait, float64(time.Second), class.String()))
	}
	for _, name := range slices.Sorted(maps.Keys(d.stats.series)) {
		s := d.stats.series[name]
		for class := range Class(classes) {
			waiting := 0
			for _, q := range d.backlog.queues {
				if q.series == s {
					waiting += q.lanes[class].size
				}
			}
			gauge(m.waiting, float64(waiting), name, class.String())
			counter(m.rows, float64(s.rows[class]), name, class.String())
		}
		counter(m.failed, float64(s.failed), name)
		counter(m.searches, float64(s.searches), name)
		counter(m.real, float64(s.realTokens), name)
		counter(m.padded, float64(s.paddedTokens), name)
		all = append(all, s.sizes.metric(m.batches, 1, name))
	}
	return all
}

// metric returns the histogram with its values divided by unit.
func (h *histogram) metric(desc *prometheus.Desc, unit float64, labels ...string) prometheus.Metric {
	var count uint64
	buckets := make(map[float64]uint64, len(h.bounds))
	for i, bound := range h.bounds {
		count += h.counts[i]
		buckets[float64(bound)/unit] = count
	}
	count += h.counts[len(h.bounds)]
	return prometheus.MustNewConstHistogram(desc, count, float64(h.sum)/unit, buckets, labels...)
}
