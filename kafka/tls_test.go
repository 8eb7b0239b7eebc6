package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/certs"
	"nearline/internal/harness/certstest"
	"nearline/internal/secret"
)

// listener of a broker whose certificates may change between two handshakes.
type listener struct {
	address string
	config  atomic.Pointer[tls.Config]
}

func (l *listener) show(pair certstest.Pair, change func(*tls.Config)) {
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		panic(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if change != nil {
		change(config)
	}
	l.config.Store(config)
}

// demand a certificate of an authority.
func demand(authority *certstest.Authority) func(*tls.Config) {
	return func(c *tls.Config) {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AppendCertsFromPEM(authority.PEM)
	}
}

func listen(t *testing.T, options ...kfake.Opt) *listener {
	t.Helper()
	l := &listener{}
	secured := &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.config.Load(), nil }}
	cluster, err := kfake.NewCluster(append(options, kfake.NumBrokers(1), kfake.TLS(secured))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	l.address = cluster.ListenAddrs()[0]
	return l
}

// journal is a log that tests read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *journal) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *journal) lines(with string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.text.String()) {
		if strings.Contains(line, with) {
			n++
		}
	}
	return n
}

func (s *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s, nil)) }

// ping the cluster by a new connection.
func ping(t *testing.T, connection Connection) error {
	t.Helper()
	client, err := connection.Client(kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return client.Ping(ctx)
}

// The broker has judged the certificate, and has ended the connection before anything is written on it.
func TestAMissingCertificateIsSaidWhereTheConnectionIsReset(t *testing.T) {
	authority := certstest.New("authority")
	address, end := certstest.Refusing(authority)
	own := newCredentials(Config{TLS: &certs.Config{CA: certstest.Write(t.TempDir(), "ca.pem", authority.PEM)}})
	conn, err := own.dialer(nil, 0)(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	end()
	_, err = conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1))
	if err == nil || !strings.Contains(err.Error(), "kafka.tls.cert") {
		t.Errorf("got %v, want that kafka.tls.cert is missing", err)
	}
}

func TestWhatIsWrongWithCertificatesIsSaidInWordsAndOnce(t *testing.T) {
	ours, theirs := certstest.New("our authority"), certstest.New("another authority")
	right := ours.Issue("broker", certstest.Options{Hosts: []string{"127.0.0.1"}})
	now := time.Now()
	for name, c := range map[string]struct {
		shows  certstest.Pair
		change func(*tls.Config)
		config func(folder string) certs.Config
		words  []string
	}{
		"an unknown authority": {shows: theirs.Issue("broker", certstest.Options{Hosts: []string{"127.0.0.1"}}), words: []string{"another authority", "kafka.tls.ca"}},
		"an authority that the system does not know": {shows: right, config: func(string) certs.Config { return certs.Config{} },
			words: []string{"our authority", "kafka.tls.ca"}},
		"another name": {shows: ours.Issue("broker", certstest.Options{Hosts: []string{"kafka.example"}}), words: []string{"kafka.example", "127.0.0.1", "kafka.tls.server_name"}},
		"an expired certificate": {shows: ours.Issue("broker", certstest.Options{Hosts: []string{"127.0.0.1"}, From: now.Add(-2 * time.Hour), To: now.Add(-time.Hour)}),
			words: []string{"expired", "broker"}},
		"a certificate of the future": {shows: ours.Issue("broker", certstest.Options{Hosts: []string{"127.0.0.1"}, From: now.Add(time.Hour), To: now.Add(2 * time.Hour)}),
			words: []string{"clock"}},
		"no certificate where one is asked for": {shows: right, change: demand(ours), words: []string{"kafka.tls.cert", "kafka.tls.key"}},
		"a certificate of another authority": {shows: right, change: demand(ours), config: own(theirs.Issue("svc", certstest.Options{})),
			words: []string{"kafka.tls.cert", "svc"}},
		"an expired certificate of ours": {shows: right, change: demand(ours), config: own(ours.Issue("svc", certstest.Options{From: now.Add(-2 * time.Hour), To: now.Add(-time.Hour)})),
			words: []string{"svc", "expired"}},
	} {
		for version, max := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
			t.Run(name+", "+version, func(t *testing.T) {
				l := listen(t)
				l.show(c.shows, func(config *tls.Config) {
					config.MaxVersion = max
					if c.change != nil {
						c.change(config)
					}
				})
				folder := t.TempDir()
				config := certs.Config{CA: certstest.Write(folder, "ca.pem", ours.PEM)}
				if c.config != nil {
					if special := c.config(folder); special == (certs.Config{}) {
						config.CA = ""
					} else {
						config.Cert, config.Key = special.Cert, special.Key
					}
				}
				connection, log := Config{Brokers: []string{l.address}, TLS: &config}.Connection(), &journal{}
				connection.Log(log.logger())
				for range 3 {
					err := ping(t, connection)
					if !Refused(err) {
						t.Fatalf("got %v: want a refusal", err)
					}
					for _, word := range append(c.words, l.address) {
						if !strings.Contains(err.Error(), word) {
							t.Errorf("got %q: want %q in it", err, word)
						}
					}
				}
				if n := log.lines(l.address); n != 1 {
					t.Errorf("it was logged %d times, want once:\n%s", n, log.text.String())
				}
				if trouble := connection.Trouble(false); !strings.Contains(trouble, c.words[0]) {
					t.Errorf("the trouble is %q: want %q in it", trouble, c.words[0])
				}
			})
		}
	}
}

