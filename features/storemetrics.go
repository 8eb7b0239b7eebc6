package features

import "github.com/prometheus/client_golang/prometheus"

// storeMetrics say whether a store that lasts still has what was put into it.
type storeMetrics struct {
	refills *prometheus.CounterVec
	evicted prometheus.Counter
	behind  prometheus.Gauge
	removed prometheus.Counter
}

// Why a store is filled anew.
const (
	RefillOlder   = "older"
	RefillEmptied = "emptied"
	RefillEvicted = "evicted"
)

func newStoreMetrics(registry prometheus.Registerer, labels prometheus.Labels) *storeMetrics {
	m := &storeMetrics{
		refills: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nearline_features_store_refills_total", ConstLabels: labels,
			Help: "How often this replica found that the store lacks what was put into it, and had it filled anew, by reason: older (a snapshot was " +
				"restored, or a replica took over that lagged), emptied, or evicted (the store removed keys for want of memory).",
		}, []string{"reason"}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nearline_features_store_evicted_keys_total", ConstLabels: labels,
			Help: "Keys that the servers of the store removed for want of memory, of whatever view. Lookups of these have defaults until the store is filled anew.",
		}),
		behind: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nearline_features_store_behind", ConstLabels: labels,
			Help: "1 while the store is known to lack some of what was put into it, until it has been filled anew. Lookups have older values or defaults meanwhile.",
		}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nearline_features_store_removed_keys_total", ConstLabels: labels,
			Help: "Keys that a store which came back older still had, and that had been deleted since.",
		}),
	}
	for _, reason := range []string{RefillOlder, RefillEmptied, RefillEvicted} {
		m.refills.WithLabelValues(reason)
	}
	registry.MustRegister(m.refills, m.evicted, m.behind, m.removed)
	return m
}

// StoreBehind says whether the store is known to lack something.
func (m *Metrics) StoreBehind(behind bool) {
	if m == nil {
		return
	}
	m.store.behind.Set(0)
	if behind {
		m.store.behind.Set(1)
	}
}

// StoreRefilled counts a store that is filled anew.
func (m *Metrics) StoreRefilled(reason string) {
	if m != nil {
		m.store.refills.WithLabelValues(reason).Inc()
	}
}

// StoreEvicted counts keys that the store's servers removed.
func (m *Metrics) StoreEvicted(keys int64) {
	if m != nil {
		m.store.evicted.Add(float64(keys))
	}
}

// StoreRemoved counts keys that had to be removed from a store which came back older.
func (m *Metrics) StoreRemoved(keys int) {
	if m != nil {
		m.store.removed.Add(float64(keys))
	}
}

// Refills for a reason, as a counter.
func (m *Metrics) Refills(reason string) prometheus.Counter {
	return m.store.refills.WithLabelValues(reason)
}

// Evicted is the counter of StoreEvicted.
func (m *Metrics) Evicted() prometheus.Counter { return m.store.evicted }

// Behind is the gauge of StoreBehind.
func (m *Metrics) Behind() prometheus.Gauge { return m.store.behind }
