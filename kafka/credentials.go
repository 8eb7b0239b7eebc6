package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"nearline/internal/certs"
)

// credentials are what a process shows to its cluster, and what it demands of it. All its clients share them, so that what one of them learns of a
// change holds for all. What is in files is read at each dial and at each login.
type credentials struct {
	files *certs.Files // nil without TLS
	login *login       // nil without SASL
	// authority is what this process makes of brokers' certificates, and ours what brokers make of the one that they are shown.
	authority standing[*x509.CertPool]
	ours      standing[digest]
	trouble   trouble
	// served are the addresses that have answered an ordinary request: what ends a connection there later is no setting of this process.
	served sync.Map
}

// What fails, or succeeds, in the words of a log.
const (
	kindBrokers = "certificate of the brokers"
	kindPlain   = "connection without TLS"
	kindOurs    = "certificate that brokers are shown"
	kindLogin   = "login"
	kindToken   = "token endpoint"
)

// newCredentials have neither files nor a login for a cluster that is said to want none.
func newCredentials(c Config) *credentials {
	own := &credentials{}
	if c.TLS != nil {
		own.files = certs.New("kafka.tls", *c.TLS)
	}
	if c.SASL != nil {
		own.login = &login{name: c.SASL.name(), source: c.SASL.source(&own.trouble), trouble: &own.trouble}
	}
	return own
}

// dialFunc opens a connection.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// defaultDialTimeout is the client library's own.
const defaultDialTimeout = 10 * time.Second

