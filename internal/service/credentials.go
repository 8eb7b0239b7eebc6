package service

import (
	"log/slog"
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

	mu  sync.Mutex // guards bad
	bad map[string]bool
}

func newCredentials(registry *prometheus.Registry, log *slog.Logger) *credentials {
	c := &credentials{log: log, bad: make(map[string]bool), stale: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "nearline_credentials_stale",
		Help: "1 while the file of a secret or a certificate cannot be used, and its last good content is; the log says what is wrong with it.",
	}, []string{"key"})}
	registry.MustRegister(c.stale, &c.expiry)
	return c
}

// watchSecrets watches the files of secrets.
func (c *credentials) watchSecrets(all []secret.Text) {
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
