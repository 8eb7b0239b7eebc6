package consumers

import "github.com/prometheus/client_golang/prometheus"

// Metrics of all members of one pipeline. A nil *Metrics counts nothing.
type Metrics struct {
	retention  prometheus.Counter
	truncation prometheus.Counter
	doubts     prometheus.Counter
}

// NewMetrics registers the metrics of a pipeline's members.
func NewMetrics(registry prometheus.Registerer, pipeline string) *Metrics {
	labels := prometheus.Labels{"pipeline": pipeline}
	m := &Metrics{
		retention: prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "nearline_consumer_retention_lost_records_total",
			Help:        "Input records that the topic's retention removed before they were read. Anything above zero is data that was never scored: the group lags more than the topic keeps.",
			ConstLabels: labels,
		}),
		truncation: prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "nearline_consumer_truncated_records_total",
			Help:        "Input records that were read and that the broker no longer has, after an unclean leader election. Their results may have no input any more.",
			ConstLabels: labels,
		}),
	}
	m.doubts = prometheus.NewCounter(prometheus.CounterOpts{
		Name:        "nearline_consumer_doubted_ranges_total",
		Help:        "Ranges of records that a process did not come to an end with, and that were therefore taken in small cycles. One after a machine was lost is nothing; several in a row are a record that ends processes, which becomes a dead letter of class crash.",
		ConstLabels: labels,
	})
	registry.MustRegister(m.retention, m.truncation, m.doubts)
	return m
}

func (m *Metrics) lostToRetention(n int64) {
	if m != nil && n > 0 {
		m.retention.Add(float64(n))
	}
}

func (m *Metrics) doubted() {
	if m != nil {
		m.doubts.Inc()
	}
}

func (m *Metrics) lostToTruncation(n int64) {
	if m != nil && n > 0 {
		m.truncation.Add(float64(n))
	}
}
