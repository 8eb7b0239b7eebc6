package serving

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"nearline/internal/harness/certstest"
	"nearline/internal/observe"
)

// secured is a server's configuration, the authority of it, and their folder.
func secured(t *testing.T) (config *TLS, authority *certstest.Authority, folder string) {
	t.Helper()
	folder, authority = t.TempDir(), certstest.New("authority")
	config = &TLS{CA: certstest.Write(folder, "ca.crt", authority.PEM)}
	config.Cert, config.Key = authority.Issue("server", certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(folder, "server")
	return config, authority, folder
}

// asks over TLS, on a connection of its own, and returns the status, the text and the name of the server's certificate.
func asks(t *testing.T, url string, trusted *certstest.Authority, own *certstest.Pair) (status int, text, server string, err error) {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AppendCertsFromPEM(trusted.PEM)
	if own != nil {
		pair, err := tls.X509KeyPair(own.Cert, own.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.ProtoMajor != 1 {
		t.Errorf("%s speaks %s: want HTTP/1.1, of which connections are counted", url, response.Proto)
	}
	return response.StatusCode, string(body), response.TLS.PeerCertificates[0].Subject.CommonName, err
}

func TestServerSpeaksTLSWithTheCertificateOfNow(t *testing.T) {
	config, authority, folder := secured(t)
	config.CA = ""
	url, _ := serveHTTP(t, Config{TLS: config}, nil)
	url = strings.Replace(url, "http://", "https://", 1)
	for _, name := range []string{"first", "second"} {
		authority.Issue(name, certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(folder, "server")
		if status, _, server, err := asks(t, url+"/healthz", authority, nil); err != nil || status != 200 || server != name {
			t.Errorf("got %d of %s, %v; want 200 of %s", status, server, err, name)
		}
	}
	response, body := say(t, strings.Replace(url, "https://", "http://", 1), get("/healthz"))
	if response.StatusCode != http.StatusBadRequest || !strings.Contains(body, "HTTPS") {
		t.Errorf("without TLS: got %s %q, want that TLS is wanted", response.Status, body)
	}
}

func TestAllButProbesWantAClientCertificateWhereItIsRequired(t *testing.T) {
	config, authority, _ := secured(t)
	config.ClientCertificates = CertificatesRequired
	url, _ := serveHTTP(t, Config{TLS: config, Tokens: plain(reader)}, nil)
	url = strings.Replace(url, "http://", "https://", 1)
	joe := authority.Issue("joe", certstest.Options{})
	stranger := certstest.New("stranger").Issue("joe", certstest.Options{})
	for _, c := range []struct {
		name, page string
		own        *certstest.Pair
		status     int
		says       string
	}{
		{"a probe", "/healthz", nil, 200, ""},
		{"nobody", "/metrics", nil, 403, "want a client certificate that one of the authorities in serving.tls.ca has issued"},
		{"one without a token", "/metrics", &joe, 401, "with one of serving.tokens"},
	} {
		if status, body, _, err := asks(t, url+c.page, authority, c.own); err != nil || status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: got %d %q, %v; want %d with %q", c.name, status, body, err, c.status, c.says)
		}
	}
	if _, _, _, err := asks(t, url+"/healthz", authority, &stranger); err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("a certificate of another authority: got %v, want that it is refused", err)
	}
}

func TestConnectionsAreBoundedUnderTLS(t *testing.T) {
	config, authority, _ := secured(t)
	config.CA = ""
	entered, release := make(chan struct{}), make(chan struct{})
	url, _ := serveHTTP(t, Config{TLS: config, MaxConnections: 8}, func(s *Server) {
		s.Handle("GET /slow", "", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			entered <- struct{}{}
			<-release
		}))
	})
	url = strings.Replace(url, "http://", "https://", 1)
	answered := make(chan int, 8)
	for range 8 {
		go func() {
			status, _, _, _ := asks(t, url+"/slow", authority, nil)
			answered <- status
		}()
		<-entered
	}
	if status, _, _, err := asks(t, url+"/healthz", authority, nil); err != nil || status != 200 {
		t.Errorf("a probe with all connections at work: got %d, %v, want 200", status, err)
	}
	if status, body, _, err := asks(t, url+"/", authority, nil); err != nil || status != 503 || !strings.Contains(body, "serving.max_connections") {
		t.Errorf("another request: got %d %q, %v, want 503 that names serving.max_connections", status, body, err)
	}
	close(release)
	for range 8 {
		if status := <-answered; status != 200 {
			t.Errorf("one that was at work: got %d, want 200", status)
		}
	}
}

