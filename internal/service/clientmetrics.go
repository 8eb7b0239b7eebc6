package service

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
)

// clientMetrics shows the Kafka clients' own metrics (kafka_…) of one pipeline, by member. A member that is made anew has a
// new client, whose metrics take the place of the old one's; a registry by itself refuses the same name twice.
type clientMetrics struct {
	pipeline string

	mu      sync.Mutex // guards members
	members map[int]*prometheus.Registry
}

func newClientMetrics(pipeline string) *clientMetrics {
	return &clientMetrics{pipeline: pipeline, members: make(map[int]*prometheus.Registry)}
}

// hook for a member's next client.
func (m *clientMetrics) hook(member int) kgo.Hook {
	registry := prometheus.NewRegistry()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members[member] = registry
	return kprom.NewMetrics("kafka", kprom.Registry(registry), kprom.WithStaticLabel(prometheus.Labels{
		"pipeline": m.pipeline, "member": strconv.Itoa(member),
	}))
}

// Describe implements prometheus.Collector. What there is to describe changes with the clients.
func (m *clientMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *clientMetrics) Collect(metrics chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, registry := range m.members {
		registry.Collect(metrics)
	}
}