// own certificate beside the authority.
func own(pair certstest.Pair) func(string) certs.Config {
	return func(folder string) certs.Config {
		cert, key := pair.Write(folder, "own")
		return certs.Config{Cert: cert, Key: key}
	}
}

func TestCertificatesAreReadAtEachConnection(t *testing.T) {
	before, after := certstest.New("the authority before"), certstest.New("the authority after")
	hosts := certstest.Options{Hosts: []string{"127.0.0.1"}}
	l, folder := listen(t), t.TempDir()
	l.show(before.Issue("broker", hosts), demand(before))
	cert, key := before.Issue("svc", certstest.Options{}).Write(folder, "own")
	config := certs.Config{CA: certstest.Write(folder, "ca.pem", before.PEM), Cert: cert, Key: key}
	connection, log := Config{Brokers: []string{l.address}, TLS: &config}.Connection(), &journal{}
	connection.Log(log.logger())
	works := func(when string) {
		t.Helper()
		if err := ping(t, connection); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	works("at first")
	certstest.Write(folder, "ca.pem", append(bytes.Clone(before.PEM), after.PEM...))
	works("with both authorities")
	l.show(after.Issue("broker", hosts), demand(after))
	if err := ping(t, connection); !Passing(err) {
		t.Fatalf("the broker wants the new certificate and the files have the old one: got %v, want what may pass", err)
	}
	next := after.Issue("svc", certstest.Options{})
	certstest.Write(folder, "own.crt", next.Cert)
	if err := ping(t, connection); !Passing(err) {
		t.Fatalf("the new certificate is there, and its key is not yet: got %v, want what may pass with the old pair", err)
	}
	certstest.Write(folder, "own.key", next.Key)
	works("with the new pair")
	certstest.Write(folder, "ca.pem", nil)
	works("with an empty file of authorities")
	certstest.Write(folder, "ca.pem", after.PEM)
	works("with the new authority")
	if trouble := connection.Trouble(false); trouble != "" {
		t.Errorf("the trouble is %q after all: want none", trouble)
	}
	if log.lines("level=ERROR") > 0 || log.lines("the new certificate that brokers are shown is accepted") != 1 {
		t.Errorf("the log is\n%s: want no error, and that the new pair is accepted once", log.text.String())
	}
}

func TestAPortWithoutTLSIsSuspectedInWords(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // as Kafka does with what would be a request of a quarter of a gigabyte
		defer close(ended)
		for {
			conn, err := port.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_ = conn.Close()
		}
	}()
	defer func() { _ = port.Close(); <-ended }()
	connection, log := Config{Brokers: []string{port.Addr().String()}, TLS: &certs.Config{}}.Connection(), &journal{}
	connection.Log(log.logger())
	err = ping(t, connection)
	if !Passing(err) || !strings.Contains(err.Error(), "does this port speak TLS?") {
		t.Errorf("got %v: want the question whether the port speaks TLS, and another try, since a broker that ends looks the same", err)
	}
	if log.lines("does this port speak TLS? Want one that does in kafka.brokers, or no kafka.tls") != 1 {
		t.Errorf("the log is\n%s: want the question once", log.text.String())
	}
}