func TestAProberKnowsTheServerByItsCertificate(t *testing.T) {
	config, authority, folder := secured(t)
	config.CA = ""
	url, _ := serveHTTP(t, Config{TLS: config}, nil)
	url = strings.Replace(url, "http://", "https://", 1)
	var unread error
	prober := func(config *TLS) *tls.Config { return Config{TLS: config}.Client(func(err error) { unread = err }) }
	probe := func(client *tls.Config) error { return observe.Probe(context.Background(), url+"/healthz", client) }
	well := func(when string, client *tls.Config) {
		t.Helper()
		if err := probe(client); err != nil || unread != nil {
			t.Errorf("%s: got %v, and %v of the files; want that all is well", when, err, unread)
		}
	}
	well("at first", prober(config))
	next := authority.Issue("elsewhere", certstest.Options{Hosts: []string{"elsewhere.example"}})
	before := prober(config)
	next.Write(folder, "server")
	well("a certificate of another name", prober(config))
	well("one that came between the look at the file and the answer", before)

	other := t.TempDir()
	theirs := *config
	theirs.Cert, theirs.Key = authority.Issue("another", certstest.Options{Hosts: []string{"127.0.0.1"}}).Write(other, "server")
	if err := probe(prober(&theirs)); err == nil || !strings.Contains(err.Error(), "CN=elsewhere, which is not the one in serving.tls.cert") {
		t.Errorf("got %v, want that another certificate is shown", err)
	}

	// The server goes on with the pair that it has while the files hold none, and a prober that begins then cannot know it.
	third := authority.Issue("third", certstest.Options{Hosts: []string{"127.0.0.1"}})
	for name, c := range map[string]struct {
		cert, key []byte
		of        string
	}{
		"a certificate before its key": {third.Cert, next.Key, "key"}, "a key before its certificate": {next.Cert, third.Key, "key"}, "half a certificate": {third.Cert[:100], next.Key, "cert"},
		"nothing": {of: "cert"}, "no certificate": {nil, next.Key, "cert"},
	} {
		certstest.Write(folder, "server.crt", c.cert)
		certstest.Write(folder, "server.key", c.key)
		unread = nil
		if err := probe(prober(config)); err != nil || unread == nil || !strings.HasPrefix(unread.Error(), "serving.tls."+c.of+": ") {
			t.Errorf("%s: got %v, and %v of the files; want that the service is well, and that its certificate was not looked at", name, err, unread)
		}
	}
	if got, err := (Config{HTTP: ":8443", TLS: config}).URL(); err != nil || got != "https://127.0.0.1:8443" {
		t.Errorf("got %s, %v; want https", got, err)
	}
	if client := (Config{}).Client(nil); client != nil {
		t.Errorf("without TLS: got %v; want none", client)
	}
}

func TestTLSConfigNamesItsProblem(t *testing.T) {
	config, _, _ := secured(t)
	for name, c := range map[string]struct {
		config TLS
		want   string
	}{
		"nothing":                  {TLS{}, "x.cert is missing"},
		"no authority":             {TLS{Cert: config.Cert, Key: config.Key, ClientCertificates: CertificatesRequired}, "x.ca is missing"},
		"an authority for nothing": {TLS{Cert: config.Cert, Key: config.Key, CA: config.CA}, "no client has to show a certificate"},
		"another choice":           {TLS{Cert: config.Cert, Key: config.Key, ClientCertificates: "yes"}, `x.client_certificates is "yes": want none or required`},
		"a key that is not there":  {TLS{Cert: config.Cert, Key: config.Key + "x"}, "x.key is "},
		"all that it needs":        {TLS{Cert: config.Cert, Key: config.Key, ClientCertificates: CertificatesNone}, ""},
		"all that there is":        {TLS{Cert: config.Cert, Key: config.Key, CA: config.CA, ClientCertificates: CertificatesRequired}, ""},
	} {
		err := c.config.Validate("x")
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestFailedHandshakesAreCountedAndDoNotFillTheLog(t *testing.T) {
	var out bytes.Buffer
	l := newServerLog(slog.New(slog.NewTextHandler(&out, nil)))
	lines := log.New(l, "", 0)
	lines.Print("http: TLS handshake error from 10.0.0.1:4711: EOF")
	lines.Print("http: TLS handshake error from 10.0.0.1:4712: remote error: tls: unknown certificate authority")
	if out.Len() > 0 {
		t.Errorf("got %s in the log, want nothing", out.String())
	}
	var m dto.Metric
	if err := l.failures.Write(&m); err != nil || m.GetCounter().GetValue() != 2 {
		t.Errorf("counted %v, %v; want 2", m.GetCounter().GetValue(), err)
	}
	lines.Print("http: Accept error: too many open files; retrying in 5ms")
	if !strings.Contains(out.String(), "level=WARN") || !strings.Contains(out.String(), "too many open files") {
		t.Errorf("got %q in the log, want what else is said", out.String())
	}
}
