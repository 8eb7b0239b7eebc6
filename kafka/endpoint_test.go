package kafka

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/certs"
	"nearline/internal/harness/certstest"
	"nearline/internal/secret"
)

// issuer is a token endpoint.
type issuer struct {
	*httptest.Server
	secret atomic.Pointer[string]
	// status that it answers with; 0 is by the secret.
	status   atomic.Int64
	lifetime atomic.Int64 // of its tokens, in seconds
	asked    atomic.Int64
}

func issue(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.lifetime.Store(3600)
	i.takes("right")
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		if status := i.status.Load(); status != 0 {
			w.WriteHeader(int(status))
			fmt.Fprint(w, "{}")
			return
		}
		id, word, _ := r.BasicAuth()
		if err := r.ParseForm(); err != nil || id != "svc" || word != *i.secret.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"Invalid client or Invalid client credentials"}`)
			return
		}
		claims := fmt.Sprintf(`{"sub":"svc","n":%d,"scope":%q,"audience":%q}`, i.asked.Load(), r.Form.Get("scope"), r.Form.Get("audience"))
		fmt.Fprintf(w, `{"access_token":"e30.%s.x","token_type":"Bearer","expires_in":%d}`, base64.RawURLEncoding.EncodeToString([]byte(claims)), i.lifetime.Load())
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) takes(secret string) { i.secret.Store(&secret) }

// inFile is a text that stands in a file.
func inFile(t *testing.T, key, content string) (secret.Text, func(content string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(content)
	return secret.New(key, "${file:"+path+"}", func() (string, error) { return secret.File(path) }), write
}

func named(text string) secret.Name { return secret.Name{Text: secret.Plain(text)} }

// asking is an endpoint that asks the issuer.
func asking(t *testing.T, i *issuer, word string) (of *endpoint, t2 *trouble, rotate func(string)) {
	t.Helper()
	text, rotate := inFile(t, "kafka.sasl.client_credentials.client_secret", word)
	t2 = &trouble{}
	of, ok := newEndpoint(ClientCredentials{TokenURL: i.URL, ClientID: named("svc"), ClientSecret: text, Scopes: []string{"kafka", "other"},
		Parameters: map[string]string{"audience": "brokers"}}, nil, t2).(*endpoint)
	if !ok {
		t.Fatal("an endpoint is of another type")
	}
	return of, t2, rotate
}

func TestATokenServesAllConnectionsUntilItIsTimeForTheNext(t *testing.T) {
	i := issue(t)
	of, _, _ := asking(t, i, "right")
	for range 3 {
		if _, _, err := of.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the endpoint was asked %d times, want once", n)
	}
	if subject, _, _ := claims(of.token.text); subject != "svc" || !strings.Contains(decoded(of.token.text), `"scope":"kafka other","audience":"brokers"`) {
		t.Errorf("the token is %s, of %s: want scopes and parameters in it", decoded(of.token.text), subject)
	}
	if left := time.Until(of.token.renew); left < 45*time.Minute || left > 49*time.Minute {
		t.Errorf("a token of an hour is renewed in %v, want after four fifths", left)
	}
	was, _, _ := of.take(t.Context())
	of.refused(was)
	if now, _, err := of.take(t.Context()); err != nil || now.token == was.token || i.asked.Load() != 2 {
		t.Errorf("the brokers refused the token: want another one (%v)", err)
	}
	of.refused(was)
	if _, _, err := of.take(t.Context()); err != nil || i.asked.Load() != 2 {
		t.Errorf("the brokers refused the token before this one: want this one to be kept (%v)", err)
	}
}

func decoded(token string) string {
	body, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	return string(body)
}

func TestAnEndpointThatIsAwayCostsNothingWhileATokenCounts(t *testing.T) {
	i := issue(t)
	of, trouble, _ := asking(t, i, "right")
	first, _, err := of.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	of.token.renew = time.Now()
	i.status.Store(http.StatusServiceUnavailable)
	if again, _, err := of.take(t.Context()); err != nil || again.token != first.token {
		t.Errorf("got %v: want the token that still counts", err)
	}
	of.token.until = time.Now()
	of.failedAt = time.Time{}
	if _, _, err := of.take(t.Context()); !Passing(err) || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), i.URL) || !kgo.IsRetryableBrokerErr(err) {
		t.Errorf("got %v: want the endpoint and its status, and another try", err)
	}
	if trouble.reason(false) != "" {
		t.Errorf("the trouble is %q at once: want grace", trouble.reason(false))
	}
	i.Close()
	of.failedAt = time.Time{}
	if _, _, err := of.take(t.Context()); !Passing(err) || strings.Count(err.Error(), i.URL) != 1 {
		t.Errorf("got %v: want what may pass, and the endpoint once", err)
	}
}

func TestAWrongClientSecretIsRefusedInTheEndpointsWords(t *testing.T) {
	i := issue(t)
	of, trouble, rotate := asking(t, i, "wrong")
	_, _, err := of.take(t.Context())
	if !Refused(err) || kgo.IsRetryableBrokerErr(err) {
		t.Fatalf("got %v: want a refusal that is not tried again in silence", err)
	}
	for _, words := range []string{i.URL, "invalid_client: Invalid client or Invalid client credentials", "kafka.sasl.client_credentials"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("got %q: want %q in it", err, words)
		}
	}
	if strings.Contains(err.Error(), "wrong") || !strings.Contains(trouble.reason(false), "invalid_client") {
		t.Errorf("got %q and %q: want the words in both, and the secret in none", err, trouble.reason(false))
	}
	asked := i.asked.Load()
	for range 5 {
		if _, _, err := of.take(t.Context()); !Refused(err) {
			t.Errorf("got %v: want the refusal", err)
		}
	}
	if i.asked.Load() != asked {
		t.Errorf("the endpoint was asked %d times more within a moment, want none", i.asked.Load()-asked)
	}
	rotate("right")
	if _, _, err := of.take(t.Context()); err != nil || trouble.reason(false) != "" {
		t.Errorf("with the right secret: %v, and trouble %q; want none", err, trouble.reason(false))
	}
}

func TestAWrongClientSecretIsShownLessAndLess(t *testing.T) {
	i := issue(t)
	of, _, rotate := asking(t, i, "wrong")
	for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		want := time.Duration(seconds) * time.Second
		if _, _, err := of.take(t.Context()); !Refused(err) || of.pause != want {
			t.Errorf("got %v, which counts for %v; want a refusal, and %v", err, of.pause, want)
		}
		of.failedAt = time.Time{}
	}
	rotate("wrong, too")
	if _, _, err := of.take(t.Context()); !Refused(err) || of.pause != endpointPause {
		t.Errorf("another secret: got %v, which counts for %v; want a refusal, and %v", err, of.pause, endpointPause)
	}
}

func TestHowAnEndpointTakesTheSecretIsRemembered(t *testing.T) {
	var headers, bodies atomic.Int64
	i := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if _, _, basic := r.BasicAuth(); basic {
			headers.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		bodies.Add(1)
		fmt.Fprintf(w, `{"access_token":"x%d","token_type":"Bearer","expires_in":3600}`, bodies.Load())
	}))
	defer i.Close()
	of, _, rotate := asking(t, &issuer{Server: i}, "right")
	for _, word := range []string{"right", "next", "last"} {
		rotate(word)
		if _, _, err := of.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if headers.Load() != 1 || bodies.Load() != 3 {
		t.Errorf("three secrets were shown %d times in a header and %d times in a body; want once, and three times", headers.Load(), bodies.Load())
	}
}

func TestARefusalOfTheEndpointIsLoggedOnceWhateverItsWordsHaveOfTheTime(t *testing.T) {
	var asked atomic.Int64
	i := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"Invalid client secret. Trace ID: %d"}`, asked.Add(1))
	}))
	defer i.Close()
	of, trouble, _ := asking(t, &issuer{Server: i}, "wrong")
	log := &journal{}
	trouble.tell(log.logger())
	for range 3 {
		if _, _, err := of.take(t.Context()); !Refused(err) || !strings.Contains(err.Error(), fmt.Sprintf("Trace ID: %d", asked.Load())) {
			t.Errorf("got %v, want the endpoint's words of this time", err)
		}
		of.failedAt = time.Time{}
	}
	if n := log.lines("invalid_client"); n != 1 {
		t.Errorf("it is logged %d times, want once:\n%s", n, log.text.String())
	}
}

