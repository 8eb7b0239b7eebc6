package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"nearline/internal/certs"
)

// endpoint has tokens from a token endpoint, one for all clients of the process. A token is renewed well before it expires, so that an endpoint that is
// away for a while costs nothing; and none of the client library's errors is passed on, since that library would take them for a broker's.
type endpoint struct {
	config     ClientCredentials
	extensions map[string]string
	trouble    *trouble
	files      *certs.Files
	// accepts is what the endpoint makes of the client's secret.
	accepts standing[digest]

	mu    sync.Mutex // held while the endpoint is asked: whoever comes meanwhile wants the same token
	token issuedToken
	// failed is the last answer where that was none, kept for a moment: many connections ask at once.
	failed   error
	failedOf digest
	failedAt time.Time
	pause    time.Duration            // for which it counts
	exchange clientcredentials.Config // remembers how the endpoint takes the secret, once that has succeeded
}

// issuedToken is one that the endpoint has issued.
type issuedToken struct {
	text string
	of   digest // the secret that it was exchanged for
	user string
	// renew is when the next one is asked for, until is when it expires.
	renew, from, until time.Time
}

func (t issuedToken) good(now time.Time) bool { return t.text != "" && now.Before(t.until) }

const (
	// endpointPatience bounds one question: a connection to a broker waits for the answer, and other requests to that broker with it.
	endpointPatience = 2 * time.Second
	// firstPatience bounds it while there is no token that counts, since nothing goes on without. It is less than commands wait for brokers.
	firstPatience = 6 * time.Second
	// endpointPause is how long a failure counts for all that ask, and refusedPause the most that a refusal does: it grows with each, until there is another
	// secret. Endpoints lock out whoever shows a wrong one often.
	endpointPause = time.Second
	refusedPause  = grace
	// endless is how long a token is used that does not say when it expires.
	endless = 5 * time.Minute
)

func newEndpoint(c ClientCredentials, extensions map[string]string, t *trouble) source {
	e := &endpoint{config: c, extensions: extensions, trouble: t, files: certs.New("kafka.sasl.client_credentials.tls", c.TLS)}
	e.exchange = clientcredentials.Config{TokenURL: c.TokenURL, Scopes: c.Scopes, EndpointParams: make(url.Values, len(c.Parameters))}
	for name, value := range c.Parameters {
		e.exchange.EndpointParams.Set(name, value)
	}
	return e
}

// secrets are the client's, as they are now.
func (e *endpoint) secrets() (id, word string, of digest, err error) {
	if id, err = e.config.ClientID.Read(); err != nil {
		return "", "", digest{}, unreadable("kafka.sasl.client_credentials.client_id", e.config.ClientID.Text, err)
	}
	if word, err = e.config.ClientSecret.Read(); err != nil {
		return "", "", digest{}, unreadable("kafka.sasl.client_credentials.client_secret", e.config.ClientSecret, err)
	}
	return id, word, digestOf(id, word), nil
}

func (e *endpoint) take(ctx context.Context) (shown, sasl.Mechanism, error) {
	token, err := e.current(ctx)
	if err != nil {
		return shown{}, nil, err
	}
	with := shown{content: token.of, token: digestOf(token.text), user: token.user, from: token.from, until: token.until}
	return with, oauth.Auth{Token: token.text, Extensions: e.extensions}.AsMechanism(), nil
}

