package pipeline

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of all cycles of one pipeline. A nil *Metrics counts nothing.
type Metrics struct {
	cycles      *prometheus.CounterVec
	reopens     *prometheus.CounterVec
	records     *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	stages      *prometheus.HistogramVec
	cycle       prometheus.Histogram
	size        prometheus.Histogram
	age         prometheus.Histogram
	implausible prometheus.Counter
	restamped   *prometheus.CounterVec
	toldOdd     atomic.Bool // of a timestamp that is implausible

	mu      sync.Mutex // guards letters
	letters map[Class]int64
}

// NewMetrics registers the metrics of a pipeline's cycles.
func NewMetrics(registry prometheus.Registerer, pipeline string) *Metrics {
	labels := prometheus.Labels{"pipeline": pipeline}
	seconds := prometheus.ExponentialBuckets(0.001, 2, 15)
	m := &Metrics{
		letters: make(map[Class]int64),
		cycles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nearline_pipeline_cycles_total", ConstLabels: labels,
			Help: "Cycles by outcome. An aborted cycle had no effect, and its records were scored again: more than a few percent of them is wasted work.",
		}, []string{"outcome"}),
		reopens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nearline_pipeline_member_restarts_total", ConstLabels: labels,
			Help: "Times a member was closed and made anew from the committed offsets, by whose fault it was.",
		}, []string{"blame"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nearline_pipeline_records_total", ConstLabels: labels,
			Help: "Input records by their one committed effect: a result, a dead letter or a tombstone.",
		}, []string{"effect"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nearline_pipeline_dead_letters_total", ConstLabels: labels,
			Help: "Dead letters by class. A sudden rise of one class is usually one producer's new release.",
		}, []string{"class"}),
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nearline_pipeline_stage_seconds", ConstLabels: labels, Buckets: seconds,
			Help: "Time that one cycle spent in a stage: decode, each prediction step, encode, publish and commit. Under load, the prediction steps should be nearly all of it.",
		}, []string{"stage"}),
		cycle: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "nearline_pipeline_cycle_seconds", ConstLabels: labels, Buckets: seconds,
			Help: "Time from a cycle's poll to its commit. It must stay far below the rebalance timeout.",
		}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "nearline_pipeline_cycle_records", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(1, 2, 14),
			Help: "Records in a committed cycle: 1 at rest, up to cycle.max_records with a backlog.",
		}),
		age: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "nearline_pipeline_record_age_seconds", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.001, 2, 20),
			Help: "Age of the oldest record of a cycle at its commit, by the record's own timestamp, where that is plausible: what a reader of the output waits for.",
		}),
	}
	m.implausible = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "nearline_pipeline_implausible_timestamps_total", ConstLabels: labels,
		Help: "Input records whose timestamp is none, or no time in milliseconds: -1, 0, seconds, microseconds. The event's own time counts, or else the time of processing. Mend the producer.",
	})
	m.restamped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nearline_pipeline_restamped_results_total", ConstLabels: labels,
		Help: "Results and tombstones that carry the time of writing in place of their input's timestamp, by why: implausible; old for the topic's retention; ahead of what the topic takes; refused by it; log_append_time. The header nearline-source-timestamp has the input's.",
	}, []string{"why"})
	registry.MustRegister(m.cycles, m.reopens, m.records, m.deadLetters, m.stages, m.cycle, m.size, m.age, m.implausible, m.restamped)
	return m
}

// DeadLetters that this process has committed, by class.
func (m *Metrics) DeadLetters() map[Class]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.letters)
}

func (m *Metrics) stage(name string, began time.Time) { m.took(name, time.Since(began)) }

func (m *Metrics) took(stage string, took time.Duration) {
	if m != nil {
		m.stages.WithLabelValues(stage).Observe(took.Seconds())
	}
}

func (m *Metrics) aborted(blame Blame) {
	if m != nil {
		m.cycles.WithLabelValues("aborted_" + blame.String()).Inc()
	}
}

func (m *Metrics) reopened(blame Blame) {
	if m != nil {
		m.reopens.WithLabelValues(blame.String()).Inc()
	}
}

func (m *Metrics) committed(rows []*Row, began time.Time) {
	if m == nil {
		return
	}
	var scored, tombstones int
	classes := make(map[Class]int)
	oldest := time.Now()
	for _, row := range rows {
		switch {
		case row.Fault != nil:
			classes[row.Fault.Class]++
		case row.Record.Tombstone():
			tombstones++
		default:
			scored++
		}
		if t := row.Record.Timestamp; Plausible(t) && t.Before(oldest) {
			oldest = t
		}
	}
	m.records.WithLabelValues("result").Add(float64(scored))
	m.records.WithLabelValues("tombstone").Add(float64(tombstones))
	m.mu.Lock()
	for class, n := range classes {
		m.records.WithLabelValues("dead_letter").Add(float64(n))
		m.deadLetters.WithLabelValues(string(class)).Add(float64(n))
		m.letters[class] += int64(n)
	}
	m.mu.Unlock()
	m.cycles.WithLabelValues("committed").Inc()
	m.size.Observe(float64(len(rows)))
	m.cycle.Observe(time.Since(began).Seconds())
	m.age.Observe(time.Since(oldest).Seconds())
}

// stamped counts what was committed by its timestamps. It returns the first input record whose timestamp is implausible, once a pipeline.
func (m *Metrics) stamped(rows []*Row, outputs []Output) (odd *Record) {
	if m == nil {
		return nil
	}
	for _, row := range rows {
		if t := row.Record.Timestamp; t.IsZero() || Plausible(t) {
			continue
		}
		m.implausible.Inc()
		if odd == nil && m.toldOdd.CompareAndSwap(false, true) {
			odd = row.Record
		}
	}
	for i := range outputs {
		if why := outputs[i].Restamped; why != "" {
			m.restamped.WithLabelValues(string(why)).Inc()
		}
	}
	return odd
}
