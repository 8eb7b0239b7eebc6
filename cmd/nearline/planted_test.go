package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/config"
)

// plants are secrets in the places of a configuration that take one: what it says of them, by the key.
//
// Each place has a secret of its own, so that what is found tells where it came from. They have signs that encoders write otherwise.
type plants struct {
	folder  string
	form    string            // how the configuration has them: written, variable or file
	secrets map[string]string // by the key
}

// forms in which a configuration may have a secret.
var forms = []string{"written", "variable", "file"}

func newPlants(t *testing.T, form string) *plants {
	t.Helper()
	return &plants{folder: t.TempDir(), form: form, secrets: map[string]string{}}
}

// secret of a place, of its first and later contents.
func secretOf(key string, turn int) string {
	return fmt.Sprintf("hunter2/%s+%d=%s", strings.NewReplacer(".", "-", "[]", "").Replace(key), turn, "&'~\\")
}

// at a key, what stands in the configuration.
func (p *plants) at(t *testing.T, key string) string {
	t.Helper()
	secret, planted := p.secrets[key]
	if !planted {
		secret = secretOf(key, 1)
		p.secrets[key] = secret
	}
	switch p.form {
	case "variable":
		name := "PLANTED_" + strings.ToUpper(strings.NewReplacer(".", "_", "[]", "").Replace(key))
		if !planted {
			t.Setenv(name, secret)
		}
		return strconv.Quote("${env:" + name + "}")
	case "file":
		if !planted { // commands that run meanwhile read it
			write(t, p.path(key), secret+"\n")
		}
		return strconv.Quote("${file:" + p.path(key) + "}")
	}
	return strconv.Quote(secret)
}

func (p *plants) path(key string) string {
	return filepath.Join(p.folder, strings.ReplaceAll(key, "[]", ""))
}

// replace the secret of a key by another. The first is looked for all the same.
func (p *plants) replace(t *testing.T, key string) string {
	t.Helper()
	next := secretOf(key, 2)
	write(t, p.path(key), next)
	p.secrets[key+" again"] = next
	return next
}

// traces are the forms in which a secret may stand in a text.
func traces(secret string) []string {
	all := []string{secret, hex.EncodeToString([]byte(secret)), url.QueryEscape(secret), url.PathEscape(secret)}
	for _, quoted := range []string{strconv.Quote(secret), strconv.QuoteToASCII(secret)} {
		all = append(all, quoted[1:len(quoted)-1])
	}
	for offset := range 3 { // whatever stands before it, such as a user and a colon
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, offset), secret...))
		cut := encoded[(offset*8+5)/6 : len(encoded)-2]
		all = append(all, cut, strings.NewReplacer("+", "-", "/", "_").Replace(cut))
	}
	return all
}

// search what was written, under the name of where it stood.
func (p *plants) search(t *testing.T, where, text string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(p.secrets)) {
		for _, trace := range traces(p.secrets[key]) {
			if at := strings.Index(text, trace); at >= 0 {
				t.Errorf("%s shows the secret of %s, which is %s: ...%s...", where, key, p.form, text[max(0, at-300):min(len(text), at+len(trace)+100)])
				return
			}
		}
	}
}

func TestTheSearchForSecretsFindsThem(t *testing.T) {
	secret := secretOf("kafka.sasl.password", 1)
	for _, text := range []string{
		"password " + secret, fmt.Sprintf("%q", secret), url.QueryEscape(secret), fmt.Sprintf("%x", secret),
		base64.StdEncoding.EncodeToString([]byte("u:" + secret)), base64.StdEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte("\x00user\x00" + secret)), base64.StdEncoding.EncodeToString([]byte("user:" + secret + ":more")),
	} {
		if !slices.ContainsFunc(traces(secret), func(trace string) bool { return strings.Contains(text, trace) }) {
			t.Errorf("the secret is not found in %s", text)
		}
	}
}

// logins are the ways to log in to brokers that take secrets.
func logins(t *testing.T, p *plants, endpoint string) map[string]string {
	t.Helper()
	return map[string]string{
		"plain":     "mechanism: plain, user: planted, password: " + p.at(t, "kafka.sasl.password"),
		"scram":     "mechanism: scram-sha-512, user: planted, password: " + p.at(t, "kafka.sasl.password"),
		"token":     "mechanism: oauthbearer, token: " + p.at(t, "kafka.sasl.token"),
		"exchanged": "mechanism: oauthbearer, client_credentials: {token_url: " + endpoint + "/token, client_id: planted, client_secret: " + p.at(t, "kafka.sasl.client_credentials.client_secret") + "}",
	}
}

// configured writes a configuration with a secret in every place but those of other ways to log in.
func (p *plants) configured(t *testing.T, broker, redis, login string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nearline.yaml")
	write(t, path, `
kafka: {brokers: ["`+broker+`"], replica: planted, session_timeout: 6s, sasl: {`+login+`}}
models: {repository: "`+repository(t)+`"}
pipelines:
  - name: reviews
    input: {topic: reviews.raw}
    steps: [{predict: {model: sentiment}}, {lookup: {views: [item]}}, {aggregate: {view: item}}]
    output: {topic: reviews.scored}
    dead_letters: reviews.raw.dlq
features:
  store: {redis: {addresses: ["`+redis+`"], username: planted, password: `+p.at(t, "features.store.redis.password")+`}}
  views: [{name: item, key: item_id, fields: [{name: n, count: {}}]}]
serving: {http: "127.0.0.1:0", pprof: true, tokens: [`+p.at(t, "serving.tokens[]")+`], admin_tokens: [`+p.at(t, "serving.admin_tokens[]")+`]}
`)
	return path
}

