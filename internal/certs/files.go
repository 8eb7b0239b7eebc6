package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"nearline/internal/files"
	"nearline/internal/secret"
)

// oldest version of TLS that is spoken. All brokers and servers since 2015 have it.
const oldest = tls.VersionTLS12

// Files are read for each connection, so that new content counts for the next one; connections that are open go on. What cannot be used never
// takes the place of what could be: see secret.Kept. They are safe for concurrent use.
type Files struct {
	key        string
	ca         *secret.Kept[*authorities] // nil are the system's
	pair       *secret.Kept[*pair]        // nil is none
	serverName string
}

// New has the files of a section of the configuration that is called by that key, such as kafka.tls. Nothing is read yet.
func New(key string, c Config) *Files {
	f := &Files{key: key, serverName: c.ServerName}
	if c.CA != "" {
		f.ca = secret.NewKept(key+".ca", func(last *authorities) (*authorities, error) { return loadAuthorities(c.CA, last) })
	}
	if c.Cert != "" {
		f.pair = secret.NewKept(key+".cert", func(last *pair) (*pair, error) { return loadPair(files.ReadText, c.Cert, c.Key, last) })
	}
	return f
}

// Report has to told what is wrong with files; the last good ones are used meanwhile.
func (f *Files) Report(to secret.Report) {
	if f.ca != nil {
		f.ca.Report(to)
	}
	if f.pair != nil {
		f.pair.Report(func(key string, err error) { // the pair has one name, whichever of its files it is
			if isOfKey(err) {
				err = fmt.Errorf("%s.key: %w", f.key, err)
			}
			to(key, err)
		})
	}
}

// ofPair names the key whose file keeps the pair from being used.
func (f *Files) ofPair(err error) error {
	if isOfKey(err) {
		return fmt.Errorf("%s.key: %w", f.key, err)
	}
	return fmt.Errorf("%s.cert: %w", f.key, err)
}

// Client is what one connection to the server at address, host:port, is made with. An error says which file could never be read.
func (f *Files) Client(address string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: oldest, ServerName: f.serverName}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address
		}
		config.ServerName = host
	}
	if f.ca != nil {
		ca, err := f.ca.Read()
		if err != nil {
			return nil, fmt.Errorf("%s.ca: %w", f.key, err)
		}
		config.RootCAs = ca.pool
	}
	if f.pair != nil {
		own, err := f.pair.Read()
		if err != nil {
			return nil, f.ofPair(err)
		}
		// Shown also where the server names other authorities: its refusal says more than that none was shown.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own.certificate, nil }
	}
	return config, nil
}

// Handshake speaks TLS on a new connection to the server at address. It closes the connection where that fails. An error that is about certificates has
// words for it, and the key that helps.
func (f *Files) Handshake(ctx context.Context, conn net.Conn, address string) (*tls.Conn, error) {
	config, err := f.Client(address)
	if err != nil {
		_ = conn.Close() // nothing was said on it
		return nil, err
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // what it said is in err
		if words := f.Explain(address, err); words != "" {
			return nil, &HandshakeError{words, err}
		}
		return nil, fmt.Errorf("TLS with %s: %w", address, err)
	}
	return secured, nil
}

// HandshakeError says in words what a handshake failed of.
type HandshakeError struct {
	words string
	err   error
}

func (e *HandshakeError) Error() string { return e.words }

func (e *HandshakeError) Unwrap() error { return e.err }

// Server is what a listener is made with: it has the pair and the authorities of the moment of each handshake. Auth says what is asked of clients;
// protocols are those above TLS, such as http/1.1.
func (f *Files) Server(auth tls.ClientAuthType, protocols ...string) *tls.Config {
	return &tls.Config{MinVersion: oldest, NextProtos: protocols, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		config := &tls.Config{MinVersion: oldest, NextProtos: protocols, ClientAuth: auth}
		own, err := f.pair.Read()
		if err != nil {
			return nil, f.ofPair(err)
		}
		config.Certificates = []tls.Certificate{own.certificate}
		if auth != tls.NoClientCert {
			// A session that is resumed is not verified by the authorities of now.
			config.SessionTicketsDisabled = true
			if f.ca != nil {
				ca, err := f.ca.Read()
				if err != nil {
					return nil, fmt.Errorf("%s.ca: %w", f.key, err)
				}
				config.ClientCAs = ca.pool
			}
		}
		return config, nil
	}}
}

// Pinned is what a client is made with that has the server's own files: it takes the certificate that is in them, by whatever name it called the
// server, and no other. The files may be replaced meanwhile, so it reads them before and after. While they hold no pair, the server shows the last one
// that it has read, which is not known here: then any is taken, and unread is told why.
func (f *Files) Pinned(unread func(error)) *tls.Config {
	before, failed := f.pair.Read()
	return &tls.Config{
		MinVersion:         oldest,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection is stricter
		VerifyConnection: func(state tls.ConnectionState) error {
			shown := state.PeerCertificates[0]
			now, err := f.pair.Read()
			switch failed := cmp.Or(f.pair.Trouble(), failed); {
			case before != nil && shown.Equal(before.chain[0]), err == nil && shown.Equal(now.chain[0]):
				return nil
			case failed != nil:
				unread(f.ofPair(failed))
				return nil
			}
			return fmt.Errorf("the server shows the certificate of %s, which is not the one in %s.cert: does another program listen there?", nameOf(shown), f.key)
		},
	}
}

// Leaf is the own certificate of now; nil where there is none.
func (f *Files) Leaf() *x509.Certificate {
	if f.pair == nil {
		return nil
	}
	own, err := f.pair.Read()
	if err != nil {
		return nil
	}
	return own.chain[0]
}

// Judge says what keeps the own certificate, or all authorities, from being valid now: who shows such a one is refused by the other side, which seldom
// says why.
func (f *Files) Judge(now time.Time) error {
	for key, c := range f.certificates() {
		if err := judge(c, now); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// Soonest is what expires first of all that the files hold, and its key; "" where they hold nothing, or could never be read.
func (f *Files) Soonest() (key string, at time.Time) {
	for k, c := range f.certificates() {
		if key == "" || c.NotAfter.Before(at) {
			key, at = k, c.NotAfter
		}
	}
	return key, at
}

// certificates by which the files are known to expire, each under its key.
func (f *Files) certificates() map[string]*x509.Certificate {
	found := make(map[string]*x509.Certificate, 2)
	if f.pair != nil {
		if own, err := f.pair.Read(); err == nil {
			found[f.key+".cert"] = own.earliest()
		}
	}
	if f.ca != nil {
		if ca, err := f.ca.Read(); err == nil {
			found[f.key+".ca"] = ca.latest()
		}
	}
	return found
}