func TestTheEndOfOneClientIsNobodyElsesFailure(t *testing.T) {
	i := issue(t)
	of, trouble, _ := asking(t, i, "right")
	log := &journal{}
	trouble.tell(log.logger())
	ended, end := context.WithCancel(t.Context())
	end()
	if _, _, err := of.take(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that whoever asked is gone", err)
	}
	if len(trouble.open) > 0 || log.text.Len() > 0 {
		t.Errorf("there is %d trouble, and the log is %s; want none", len(trouble.open), log.text.String())
	}
	if _, _, err := of.take(t.Context()); err != nil {
		t.Errorf("another client: %v", err)
	}
}

func TestTheFirstTokenMayTakeLonger(t *testing.T) {
	of, _, _ := asking(t, issue(t), "right")
	if got := of.patience(); got != firstPatience {
		t.Errorf("without a token it waits %v, want %v", got, firstPatience)
	}
	if _, _, err := of.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := of.patience(); got != endpointPatience {
		t.Errorf("with a token it waits %v, want %v", got, endpointPatience)
	}
	of.token.until = time.Now()
	if got := of.patience(); got != firstPatience {
		t.Errorf("with one that has expired it waits %v, want %v", got, firstPatience)
	}
}

func TestASecretThatHasJustChangedAtTheEndpointMayPass(t *testing.T) {
	i := issue(t)
	of, _, rotate := asking(t, i, "right")
	first, _, err := of.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i.takes("new")
	of.token.renew = time.Now()
	if again, _, err := of.take(t.Context()); err != nil || again.token != first.token {
		t.Errorf("got %v: want the token that still counts", err)
	}
	of.token, of.failedAt = issuedToken{}, time.Time{}
	if _, _, err := of.take(t.Context()); !Passing(err) {
		t.Errorf("got %v: want what may pass, since the secret was right a moment ago", err)
	}
	rotate("new")
	if _, _, err := of.take(t.Context()); err != nil {
		t.Errorf("with the new secret: %v", err)
	}
}

