package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"nearline/internal/harness/certstest"
	"nearline/internal/problems"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect a client to a server, and say what either of them makes of the other.
func connect(t *testing.T, client *Files, server *tls.Config) (shown *tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan error, 1)
	var state tls.ConnectionState
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		secured := tls.Server(conn, server)
		if err = secured.HandshakeContext(context.Background()); err == nil {
			state = secured.ConnectionState()
			_, err = secured.Write([]byte("x"))
		}
		served <- err
	}()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	secured, err := client.Handshake(t.Context(), conn, listener.Addr().String())
	if err == nil {
		_, err = io.ReadFull(secured, make([]byte, 1))
		if closing := secured.Close(); err == nil && closing != nil {
			err = closing
		}
	}
	serverErr = <-served
	return &state, err, serverErr
}

// place has the files of a client and a server that trust each other.
type place struct {
	folder    string
	authority *certstest.Authority
	client    Config
	server    Config
}

func newPlace(t *testing.T) *place {
	p := &place{folder: t.TempDir(), authority: certstest.New("first")}
	ca := certstest.Write(p.folder, "ca.crt", p.authority.PEM)
	p.client, p.server = Config{CA: ca}, Config{CA: ca}
	p.client.Cert, p.client.Key = p.authority.Issue("joe", certstest.Options{}).Write(p.folder, "client")
	p.server.Cert, p.server.Key = p.authority.Issue("kafka", certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(p.folder, "server")
	return p
}

func TestPairsAndAuthoritiesAreThoseOfTheMomentOfAConnection(t *testing.T) {
	p := newPlace(t)
	client, server := New("kafka.tls", p.client), New("serving.tls", p.server).Server(tls.RequireAndVerifyClientCert)
	shown := func(want string) {
		t.Helper()
		state, err, other := connect(t, client, server)
		if err != nil || other != nil || state.PeerCertificates[0].Subject.CommonName != want {
			t.Errorf("got %v and %v, want a connection of %s", err, other, want)
		}
	}
	shown("joe")
	p.authority.Issue("ann", certstest.Options{}).Write(p.folder, "client")
	shown("ann")
	// Another authority: at first both are trusted, then each side has a pair of the new one, then the old one goes.
	next := certstest.New("second")
	certstest.Write(p.folder, "ca.crt", slices.Concat(p.authority.PEM, next.PEM))
	shown("ann")
	next.Issue("kafka", certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(p.folder, "server")
	shown("ann")
	next.Issue("bob", certstest.Options{}).Write(p.folder, "client")
	shown("bob")
	certstest.Write(p.folder, "ca.crt", next.PEM)
	shown("bob")
	p.authority.Issue("old", certstest.Options{}).Write(p.folder, "client")
	if _, _, err := connect(t, client, server); err == nil {
		t.Error("a pair of the old authority was accepted, want that it is gone")
	}
}

func TestAPairCountsOnceBothAreThere(t *testing.T) {
	p := newPlace(t)
	f := New("kafka.tls", p.client)
	var said []string
	f.Report(func(key string, err error) { said = append(said, fmt.Sprint(key, ": ", err)) })
	if want := []string{"kafka.tls.ca: <nil>", "kafka.tls.cert: <nil>"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
	said = nil
	name := func() string { return f.Leaf().Subject.CommonName }
	if got := name(); got != "joe" {
		t.Fatalf("got %s, want joe", got)
	}
	next := p.authority.Issue("ann", certstest.Options{})
	certstest.Write(p.folder, "client.crt", next.Cert)
	for range 3 {
		if got := name(); got != "joe" {
			t.Errorf("with a certificate whose key is not there yet: got %s, want the last pair", got)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "kafka.tls.cert: kafka.tls.key: it does not go with the certificate") {
		t.Errorf("said %q, want once that they do not go together", said)
	}
	certstest.Write(p.folder, "client.key", next.Key)
	if got := name(); got != "ann" || len(said) != 2 || said[1] != "kafka.tls.cert: <nil>" {
		t.Errorf("got %s and said %q, want ann, and that all is well", got, said)
	}
}

func TestTheLastGoodFilesAreKept(t *testing.T) {
	p := newPlace(t)
	second := certstest.New("second")
	for name, damage := range map[string]func() error{
		"empty":   func() error { return os.WriteFile(p.client.CA, nil, 0o600) },
		"cut off": func() error { return os.WriteFile(p.client.CA, append(second.PEM, second.PEM[:100]...), 0o600) },
		"no PEM":  func() error { return os.WriteFile(p.client.CA, []byte("hello"), 0o600) },
		"gone":    func() error { return os.Remove(p.client.CA) },
	} {
		certstest.Write(p.folder, "ca.crt", p.authority.PEM)
		client, server := New("kafka.tls", p.client), New("serving.tls", Config{Cert: p.server.Cert, Key: p.server.Key}).Server(tls.NoClientCert)
		if _, err, _ := connect(t, client, server); err != nil {
			t.Fatal(err)
		}
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if _, err, _ := connect(t, client, server); err != nil {
			t.Errorf("authorities %s: got %v, want the last good ones", name, err)
		}
	}
}

func TestFilesThatNeverWereAreAnErrorThatNamesTheKey(t *testing.T) {
	p := newPlace(t)
	f := New("kafka.tls", Config{CA: p.folder + "/none"})
	if _, err := f.Client("h:1"); err == nil || !strings.Contains(err.Error(), "kafka.tls.ca: ") {
		t.Errorf("got %v, want an error of kafka.tls.ca", err)
	}
}

func TestValidateNamesWhatIsWrong(t *testing.T) {
	p := newPlace(t)
	other := certstest.Write(p.folder, "other.key", p.authority.Issue("other", certstest.Options{}).Key)
	locked := certstest.Write(p.folder, "locked.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	text := certstest.Write(p.folder, "text", []byte("hello\n"))
	broken := bytes.Replace(p.authority.PEM, []byte("\n"), []byte("\n!"), 1)
	damaged := certstest.Write(p.folder, "damaged", slices.Concat(broken, certstest.New("whole").PEM))
	joe, err := os.ReadFile(p.client.Cert)
	if err != nil {
		t.Fatal(err)
	}
	reversed := certstest.Write(p.folder, "reversed", slices.Concat(p.authority.PEM, joe))
	for name, c := range map[string]struct {
		config Config
		want   []string
	}{
		"nothing":                  {Config{}, nil},
		"all":                      {Config{CA: p.client.CA, Cert: p.client.Cert, Key: p.client.Key, ServerName: "kafka.example"}, nil},
		"an address":               {Config{ServerName: "::1"}, nil},
		"no such authority":        {Config{CA: p.folder + "/none"}, []string{"x.ca is ", "no such file"}},
		"no authority":             {Config{CA: text}, []string{"x.ca is ", "no certificate in it"}},
		"a key for one":            {Config{CA: p.client.Key}, []string{"x.ca is ", "private key in it"}},
		"a folder":                 {Config{CA: p.folder}, []string{"x.ca is ", "is a folder"}},
		"no key":                   {Config{Cert: p.client.Cert}, []string{"x.key is missing", "want both, or neither"}},
		"no certificate":           {Config{Key: p.client.Key}, []string{"x.cert is missing", "want both, or neither"}},
		"another's key":            {Config{Cert: p.client.Cert, Key: other}, []string{"x.key is ", "does not go with the certificate"}},
		"swapped":                  {Config{Cert: p.client.Key, Key: p.client.Cert}, []string{"x.cert is ", "no certificate in it"}},
		"a locked key":             {Config{Cert: p.client.Cert, Key: locked}, []string{"x.key is ", "passphrase", "openssl pkey"}},
		"a text for a key":         {Config{Cert: p.client.Cert, Key: text}, []string{"x.key is ", "no private key in it"}},
		"a damaged one of several": {Config{CA: damaged}, []string{"x.ca is ", "cut off or damaged"}},
		"a chain the wrong way":    {Config{Cert: reversed, Key: p.client.Key}, []string{"x.cert is ", "that of CN=joe, is number 2 in it: want it first"}},
		"a port":                   {Config{ServerName: "kafka:9093"}, []string{"x.server_name is ", "without a port"}},
	} {
		err := c.config.Validate("x")
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", name, err, want)
			}
		}
		if err != nil && len(problems.From(err)) != 1 {
			t.Errorf("%s: got %v, want one problem", name, err)
		}
	}
}

func TestWhatAHandshakeFailsOfIsSaidInWords(t *testing.T) {
	p := newPlace(t)
	stranger := certstest.New("stranger")
	strange := certstest.Write(p.folder, "strange.crt", stranger.PEM)
	issue := func(name string, by *certstest.Authority, o certstest.Options) *tls.Config {
		var c Config
		c.Cert, c.Key = by.Issue(name, o).Write(p.folder, name)
		return New("x", c).Server(tls.NoClientCert)
	}
	local := []string{"127.0.0.1"}
	good := issue("good", p.authority, certstest.Options{Hosts: local})
	asking := New("x", p.server).Server(tls.RequireAndVerifyClientCert)
	ancient := &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} //nolint:gosec // that is what is tried
	for name, c := range map[string]struct {
		client Config
		server *tls.Config
		want   string
	}{
		"an unknown authority":    {Config{CA: strange}, good, "was issued by CN=first, which is not among the authorities of kafka.tls.ca: add that authority to the file"},
		"one the system has not":  {Config{}, good, "which this system does not know: want the file of that authority in kafka.tls.ca"},
		"another name":            {Config{CA: p.client.CA, ServerName: "other.example"}, good, "is for 127.0.0.1 and not for other.example: want an address that is in it, or its name in kafka.tls.server_name"},
		"no name":                 {Config{CA: p.client.CA}, issue("bare", p.authority, certstest.Options{}), "kafka.tls.server_name"},
		"expired":                 {Config{CA: p.client.CA}, issue("old", p.authority, certstest.Options{Hosts: local, From: time.Now().Add(-2 * time.Hour), To: time.Now().Add(-time.Hour)}), "the certificate of CN=old expired at "},
		"not yet valid":           {Config{CA: p.client.CA}, issue("early", p.authority, certstest.Options{Hosts: local, From: time.Now().Add(time.Hour), To: time.Now().Add(2 * time.Hour)}), "is a clock wrong?"},
		"no certificate shown":    {Config{CA: p.client.CA}, asking, "asks for a certificate, and no certificate was shown: want one in kafka.tls.cert and kafka.tls.key"},
		"one that is not trusted": {Config{CA: p.client.CA, Cert: p.client.Cert, Key: p.client.Key}, New("x", Config{CA: strange, Cert: p.server.Cert, Key: p.server.Key}).Server(tls.RequireAndVerifyClientCert), "refuses the certificate (unknown certificate authority; the certificate of CN=joe was shown)"},
		"TLS that is too old":     {Config{CA: p.client.CA}, ancient, "want TLS 1.2 or later there"},
	} {
		client := New("kafka.tls", c.client)
		_, err, _ := connect(t, client, c.server)
		if err == nil {
			t.Errorf("%s: got a connection", name)
			continue
		}
		words := client.Explain("127.0.0.1:9093", err) // TLS 1.3 tells of a refused client at the first read
		if !strings.Contains(words, c.want) {
			t.Errorf("%s: got %q of %v, want %q", name, words, err, c.want)
		}
	}
}

func TestAServerWithoutTLSIsSaidInWords(t *testing.T) {
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		_, _ = server.Read(make([]byte, 1<<16)) // all that the client says first
		_, _ = server.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		_, _ = io.Copy(io.Discard, server)
	}()
	_, err := New("kafka.tls", Config{}).Handshake(t.Context(), client, "kafka:9092")
	<-done
	if _, ok := errors.AsType[*HandshakeError](err); !ok || !strings.Contains(err.Error(), "kafka:9092 answers, but does not speak TLS there") {
		t.Errorf("got %v, want that no TLS is spoken there", err)
	}
	if words := New("x", Config{}).Explain("h", io.EOF); words != "" {
		t.Errorf("got %q of an end, want nothing", words)
	}
}

func TestExpiryIsKnown(t *testing.T) {
	p := newPlace(t)
	from, to := time.Now().Add(-time.Hour).Truncate(time.Second), time.Now().Add(time.Hour).Truncate(time.Second)
	p.authority.Issue("joe", certstest.Options{From: from, To: to}).Write(p.folder, "client")
	kafka, redis := New("kafka.tls", p.client), New("features.store.redis.tls", Config{})
	registry := prometheus.NewPedanticRegistry()
	var expiry Expiry
	expiry.Add(kafka)
	expiry.Add(redis)
	registry.MustRegister(&expiry)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			got[family.GetName()+" "+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	const at, lifetime = "nearline_certificate_expiry_timestamp_seconds ", "nearline_certificate_lifetime_seconds "
	if len(got) != 4 || got[at+"kafka.tls.cert"] != float64(to.Unix()) || got[lifetime+"kafka.tls.cert"] != to.Sub(from).Seconds() || got[lifetime+"kafka.tls.ca"] != 48*3600 {
		t.Errorf("got %v, want when two expire, and how long they are valid", got)
	}
	if got := kafka.certificates()["kafka.tls.cert"].NotAfter; !got.Equal(to) {
		t.Errorf("got %v, want %v", got, to)
	}
	if key, at := kafka.Soonest(); key != "kafka.tls.cert" || !at.Equal(to) {
		t.Errorf("%s expires first, at %v: want the certificate, at %v", key, at, to)
	}
	if key, _ := redis.Soonest(); key != "" {
		t.Errorf("%s expires first, want that nothing does", key)
	}
	if err := kafka.Judge(time.Now()); err != nil {
		t.Errorf("got %v, want that all is valid", err)
	}
	if err := kafka.Judge(to.Add(time.Minute)); err == nil || !strings.Contains(err.Error(), "kafka.tls.cert: the certificate of CN=joe expired at ") {
		t.Errorf("got %v, want that it is expired", err)
	}
}
