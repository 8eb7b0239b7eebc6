package consumers

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of all members of one pipeline. A nil *Metrics counts nothing.
type Metrics struct {
	retention  prometheus.Counter
	truncation prometheus.Counter
	partitions *prometheus.CounterVec
	lag        *lagGauge
	doubts     prometheus.Counter
	resumes    prometheus.Counter
	namesakes  prometheus.Counter
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
		partitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nearline_consumer_partition_changes_total", ConstLabels: labels,
			Help: "Input partitions that members of this process were assigned, gave up in a rebalance (revoked), or were found to have lost. Steps come with replicas that come and go; a steady rate is a group that does not settle.",
		}, []string{"change"}),
		lag: newLagGauge(labels),
	}
	m.doubts = prometheus.NewCounter(prometheus.CounterOpts{
		Name:        "nearline_consumer_doubted_ranges_total",
		Help:        "Ranges of records that a process did not come to an end with, and that were therefore taken in small cycles. One after a machine was lost is nothing; several in a row are a record that ends processes, which becomes a dead letter of class crash.",
		ConstLabels: labels,
	})
	m.resumes = prometheus.NewCounter(prometheus.CounterOpts{
		Name:        "nearline_consumer_resumed_partitions_total",
		Help:        "Partitions that the group had lost its offset of, and that went on where the topic of progress says. The pipeline stood still for longer than the brokers keep offsets (offsets.retention.minutes), or somebody deleted them.",
		ConstLabels: labels,
	})
	m.namesakes = prometheus.NewCounter(prometheus.CounterOpts{
		Name:        "nearline_consumer_namesakes_total",
		Help:        "Times that a member was fenced while another process had a member of its name. Anything above zero is two replicas with one kafka.replica, or on two hosts of one name: give each its own.",
		ConstLabels: labels,
	})
	for _, change := range []string{changeAssigned, changeRevoked, changeLost} {
		m.partitions.WithLabelValues(change)
	}
	registry.MustRegister(m.retention, m.truncation, m.partitions, m.lag, m.doubts, m.resumes, m.namesakes)
	return m
}

// Lag shows the lag of each partition; nil says that it is unknown.
func (m *Metrics) Lag(records map[int32]int64) {
	if m == nil {
		return
	}
	m.lag.records.Store(&records)
}

// lagGauge shows the lag of the partitions that there are, and of no others: one that is gone would keep its last value for ever.
type lagGauge struct {
	description *prometheus.Desc
	records     atomic.Pointer[map[int32]int64]
}

func newLagGauge(labels prometheus.Labels) *lagGauge {
	return &lagGauge{description: prometheus.NewDesc("nearline_consumer_lag_records",
		"Input records that wait to be scored, by partition, as the cluster tells: every replica says the same, so take the highest and not the sum. "+
			"Markers and aborted records of upstream transactions behind the last record count until the group has stood there for some seconds. "+
			"Absent while the cluster does not answer.",
		[]string{"partition"}, labels)}
}

// Describe implements prometheus.Collector.
func (g *lagGauge) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- g.description }

// Collect implements prometheus.Collector.
func (g *lagGauge) Collect(metrics chan<- prometheus.Metric) {
	records := g.records.Load()
	if records == nil {
		return
	}
	for partition, n := range *records {
		metrics <- prometheus.MustNewConstMetric(g.description, prometheus.GaugeValue, float64(n), strconv.Itoa(int(partition)))
	}
}

// What becomes of partitions.
const (
	changeAssigned = "assigned"
	changeRevoked  = "revoked"
	changeLost     = "lost"
)

func (m *Metrics) changed(change string, partitions map[string][]int32) {
	if m == nil {
		return
	}
	for _, ids := range partitions {
		m.partitions.WithLabelValues(change).Add(float64(len(ids)))
	}
}

func (m *Metrics) lostToRetention(n int64) {
	if m != nil && n > 0 {
		m.retention.Add(float64(n))
	}
}

func (m *Metrics) resumed() {
	if m != nil {
		m.resumes.Inc()
	}
}

func (m *Metrics) fencedByNamesake() {
	if m != nil {
		m.namesakes.Inc()
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
