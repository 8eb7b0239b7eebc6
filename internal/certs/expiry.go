package certs

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Expiry shows as metrics when files expire. It is safe for concurrent use.
type Expiry struct {
	mu    sync.Mutex // guards files
	files []*Files
}

var _ prometheus.Collector = (*Expiry)(nil)

// Add files to those that are shown, each pair and each file of authorities under its key.
func (e *Expiry) Add(files *Files) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.files = append(e.files, files)
}

var (
	expires = prometheus.NewDesc("nearline_certificate_expiry_timestamp_seconds",
		"When what the files of this key of the configuration hold expires, in seconds since 1970: of a certificate the first of its chain, of authorities the last of all.",
		[]string{"key"}, nil)
	lives = prometheus.NewDesc("nearline_certificate_lifetime_seconds",
		"How long that certificate is valid from beginning to end: one that is renewed in time has a good part of it left.", []string{"key"}, nil)
)

// Describe implements prometheus.Collector.
func (*Expiry) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- expires
	descriptions <- lives
}

// Collect implements prometheus.Collector. It reads the files.
func (e *Expiry) Collect(metrics chan<- prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.files {
		for key, c := range f.certificates() {
			metrics <- prometheus.MustNewConstMetric(expires, prometheus.GaugeValue, float64(c.NotAfter.Unix()), key)
			metrics <- prometheus.MustNewConstMetric(lives, prometheus.GaugeValue, c.NotAfter.Sub(c.NotBefore).Seconds(), key)
		}
	}
}