func TestSecretsArePlantedInEveryPlaceThatTakesOne(t *testing.T) {
	p := newPlants(t, "file")
	logins(t, p, "http://127.0.0.1:1")
	p.configured(t, "127.0.0.1:1", "127.0.0.1:1", "mechanism: plain")
	if got, want := slices.Sorted(maps.Keys(p.secrets)), slices.Sorted(slices.Values(config.SecretKeys())); !slices.Equal(got, want) {
		t.Errorf("secrets are planted at %q, and the configuration takes them at %q: want them planted in all places", got, want)
	}
}

// repeater answers whatever it is told with the same, as Redis says an error.
func repeater(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ending, end := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer connection.Close()
				defer context.AfterFunc(ending, func() { _ = connection.Close() })()
				told := make([]byte, 64<<10)
				for {
					n, err := connection.Read(told)
					if err != nil {
						return
					}
					_, _ = fmt.Fprintf(connection, "-ERR what is %q?\r\n", told[:n])
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		end()
		all.Wait()
	})
	return listener.Addr().String()
}

// refusing are brokers that take any way to log in, refuse every login, and say what they were told.
func refusing(t *testing.T) string {
	t.Helper()
	brokers, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(brokers.Close)
	brokers.ControlKey(int16(kmsg.SASLHandshake), func(request kmsg.Request) (kmsg.Response, error, bool) {
		brokers.KeepControl()
		answer := request.ResponseKind().(*kmsg.SASLHandshakeResponse)
		answer.SupportedMechanisms = []string{request.(*kmsg.SASLHandshakeRequest).Mechanism}
		return answer, nil, true
	})
	brokers.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		brokers.KeepControl()
		answer := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		told := fmt.Sprintf("what is %q?", request.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
		answer.ErrorCode, answer.ErrorMessage = kerr.SaslAuthenticationFailed.Code, &told
		return answer, nil, true
	})
	return brokers.ListenAddrs()[0]
}

// repeating is a token endpoint that refuses, and says what it was told.
func repeating(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"error": "invalid_client", "error_description": %q}`, fmt.Sprint(r.Header, string(body)))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// commands that read a configuration and reach out, whose answers are looked at. None of them goes on for ever.
func commands(path string) [][]string {
	return [][]string{
		{"check", "--config", path},
		{"check", "--production", "--config", path},
		{"topics", "--wait", "1ms", "--config", path},
		{"dlq", "list", "--config", path},
		{"dlq", "count", "--config", path},
		{"dlq", "replay", "--config", path},
		{"acls", "--principal", "User:planted", "--config", path},
		{"features", "export", "--rows", path, "--config", path},
		{"score", "--pipeline", "reviews", "--in", path, "--config", path},
		{"health", "--config", path},
		{"send", "--kafka-config", path, "--sample", "1"},
		{"tail", "--kafka-config", path, "--until-end"},
		{"torture", "--for", "10s", "--config", path},
	}
}

// commandPatience is how long a command is left alone. One that waits for longer has said by then what it has to say.
const commandPatience = 3 * time.Second

// Nothing that a command says has a secret in it, whoever does not answer, or answers with what was said.
func TestNoCommandShowsASecret(t *testing.T) {
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			p := newPlants(t, form)
			all := logins(t, p, repeating(t))
			repeats, refuses := repeater(t), refusing(t)
			var running sync.WaitGroup
			atOnce := make(chan struct{}, 8)
			for _, login := range slices.Sorted(maps.Keys(all)) {
				for name, broker := range map[string]string{"nobody": "127.0.0.1:1", "a repeater": repeats, "brokers": refuses} {
					for _, args := range commands(p.configured(t, broker, repeats, all[login])) {
						running.Go(func() {
							atOnce <- struct{}{}
							defer func() { <-atOnce }()
							ctx, cancel := context.WithTimeout(t.Context(), commandPatience)
							defer cancel()
							r := executeIn(ctx, "", args...)
							said := r.out + r.err
							if r.failure != nil {
								said += r.failure.Error()
							}
							if said == "" {
								t.Errorf("%v says nothing: nothing is shown by that", args)
							}
							p.search(t, fmt.Sprintf("%v, logging in by %s to %s,", args[:2], login, name), said)
							if args[0] == "check" { // which asks all of them: what it shows is what they have said
								wantAll(t, "check", said, "ERR what is")
							}
							if args[0] == "check" && broker == refuses {
								wantAll(t, "check, logging in by "+login, said, map[string]string{"exchanged": "invalid_client"}[login], "refuse")
							}
						})
					}
				}
			}
			running.Wait()
		})
	}
}

// Whoever mistypes a key is told so without the value of it.
func TestNoProblemOfAConfigurationShowsASecret(t *testing.T) {
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			p := newPlants(t, form)
			all := logins(t, p, "http://127.0.0.1:1")
			path := p.configured(t, "127.0.0.1:1", "127.0.0.1:1", all["plain"])
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for name, replace := range map[string][2]string{
				"a mistyped key": {"password:", "pasword:"}, "a list of it": {"password: ", "password: [a, "}, "no user": {"user: planted, ", ""},
				"no mechanism": {"mechanism: plain, ", ""}, "another mechanism": {"mechanism: plain", "mechanism: gssapi"}, "a token that is none": {"tokens: [", "tokens: [short, "},
				"a broken line": {"serving:", "serving\t:"}, "a key that is not there": {"pprof: true", "prof: true"},
			} {
				write(t, path, strings.Replace(string(good), replace[0], replace[1], 1))
				r := execute(t, "", "check", "--config", path)
				r.fails(t)
				p.search(t, name, r.out+r.err+r.failure.Error())
			}
		})
	}
}