// dialer opens connections that follow their logins, on any network.
func (c *credentials) dialer(dial dialFunc, timeout time.Duration) dialFunc {
	if timeout <= 0 {
		timeout = defaultDialTimeout
	}
	if dial == nil {
		dial = (&net.Dialer{Timeout: timeout}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		g := &guard{Conn: conn, credentials: c, address: address, ended: make(chan struct{})}
		if c.files == nil {
			return g, nil
		}
		if g.Conn, g.pair, err = c.handshake(ctx, conn, address, timeout); err != nil {
			_ = conn.Close() // what it said is in err
			return nil, err
		}
		return g, nil
	}
}

// handshake makes a connection one of TLS, with what the files hold now, and tells which certificate it shows.
func (c *credentials) handshake(ctx context.Context, conn net.Conn, address string, timeout time.Duration) (net.Conn, digest, error) {
	config, err := c.files.Client(address)
	if err != nil {
		return nil, digest{}, &refusal{words: err.Error()} // the file has told
	}
	pair := pairOf(config)
	c.authority.show(config.RootCAs)
	c.ours.show(pair)
	secured := tls.Client(conn, config)
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = secured.HandshakeContext(within)
	switch {
	case err == nil:
		fresh := c.authority.accept(address, config.RootCAs)
		c.trouble.clear(place{kindBrokers, address}, fresh)
		return secured, pair, nil
	case ctx.Err() != nil:
		return nil, pair, ctx.Err()
	case within.Err() != nil:
		return nil, pair, c.unfinished(address, fmt.Sprintf("is not done after %v", timeout))
	case certs.IsAlert(err):
		return nil, pair, c.refusedPair(address, pair, err, ctx.Done())
	}
	words := c.files.Explain(address, err)
	if words == "" { // of the network, or of who does not speak TLS and hangs up
		return nil, pair, c.unfinished(address, fmt.Sprintf("is ended by the other side (%v)", cut(err)))
	}
	return nil, pair, c.distrusted(address, config.RootCAs, words, ctx.Done())
}

// cut an error of the network to what happened: the addresses in it are another with each connection.
func cut(err error) error {
	if of, ok := errors.AsType[*net.OpError](err); ok {
		return of.Err
	}
	return err
}

// unfinished handshakes are faults of the network, or of a broker that comes or goes.
func (c *credentials) unfinished(address, how string) error {
	cause := "the TLS handshake " + how + ": does this port speak TLS? Want one that does in kafka.brokers, or no kafka.tls"
	words := fmt.Sprintf("kafka.tls: with %s %s", address, cause)
	c.trouble.say(place{kindBrokers, address}, cause, words, faint)
	return &passing{refusal{words: words}}
}

// distrusted says that a broker's certificate is none that this process takes.
func (c *credentials) distrusted(address string, used *x509.CertPool, words string, ended <-chan struct{}) error {
	now := func() *x509.CertPool {
		if config, err := c.files.Client(address); err == nil {
			return config.RootCAs
		}
		return used
	}
	mayPass := c.authority.refuse(address, used, now())
	refused := refusal{words: words}
	c.trouble.say(place{kindBrokers, address}, strings.ReplaceAll(words, address, "a broker"), words, passes(mayPass))
	if !mayPass {
		return &refused
	}
	c.authority.wait(address, ended, func() bool { return now() != used })
	return &passing{refused}
}

// pairOf a configuration is the certificate that it shows; the zero digest is none.
func pairOf(config *tls.Config) digest {
	if config.GetClientCertificate == nil {
		return digest{}
	}
	own, err := config.GetClientCertificate(&tls.CertificateRequestInfo{})
	if err != nil || len(own.Certificate) == 0 {
		return digest{}
	}
	return digestOf(string(own.Certificate[0]))
}

// acceptedPair notes that a broker has taken what it was shown.
func (c *credentials) acceptedPair(address string, pair digest) {
	if c.files != nil {
		fresh := c.ours.accept(address, pair)
		c.trouble.clear(place{kindOurs, address}, fresh)
	}
}

// refusedPair says that a broker has ended TLS with an alert, which is mostly about the certificate that it was shown, or was not.
func (c *credentials) refusedPair(address string, used digest, alert error, ended <-chan struct{}) error {
	now := func() digest {
		if config, err := c.files.Client(address); err == nil {
			return pairOf(config)
		}
		return used
	}
	words := c.files.Explain(address, alert)
	if wrong := c.files.Judge(time.Now()); wrong != nil {
		words += "; " + wrong.Error()
	}
	mayPass := c.ours.refuse(address, used, now())
	refused := refusal{words: words}
	c.trouble.say(place{kindOurs, address}, strings.ReplaceAll(words, address, "a broker"), words, passes(mayPass))
	if !mayPass {
		return &refused
	}
	c.ours.wait(address, ended, func() bool { return now() != used })
	return &passing{refused}
}

// wrongMechanism says that a broker does not know the mechanism.
func (c *credentials) wrongMechanism(address string, known []string) error {
	return c.login.unable(address, fmt.Sprintf("the broker knows %s: want one of these in kafka.sasl.mechanism, or the mechanism in sasl.enabled.mechanisms there",
		orNothing(known)))
}

// noLogin says that a listener wants none.
func (c *credentials) noLogin(address string) error {
	return c.login.unable(address, "this port takes no login: want the port of a listener with SASL in kafka.brokers, or no kafka.sasl")
}

// wantsTLS says that a port speaks TLS and was spoken to without.
func (c *credentials) wantsTLS(address string) error {
	const cause = "the port speaks TLS"
	words := fmt.Sprintf("kafka.tls is missing: %s speaks TLS; want kafka.tls ({} trusts the system's authorities, {ca: FILE} others), "+
		"for a command without a configuration in the file of --kafka-config", address)
	c.trouble.say(place{kindPlain, address}, cause, words, hard)
	return &refusal{words: words}
}

// mute says what it may mean that a port ends a connection without any answer. A broker that goes does so, too, but has answered before.
func (c *credentials) mute(address string, err error) error {
	if _, known := c.served.Load(address); known || c.files != nil {
		return err
	}
	words := fmt.Sprintf("%s ends the connection without an answer: want kafka.tls ({} trusts the system's authorities, {ca: FILE} others), if this port speaks TLS; "+
		"for a command without a configuration in the file of --kafka-config", address)
	c.trouble.say(place{kindPlain, address}, "no answer", words, faint)
	return &unanswered{refusal{words: words}}
}

// noRequest says what it may mean that a port ends a connection at the first ordinary request: brokers have no other words for a login that is missing.
func (c *credentials) noRequest(address string, err error) error {
	if _, known := c.served.Load(address); known || c.login != nil {
		return err
	}
	refused := refusal{words: fmt.Sprintf("kafka.sasl: %s ends the connection at the first request: want kafka.sasl, if this port asks for a login; "+
		"for a command without a configuration in the file of --kafka-config", address)}
	c.trouble.say(place{kindLogin, address}, "no login", refused.words, faint)
	if c.files != nil { // the client tries again by itself: see Connection.ways
		return &passing{refused}
	}
	return &unanswered{refused}
}

// serves notes that an address answers ordinary requests: there is nothing to log in for that is not done.
func (c *credentials) serves(address string) {
	c.served.Store(address, true)
	if c.login == nil {
		c.trouble.clear(place{kindLogin, address}, false)
	}
	if c.files == nil {
		c.trouble.clear(place{kindPlain, address}, false)
	}
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "no mechanism"
	}
	return strings.Join(names, ", ")
}
