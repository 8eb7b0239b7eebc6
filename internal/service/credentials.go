package service

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/features"
	"nearline/internal/certs"
	"nearline/internal/secret"
)

// credentials says of the files of secrets and certificates which of them cannot be used, so that older content is used in their place: once in the
// log, and in the metrics for as long as that lasts. It shows when certificates expire.
type credentials struct {
	log    *slog.Logger
	stale  *prometheus.GaugeVec
	expiry certs.Expiry

	mu      sync.Mutex // guards both below
	bad     map[string]bool
	secrets []secret.Text
}

var _ prometheus.Collector = (*credentials)(nil)

func newCredentials(registry *prometheus.Registry, log *slog.Logger) *credentials {
	c := &credentials{log: log, bad: make(map[string]bool), stale: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "nearline_credentials_stale",
		Help: "1 while the file of a secret or a certificate cannot be used, and its last good content is; the log says what is wrong with it.",
	}, []string{"key"})}
	registry.MustRegister(c)
	return c
}

// Describe implements prometheus.Collector.
func (c *credentials) Describe(descriptions chan<- *prometheus.Desc) {
	c.stale.Describe(descriptions)
	c.expiry.Describe(descriptions)
}

// Collect implements prometheus.Collector. It reads all files first: a login that needs one may be days away, and its file has to be mended before.
func (c *credentials) Collect(metrics chan<- prometheus.Metric) {
	c.mu.Lock()
	secrets := slices.Clone(c.secrets)
	c.mu.Unlock()
	for _, s := range secrets {
		_ = s.Value() // which reports
	}
	c.expiry.Collect(metrics)
	c.stale.Collect(metrics)
}

// watchSecrets watches the files of secrets.
func (c *credentials) watchSecrets(all []secret.Text) {
	c.mu.Lock()
	c.secrets = append(c.secrets, all...)
	c.mu.Unlock()
	for _, s := range all {
		s.Report(c.report)
	}
}

// watchFiles watches certificates; nil are none.
func (c *credentials) watchFiles(files *certs.Files) {
	if files != nil {
		files.Report(c.report)
		c.expiry.Add(files)
	}
}

// watchStore watches the certificates of a store that has some.
func (c *credentials) watchStore(store features.Store) {
	if secured, ok := store.(interface{ Certificates() *certs.Files }); ok {
		c.watchFiles(secured.Certificates())
	}
}

// report implements secret.Report.
func (c *credentials) report(key string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.bad[key]
	c.bad[key] = err != nil
	switch {
	case err != nil:
		c.stale.WithLabelValues(key).Set(1)
		c.log.Warn("a file of credentials cannot be used; its last good content is used meanwhile", "key", key, "error", err)
	case before:
		c.stale.WithLabelValues(key).Set(0)
		c.log.Info("a file of credentials can be used again", "key", key)
	default:
		c.stale.WithLabelValues(key).Set(0)
	}
}
