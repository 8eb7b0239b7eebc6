package kafka

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/certs"
	"nearline/kafka/decompress"
)

// Connection says how to reach a cluster, and as whom. Whoever needs a client takes one, never bare addresses: what a cluster asks of its
// clients is then said once, and holds for all of them. A test of internal/harness/layers finds clients that are made in another way.
//
// It is a value, and what is made of it does not change it: a client with a name or a bound of its own is made of a copy. All copies share the
// credentials, and what brokers have said of these.
type Connection struct {
	// Brokers to ask first, host:port; the rest of the cluster is discovered.
	Brokers []string
	// ClientID is what brokers call the client, in their logs and quotas; "" is the library's own.
	ClientID string
	// Dial is called for each new connection to a broker, for as long as a client lives. Nil is TCP; tests have virtual networks. TLS comes on top.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialTimeout bounds one dial, and one handshake of TLS after it; 0 is the library's own, 10 s. A Dial keeps its own time.
	DialTimeout time.Duration
	// Options go to each client after those that it is made with, and win: hooks for metrics and traces.
	Options []kgo.Opt

	bound       *decompress.Bounded // nil is one of its own for each client
	credentials *credentials        // nil where no Config has said anything of them
}

// As is the connection of a client that brokers call by that name.
func (c Connection) As(clientID string) Connection {
	c.ClientID = clientID
	return c
}

// Bounded is the connection of a client whose fetches stay within a bound that the caller knows. It is for those that look for withheld records,
// and for those that have a bound of their own to keep: see decompress.Bounded.Record.
func (c Connection) Bounded(by *decompress.Bounded) Connection {
	c.bound = by
	return c
}

// Secured says that there are credentials, or certificates, to be refused.
func (c Connection) Secured() bool {
	return c.credentials != nil && (c.credentials.files != nil || c.credentials.login != nil)
}

// Log what keeps credentials and certificates from being accepted, once each, and when new ones are. Without a logger only the errors of clients tell
// of it, and clients retry much without an error.
func (c Connection) Log(logger *slog.Logger) {
	if c.credentials != nil {
		c.credentials.trouble.tell(logger)
	}
}

// Trouble says in words why brokers and this process do not come together, as far as credentials and certificates go; "" where they do, or where it
// may only be a matter of seconds. Answered says that brokers answer meanwhile: a port that ends connections without a word is then no trouble.
func (c Connection) Trouble(answered bool) string {
	if c.credentials == nil {
		return ""
	}
	return c.credentials.trouble.reason(answered)
}

// Content tells what is shown to brokers, and demanded of them, from what was before, without keeping it.
type Content struct {
	authorities *x509.CertPool
	pair, login digest
}

// Content of now.
func (c Connection) Content() (now Content) {
	if c.credentials == nil {
		return now
	}
	if c.credentials.files != nil && len(c.Brokers) > 0 {
		if config, err := c.credentials.files.Client(c.Brokers[0]); err == nil {
			now.authorities, now.pair = config.RootCAs, pairOf(config)
		}
	}
	if c.credentials.login != nil {
		if shown, known := c.credentials.login.source.now(); known {
			now.login = shown.content
		}
	}
	return now
}

// Certificates that the connection uses, for whoever watches files and when they expire. Secrets have their own reports.
func (c Connection) Certificates() (all []*certs.Files) {
	if c.credentials == nil {
		return nil
	}
	if c.credentials.files != nil {
		all = append(all, c.credentials.files)
	}
	if c.credentials.login != nil {
		if e, ok := c.credentials.login.source.(*endpoint); ok {
			all = append(all, e.files)
		}
	}
	return all
}

// Client makes a client; nothing is connected to before the first question. Unless the connection is Bounded, what it fetches stays within
// decompress.DefaultBytes. Without a bound a batch of a megabyte may take a gigabyte, and the client decompresses it before anybody sees a record.
func (c Connection) Client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(c.options(options)...)
}

// Session is Client for a member of a group with transactions.
func (c Connection) Session(options ...kgo.Opt) (*kgo.GroupTransactSession, error) {
	return kgo.NewGroupTransactSession(c.options(options)...)
}

func (c Connection) options(own []kgo.Opt) []kgo.Opt {
	all := []kgo.Opt{kgo.SeedBrokers(c.Brokers...)}
	if c.ClientID != "" {
		all = append(all, kgo.ClientID(c.ClientID))
	}
	all = append(all, c.ways()...)
	bound := c.bound
	if bound == nil {
		bound = decompress.NewBounded(decompress.DefaultBytes)
	}
	return append(slices.Concat(all, own, c.Options), kgo.WithDecompressor(bound))
}

// ways to a broker.
func (c Connection) ways() []kgo.Opt {
	if c.credentials == nil {
		var all []kgo.Opt
		if c.Dial != nil {
			all = append(all, kgo.Dialer(c.Dial))
		}
		if c.DialTimeout > 0 {
			all = append(all, kgo.DialTimeout(c.DialTimeout))
		}
		return all
	}
	all := []kgo.Opt{kgo.Dialer(c.credentials.dialer(c.Dial, c.DialTimeout))}
	if c.credentials.login != nil {
		all = append(all, kgo.SASL(c.credentials.login))
	}
	if c.credentials.files != nil {
		// By itself the client takes an end before the first answer for a port without TLS, and gives up; here it is a broker that goes.
		all = append(all, kgo.AlwaysRetryEOF())
	}
	return all
}