// answering is a port that reads once, says something, and hangs up.
func answering(t *testing.T, with []byte) (address string) {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := port.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = conn.Write(with)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = port.Close(); <-ended })
	return port.Addr().String()
}

func TestAPortWithTLSThatIsSpokenToWithoutIsToldByItsKey(t *testing.T) {
	for name, c := range map[string]struct {
		says    []byte
		words   string
		refused bool
	}{
		// Brokers answer what is no TLS with an alert: internal_error, or another one.
		"an alert": {[]byte{0x15, 3, 3, 0, 2, 2, 80}, "kafka.tls is missing: ADDRESS speaks TLS; want kafka.tls ({} trusts", true},
		// Others hang up, as does a proxy whose broker is not there yet.
		"nothing": {nil, "ADDRESS ends the connection without an answer: want kafka.tls ({} trusts", false},
	} {
		for login, sasl := range map[string]*SASL{
			"no login": nil, "a login": {Mechanism: Plain, User: named("joe"), Password: secret.Plain("password")},
		} {
			address := answering(t, c.says)
			words := strings.ReplaceAll(c.words, "ADDRESS", address)
			connection, log := Config{Brokers: []string{address}, SASL: sasl}.Connection(), &journal{}
			connection.Log(log.logger())
			for range 3 {
				if err := ping(t, connection); err == nil || Refused(err) != c.refused || Passing(err) || !strings.Contains(err.Error(), words) {
					t.Errorf("%s, %s: got %v, refused %v; want %q, refused %v", name, login, err, Refused(err), words, c.refused)
				}
			}
			if log.lines(words) != 1 || strings.Contains(connection.Trouble(false), words) != c.refused {
				t.Errorf("%s, %s: the log is\n%s, the trouble %q: want it once, and in the trouble if nothing else can be meant", name, login, log.text.String(), connection.Trouble(false))
			}
		}
	}
}

func TestAPortThatHasServedIsNotSuspected(t *testing.T) {
	for _, login := range []*login{nil, {}} {
		own, log := newCredentials(Config{}), &journal{}
		own.login = login
		own.trouble.tell(log.logger())
		own.serves("b:9092")
		for _, heard := range []bool{false, true} {
			ours, theirs := net.Pipe()
			_ = theirs.Close()
			g := &guard{Conn: ours, credentials: own, address: "b:9092", ended: make(chan struct{}), heard: heard}
			g.in.Store(true)
			if _, err := g.Read(make([]byte, 4)); err != io.EOF {
				t.Errorf("got %v, want the end as it is", err)
			}
			_ = ours.Close()
		}
		if log.lines("b:9092") != 0 {
			t.Errorf("the log is\n%s: want nothing", log.text.String())
		}
	}
}

func TestALoginThatIsMissingIsSuspectedInWords(t *testing.T) {
	for _, secured := range []bool{true, false} {
		var l *listener
		config := Config{}
		if secured {
			authority := certstest.New("authority")
			l = listen(t, kfake.EnableSASL())
			l.show(authority.Issue("broker", certstest.Options{Hosts: []string{"127.0.0.1"}}), nil)
			config.TLS, config.Brokers = &certs.Config{CA: certstest.Write(t.TempDir(), "ca.pem", authority.PEM)}, []string{l.address}
		} else {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL())
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			config.Brokers = cluster.ListenAddrs()
		}
		connection, log := config.Connection(), &journal{}
		connection.Log(log.logger())
		words := "kafka.sasl: " + config.Brokers[0] + " ends the connection at the first request: want kafka.sasl"
		if err := ping(t, connection); err == nil || Refused(err) || !strings.Contains(err.Error(), words) {
			t.Errorf("with TLS, %t: got %v, want %q", secured, err, words)
		}
		if log.lines("want kafka.sasl") != 1 {
			t.Errorf("the log is\n%s: want that a login may be missing", log.text.String())
		}
	}
}