func TestTheSecretFollowsNoRedirection(t *testing.T) {
	thief := issue(t)
	i := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer i.Close()
	of, _, _ := asking(t, &issuer{Server: i}, "right")
	if _, _, err := of.take(t.Context()); !Refused(err) || thief.asked.Load() != 0 {
		t.Errorf("got %v, and the other server was asked %d times: want a refusal, and none", err, thief.asked.Load())
	}
}

func TestTheEndpointsCertificateIsJudgedByItsOwnSection(t *testing.T) {
	authority := certstest.New("authority of logins")
	pair := authority.Issue("login", certstest.Options{Hosts: []string{"127.0.0.1"}})
	l := &listener{}
	l.show(pair, nil)
	secured := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"x","token_type":"Bearer"}`)
	}))
	secured.TLS = l.config.Load()
	secured.StartTLS()
	defer secured.Close()
	config := ClientCredentials{TokenURL: secured.URL, ClientID: named("svc"), ClientSecret: secret.Plain("right")}
	_, _, err := newEndpoint(config, nil, &trouble{}).take(context.Background())
	if err == nil || !strings.Contains(err.Error(), "kafka.sasl.client_credentials.tls.ca") {
		t.Errorf("got %v: want the key that takes the authority", err)
	}
	config.TLS = certs.Config{CA: certstest.Write(t.TempDir(), "ca.pem", authority.PEM)}
	if _, _, err := newEndpoint(config, nil, &trouble{}).take(context.Background()); err != nil {
		t.Errorf("with the authority: %v", err)
	}
}

// tunnel is a proxy that a company has all go through.
func tunnel(t *testing.T) (*url.URL, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		there, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
		if err != nil || r.Method != http.MethodConnect {
			t.Errorf("%s %s: %v, want CONNECT", r.Method, r.Host, err)
			return
		}
		w.WriteHeader(http.StatusOK)
		here, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		go func() {
			_, _ = io.Copy(there, buffered)
			_ = there.Close()
		}()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	}))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	return at, &asked
}

func TestTheEndpointsCertificateIsJudgedTheSameThroughAProxy(t *testing.T) {
	authority, folder := certstest.New("authority of the endpoint"), t.TempDir()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"t","token_type":"Bearer","expires_in":60}`)
	}))
	shown := authority.Issue("endpoint", certstest.Options{Hosts: []string{"127.0.0.1"}})
	pair, err := tls.X509KeyPair(shown.Cert, shown.Key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	proxy, asked := tunnel(t)
	ca := certstest.Write(folder, "ca.pem", authority.PEM)
	for _, known := range []bool{true, false} {
		config := ClientCredentials{TokenURL: server.URL, ClientID: named("svc"), ClientSecret: secret.Plain("word"), TLS: certs.Config{CA: ca}}
		if !known {
			config.TLS.CA = certstest.Write(folder, "other.pem", certstest.New("other").PEM)
		}
		of := newEndpoint(config, nil, &trouble{}).(*endpoint)
		client, err := of.client()
		if err != nil {
			t.Fatal(err)
		}
		client.Transport.(*http.Transport).Proxy = http.ProxyURL(proxy)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err == nil {
			_ = answer.Body.Close()
		}
		if (err == nil) != known {
			t.Errorf("an authority that is known, %v: got %v", known, err)
		}
		if err != nil {
			const want = "was issued by CN=authority of the endpoint, which is not among the authorities of kafka.sasl.client_credentials.tls.ca"
			if words, _ := of.reason(err); !strings.Contains(words, want) {
				t.Errorf("got %q, want %q", words, want)
			}
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the proxy was asked %d times, want twice", n)
	}
}