// current token, renewed where it is time.
func (e *endpoint) current(ctx context.Context) (issuedToken, error) {
	id, word, of, err := e.secrets()
	if err != nil {
		return issuedToken{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if e.token.of == of && e.token.good(now) && now.Before(e.token.renew) {
		return e.token, nil
	}
	if e.failed == nil || e.failedOf != of || now.Sub(e.failedAt) > e.pause {
		answer := e.ask(ctx, id, word, of)
		if over := ctx.Err(); over != nil && errors.Is(answer, over) { // whoever asked is gone: nobody has answered
			return issuedToken{}, answer
		}
		again := Refused(e.failed) && e.failedOf == of
		e.failed = answer
		e.failedOf, e.failedAt = of, time.Now()
		if e.pause = min(2*e.pause, refusedPause); !again || !Refused(e.failed) {
			e.pause = endpointPause
		}
	}
	switch {
	case e.failed == nil, e.token.good(time.Now()): // the old one still counts
		return e.token, nil
	default:
		return issuedToken{}, e.failed
	}
}

// ask the endpoint for a token.
func (e *endpoint) ask(ctx context.Context, id, word string, of digest) error {
	e.exchange.ClientID, e.exchange.ClientSecret = id, word
	e.accepts.show(of)
	within, cancel := context.WithTimeout(ctx, e.patience())
	defer cancel()
	client, err := e.client()
	if err != nil {
		return e.judge(ctx, of, err)
	}
	issued, err := e.exchange.Token(context.WithValue(within, oauth2.HTTPClient, client))
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return e.judge(ctx, of, err)
	}
	fresh := e.accepts.accept(e.config.TokenURL, of)
	e.trouble.clear(place{kindToken, e.config.TokenURL}, fresh)
	now := time.Now()
	until := issued.Expiry
	if until.IsZero() {
		until = now.Add(endless)
	}
	e.token = issuedToken{text: issued.AccessToken, of: of, renew: now.Add(until.Sub(now) * 4 / 5), until: until}
	e.token.user, e.token.from, _ = claims(issued.AccessToken)
	e.config.ClientSecret.Hide(issued.AccessToken)
	return nil
}

// patience with one question.
func (e *endpoint) patience() time.Duration {
	if e.token.good(time.Now()) {
		return endpointPatience
	}
	return firstPatience
}

// client asks with the certificates of now, and follows no redirection: the secret is for this endpoint alone. Where the environment names a proxy, the
// library speaks TLS by itself through it, with the same certificates.
func (e *endpoint) client() (*http.Client, error) {
	through, err := e.files.Client(e.host())
	if err != nil {
		return nil, err
	}
	secured := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return e.files.Handshake(ctx, conn, address)
	}
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DialTLSContext: secured, TLSClientConfig: through, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// host of the endpoint.
func (e *endpoint) host() string {
	at, err := url.Parse(e.config.TokenURL)
	if err != nil {
		return e.config.TokenURL // which the configuration does not let through
	}
	return at.Hostname()
}

// judge why there is no token: the endpoint has refused the client, or does not answer as it should, which may pass.
func (e *endpoint) judge(ctx context.Context, of digest, err error) error {
	at := place{kindToken, e.config.TokenURL}
	answer, answered := errors.AsType[*oauth2.RetrieveError](err)
	if !answered || !final(answer.Response.StatusCode) {
		said, cause := e.reason(err)
		words := fmt.Sprintf("kafka.sasl: %s gives no token: %s", e.config.TokenURL, said)
		e.trouble.say(at, cause, words, soft)
		return &passing{refusal{words: words}}
	}
	changed := func() bool {
		_, _, current, err := e.secrets()
		return err == nil && current != of
	}
	current := of
	if changed() {
		current = digest{}
	}
	mayPass := e.accepts.refuse(e.config.TokenURL, of, current)
	words := fmt.Sprintf("kafka.sasl: %s refuses the client: %s; want the id and the secret in kafka.sasl.client_credentials that the endpoint knows, and scopes and parameters that it allows",
		e.config.TokenURL, said(answer))
	// Descriptions may have a time and the id of the question in them.
	e.trouble.say(at, cmp.Or(answer.ErrorCode, answer.Response.Status), words, passes(mayPass))
	if !mayPass {
		return &refusal{words: words}
	}
	e.accepts.wait(e.config.TokenURL, ctx.Done(), changed)
	return &passing{refusal{words: words}}
}

// final says that an answer is about the question, and will be the same the next time.
func final(status int) bool {
	return status >= 300 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}

// said is the endpoint's own words.
func said(answer *oauth2.RetrieveError) string {
	if answer.ErrorCode == "" {
		return answer.Response.Status
	}
	words := answer.ErrorCode
	if answer.ErrorDescription != "" {
		words += ": " + answer.ErrorDescription
	}
	const most = 500
	if len(words) > most {
		words = strings.ToValidUTF8(words[:most], "") + "..."
	}
	return words
}

// reason of a failure, without the URL, which stands before it anyway; and what of it is the same each time.
func (e *endpoint) reason(err error) (words, cause string) {
	if words = e.known(err); words != "" {
		return words, words
	}
	if in, ok := errors.AsType[*url.Error](err); ok {
		err = in.Err
	}
	return err.Error(), steady(err)
}

// known is what is said of a failure that has words of its own here, "" of others.
func (e *endpoint) known(err error) string {
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return "it answers " + answer.Response.Status
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("it does not answer within %v", e.patience())
	}
	if words, ok := errors.AsType[*certs.HandshakeError](err); ok {
		return words.Error()
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "it does not speak TLS"
	}
	return e.files.Explain(e.host(), err)
}

func (e *endpoint) now() (shown, bool) {
	_, _, of, err := e.secrets()
	return shown{content: of}, err == nil
}

// refused is told of a token that a broker did not accept: another one is asked for.
func (e *endpoint) refused(was shown) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if digestOf(e.token.text) == was.token {
		e.token = issuedToken{}
	}
}

func (*endpoint) remedy() string {
	return "want tokens for an audience, and of an issuer, that the cluster accepts"
}
