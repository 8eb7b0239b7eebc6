package features

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/pipeline"
)

// Metrics of one view. A nil *Metrics counts nothing.
type Metrics struct {
	keyless  prometheus.Counter
	keys     *prometheus.GaugeVec
	expired  prometheus.Counter
	full     prometheus.Counter
	fullness *prometheus.GaugeVec
	restores prometheus.Histogram
	read     prometheus.Counter
	strange  prometheus.Counter
	age      prometheus.Histogram
	puts     prometheus.Counter
	newer    prometheus.Counter
	unfit    prometheus.Counter
	bad      prometheus.Counter
	deleted  prometheus.Counter
	lookups  *prometheus.CounterVec
	trips    prometheus.Histogram
	store    *storeMetrics
}

// NewMetrics registers the metrics of a view.
func NewMetrics(registry prometheus.Registerer, view string) *Metrics {
	labels := prometheus.Labels{"view": view}
	seconds := prometheus.ExponentialBuckets(0.001, 2, 20)
	m := &Metrics{
		keyless: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nearline_features_events_without_key_total", ConstLabels: labels,
			Help: "Events that lack the view's key, and so mean nothing for it.",
		}),
		keys: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "nearline_features_keys", ConstLabels: labels,
			Help: "Keys whose state this replica keeps. Memory grows with it; more replicas share them.",
		}, []string{"member"}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nearline_features_expired_keys_total", ConstLabels: labels,
			Help: "Keys that were forgotten, as they had no event for the view's ttl.",
		}),
		full: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nearline_features_refused_updates_total", ConstLabels: labels,
			Help: "Updates that became dead letters of class full: their key is a new one, and its partition has its share of max_keys.",
		}),
		fullness: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "nearline_features_fullness_ratio", ConstLabels: labels,
			Help: "Keys of the fullest partition that this replica keeps, as a part of its share of max_keys. At 1 new keys are refused, unless some have expired.",
		}, []string{"member"}),
		restores: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "nearline_features_restore_seconds", ConstLabels: labels, Buckets: seconds,
			Help: "Time to read a partition's state back after it changed hands. Its updates wait meanwhile.",
		}),
		read: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nearline_features_restored_records_total", ConstLabels: labels,
			Help: "Records read back of the topic of states.",
		}),
		strange: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nearline_features_unreadable_states_total", ConstLabels: labels,
			Help: "Records of the topic of states that are none: somebody else writes to it.",
		}),
		age: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "nearline_features_store_age_seconds", ConstLabels: labels, Buckets: seconds,
			Help: "Time from a state's being written to its topic to the store's having it, by the record's timestamp. What comes before is the age of records in the pipelines.",
		}),
		puts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nearline_features_stored_total", ConstLabels: labels,
			Help: "States put into the store.",
		}),
		deleted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nearline_features_deleted_updates_total", ConstLabels: labels,
			Help: "Updates that the service has deleted from their topic, in offsets: the view had read them, and they were older than features.retention.",
		}),
	}
	m.newer = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "nearline_features_older_entries_total", ConstLabels: labels,
		Help: "States that the store did not take, since it has a younger one of the key: another replica was faster. That is as it should be.",
	})
	m.unfit = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "nearline_features_unfit_entries_total", ConstLabels: labels,
		Help: "States that the store refuses for their own sake, such as one that is too large. They are left out, and the store keeps what it had of the key.",
	})
	m.bad = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "nearline_features_bad_entries_total", ConstLabels: labels,
		Help: "Answers of the store that are not, or not whole, an entry of the view: somebody else wrote to the key. Lookups have defaults in place of what cannot be read.",
	})
	m.lookups = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nearline_features_lookups_total", ConstLabels: labels,
		Help: "Keys that were looked up, each once a cycle, by who answered: the cache, the store, or nobody in time. Those of nobody are stale or defaults.",
	}, []string{"answered"})
	m.trips = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "nearline_features_lookup_seconds", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		Help: "Time that the keys of one cycle took, where the store was asked for any.",
	})
	m.store = newStoreMetrics(registry, labels)
	registry.MustRegister(m.keyless, m.keys, m.expired, m.full, m.fullness, m.restores, m.read, m.strange, m.age, m.puts, m.newer, m.unfit, m.bad, m.lookups, m.trips, m.deleted)
	return m
}

func (m *Metrics) skipped() {
	if m != nil {
		m.keyless.Inc()
	}
}

func (m *Metrics) holds(member string, keys int) {
	if m != nil {
		m.keys.WithLabelValues(member).Set(float64(keys))
	}
}

func (m *Metrics) forgot(keys int) {
	if m != nil {
		m.expired.Add(float64(keys))
	}
}

func (m *Metrics) refused(updates int) {
	if m != nil {
		m.full.Add(float64(updates))
	}
}

func (m *Metrics) fills(member string, ratio float64) {
	if m != nil {
		m.fullness.WithLabelValues(member).Set(ratio)
	}
}

func (m *Metrics) restored(records int, took time.Duration) {
	if m != nil {
		m.read.Add(float64(records))
		m.restores.Observe(took.Seconds())
	}
}

// Deleted counts updates that were deleted from their topic.
func (m *Metrics) Deleted(updates int64) {
	if m != nil {
		m.deleted.Add(float64(updates))
	}
}

func (m *Metrics) looked(answered string, keys int) {
	if m != nil {
		m.lookups.WithLabelValues(answered).Add(float64(keys))
	}
}

func (m *Metrics) took(began time.Time) {
	if m != nil {
		m.trips.Observe(time.Since(began).Seconds())
	}
}

func (m *Metrics) notTaken(o Outcome) {
	if m != nil {
		m.newer.Add(float64(o.Newer))
		m.unfit.Add(float64(len(o.Unfit)))
	}
}

// answered counts the bad ones of what the store said.
func (m *Metrics) answered(entries []*Entry) {
	if m == nil {
		return
	}
	for _, e := range entries {
		if e != nil && (e.Bad != nil || e.Unread > 0) {
			m.bad.Inc()
		}
	}
}

func (m *Metrics) unreadable() {
	if m != nil {
		m.strange.Inc()
	}
}

func (m *Metrics) stored(records []*pipeline.Record) {
	if m == nil {
		return
	}
	now := time.Now()
	for _, r := range records {
		if pipeline.Plausible(r.Timestamp) {
			m.age.Observe(max(now.Sub(r.Timestamp), 0).Seconds())
		}
	}
	m.puts.Add(float64(len(records)))
}
