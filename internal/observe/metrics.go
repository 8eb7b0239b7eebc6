package observe

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry has what every process of ours shows: the Go runtime, the process, and which build this is. A registry of
// our own rather than the default one, so that two services in one test do not share their numbers.
func NewRegistry(build Build) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "nearline_build_info",
		Help: "Always 1. Its labels say which build runs, to join with other metrics or to watch a rollout by.",
		ConstLabels: prometheus.Labels{
			"version":   build.Version,
			"revision":  build.Revision,
			"goversion": build.Go,
		},
	})
	info.Set(1)
	registry.MustRegister(
		info,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

// maxScrapes bounds how many answers with all metrics there are at once: each is some hundred kilobytes.
const maxScrapes = 16

// MetricsHandler answers with all metrics of the registry.
func MetricsHandler(registry *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), Registry: registry, MaxRequestsInFlight: maxScrapes,
	})
}
