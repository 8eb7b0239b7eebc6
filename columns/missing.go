package columns

import (
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what the columns of a pipeline's models lack.
type Metrics struct{ missing *prometheus.CounterVec }

// NewMetrics registers the metrics of a pipeline's columns.
func NewMetrics(registry prometheus.Registerer, pipeline string) *Metrics {
	m := &Metrics{missing: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nearline_predict_missing_values_total", ConstLabels: prometheus.Labels{"pipeline": pipeline},
		Help: "Rows in which a column of a model of tables had no value, so that the model read its default, or that it is missing. One that grows as fast as records are scored is probably read from a path that is not there.",
	}, []string{"model", "column"})}
	registry.MustRegister(m.missing)
	return m
}

// Missing is a column that has had no value in any row so far.
type Missing struct {
	Column string
	Path   string // where its value was looked for
	Rows   int64  // that had none
}

// tally is how often a column had a value. Members, requests and chunks of a file count together.
type tally struct {
	found   atomic.Bool
	missing atomic.Int64
	counter prometheus.Counter // nil counts nothing
	never   func(rows int64)   // nil tells nobody
}

// mostMissing is after how many rows without a value a column is told of, once. A guess: enough that a value which few events have is among them.
const mostMissing = 100

func (t *tally) count(found bool) {
	if found {
		if !t.found.Load() { // or else all cores would write to the one line of cache
			t.found.Store(true)
		}
		return
	}
	rows := t.missing.Add(1)
	if t.counter != nil {
		t.counter.Inc()
	}
	if rows == mostMissing && !t.found.Load() && t.never != nil {
		t.never(rows)
	}
}

// Watch has missing values counted, and logs columns that have had none but these. It is called before the first row.
func (c *Maker) Watch(metrics *Metrics, logger *slog.Logger) {
	for i := range c.values {
		v := &c.values[i]
		c.tallies[i].counter = metrics.missing.WithLabelValues(c.model, v.name)
		c.tallies[i].never = func(rows int64) {
			logger.Warn("a column of the model has had no value in any row so far, so that the model read its default, or that it is missing: is its path right?",
				"model", c.model, "column", v.name, "path", v.path(), "rows", rows)
		}
	}
}

// Missing are the columns that have had no value in any row so far, in the order of their names.
func (c *Maker) Missing() []Missing {
	var list []Missing
	for i := range c.values {
		if rows := c.tallies[i].missing.Load(); rows > 0 && !c.tallies[i].found.Load() {
			list = append(list, Missing{Column: c.values[i].name, Path: c.values[i].path(), Rows: rows})
		}
	}
	return list
}

// Watch has missing values of candidates' columns counted, as Maker.Watch does.
func (c *Candidates) Watch(metrics *Metrics, logger *slog.Logger) {
	c.columns.Watch(metrics, logger)
}

// Missing are the columns that no candidate had a value for so far.
func (c *Candidates) Missing() []Missing { return c.columns.Missing() }

// path that the value is at; of a cross, those of its parts.
func (v *columnValue) path() string {
	if v.parts == nil {
		return v.from.path
	}
	paths := make([]string, len(v.parts))
	for i := range v.parts {
		paths[i] = v.parts[i].path()
	}
	return strings.Join(paths, " and ")
}
