package models

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics of all models of a process.
type Metrics struct {
	mu     sync.Mutex     // guards loaded
	loaded map[string]int // models of one set of labels

	loads     *prometheus.CounterVec
	info      *prometheus.GaugeVec
	seconds   *prometheus.HistogramVec
	tokens    *prometheus.CounterVec
	truncated *prometheus.CounterVec
	faults    *prometheus.CounterVec
}

// NewMetrics registers the metrics; with a nil registerer they are kept but not shown.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	auto := promauto.With(registerer)
	version := []string{"model", "version"}
	return &Metrics{
		loaded: make(map[string]int),
		loads: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "nearline_model_loads_total",
			Help: "Attempts to load a version of a model, by outcome: ready, or failed (a file is missing or wrong, a golden example did not reproduce).",
		}, []string{"model", "outcome"}),
		info: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "nearline_model_info",
			Help: "1 for each version of a model that is loaded, with the device that it runs on.",
		}, []string{"model", "version", "device"}),
		seconds: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nearline_model_run_seconds",
			Help: "Time of one run of the model on one micro-batch, failed runs included. It rises with the length of texts.",
			// From a small model's single row to a large batch.
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, version),
		tokens: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "nearline_model_tokens_total",
			Help: "Tokens of the texts that were run, padding not counted. The best measure of a text model's work.",
		}, version),
		truncated: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "nearline_model_truncated_rows_total",
			Help: "Texts that were cut to the model's token limit, so that it answered without their end.",
		}, version),
		faults: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "nearline_model_row_faults_total",
			Help: "Texts that the model failed on by themselves: the run failed with them alone, or the answer was not a finite number.",
		}, version),
	}
}

// series are the metrics of one version.
type series struct {
	seconds                   prometheus.Observer
	tokens, truncated, faults prometheus.Counter
}

func (m *Metrics) version(name string, version int) series {
	v := strconv.Itoa(version)
	return series{
		seconds:   m.seconds.WithLabelValues(name, v),
		tokens:    m.tokens.WithLabelValues(name, v),
		truncated: m.truncated.WithLabelValues(name, v),
		faults:    m.faults.WithLabelValues(name, v),
	}
}

// ran takes note of a run.
func (s series) ran(began time.Time, tokens int) {
	s.seconds.Observe(time.Since(began).Seconds())
	s.tokens.Add(float64(tokens))
}

// add a model that is loaded, or take it away with -1. The same version may be loaded twice while one takes the other's place.
func (m *Metrics) add(n int, labels []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := strings.Join(labels, "\x00")
	if m.loaded[key] += n; m.loaded[key] > 0 {
		m.info.WithLabelValues(labels...).Set(1)
		return
	}
	delete(m.loaded, key)
	m.info.DeleteLabelValues(labels...)
}
