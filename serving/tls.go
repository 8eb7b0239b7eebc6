package serving

import (
	"crypto/tls"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/internal/certs"
	"nearline/internal/problems"
)

// TLS is how the server is spoken to so that nobody listens in.
//
// All files are PEM, and read again for each connection: see certs.Config.
type TLS struct {
	// Cert is a file of the server's certificate, with those between it and its authority, and Key one of its key, without a passphrase.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// ClientCertificates says whether whoever asks has to have a certificate of one of the authorities in CA: none, which is the default, or required. Probes
	// are answered without one.
	ClientCertificates string `yaml:"client_certificates"`
	// CA is a file of authorities.
	CA string `yaml:"ca"`
}

// What client_certificates may be.
const (
	CertificatesNone     = "none"
	CertificatesRequired = "required"
)

// Validate names every problem, each with its key below path, its value and the remedy.
func (c TLS) Validate(path string) error {
	var p problems.List
	p.Join(c.config().Validate(path))
	if c.Cert == "" && c.Key == "" {
		p.Add(path+".cert", "is missing: want the files of the server's certificate and its key in %s.cert and %s.key, or no %s", path, path, path)
	}
	switch c.ClientCertificates {
	case "", CertificatesNone:
		if c.CA != "" {
			p.Add(path+".ca", "is %q, and no client has to show a certificate: want client_certificates: %s, or no ca", c.CA, CertificatesRequired)
		}
	case CertificatesRequired:
		if c.CA == "" {
			p.Add(path+".ca", "is missing: want a file of the authorities whose clients may ask, or client_certificates: %s", CertificatesNone)
		}
	default:
		p.Add(path+".client_certificates", "is %q: want %s or %s", c.ClientCertificates, CertificatesNone, CertificatesRequired)
	}
	return p.Err()
}

func (c TLS) config() certs.Config { return certs.Config{CA: c.CA, Cert: c.Cert, Key: c.Key} }

// Files that are named, under the key of the section.
func (c TLS) Files(key string) *certs.Files { return certs.New(key, c.config()) }

// Paths of the files, for whoever knows which folder they are relative to.
func (c *TLS) Paths() []*string { return []*string{&c.Cert, &c.Key, &c.CA} }

// listener is what the server's connections speak. A client certificate is asked for and not demanded, since probes have none: access demands it.
func (c TLS) listener(files *certs.Files) *tls.Config {
	auth := tls.NoClientCert
	if c.ClientCertificates == CertificatesRequired {
		auth = tls.VerifyClientCertIfGiven
	}
	// HTTP/1.1 alone: what bounds connections counts on one request at a time on each.
	return files.Server(auth, "http/1.1")
}

// Client is how a program with the same configuration, such as a prober on the same machine, knows the server: by the certificate in its file, whatever
// names there are in it. Unread is told why it was not looked at: see certs.Files.Pinned. It is nil where no TLS is spoken, or without a file.
func (c Config) Client(unread func(error)) *tls.Config {
	if c.TLS == nil || c.TLS.Cert == "" {
		return nil
	}
	return c.TLS.Files("serving.tls").Pinned(unread)
}

// serverLog is what the library's server says by itself. A handshake that fails is told of in detail only, and counted: balancers connect and hang up
// every few seconds, and scanners knock at every port.
type serverLog struct {
	log      *slog.Logger
	failures prometheus.Counter
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "nearline_http_tls_failures_total",
		Help: "TLS handshakes that failed: clients without TLS, that do not trust serving.tls.cert, whose certificate is refused, or that hung up. At --log-level debug each says why.",
	})}
}

// Write implements io.Writer for a log.Logger: a line each.
func (l *serverLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if why, ok := strings.CutPrefix(text, "http: TLS handshake error "); ok {
		l.failures.Inc()
		l.log.Debug("a TLS handshake failed", "why", why)
	} else {
		l.log.Warn(text)
	}
	return len(line), nil
}
