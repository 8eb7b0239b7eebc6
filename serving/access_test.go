package serving

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nearline/internal/secret"
)

const (
	reader  = "reader-0123456789abcdef"
	another = "another-0123456789abcdef"
	admin   = "admin-0123456789abcdef"
)

func plain(tokens ...string) (texts []secret.Text) {
	for _, token := range tokens {
		texts = append(texts, secret.Plain(token))
	}
	return texts
}

// shows a token to a page, and says what it is answered.
func shows(t *testing.T, url, authorization string) (*http.Response, string) {
	t.Helper()
	header := ""
	if authorization != "" {
		header = "Authorization: " + authorization + "\r\n"
	}
	path := "/" + strings.SplitN(strings.TrimPrefix(url, "http://"), "/", 2)[1]
	return say(t, strings.TrimSuffix(url, path), "GET "+path+" HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
}

func TestWhoMayAskWhat(t *testing.T) {
	mounted := func(s *Server) {
		s.Handle("GET /v1/features", "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	}
	const (
		open    = 200
		starts  = 503 // a probe of a service that has just begun
		unknown = 404
	)
	for name, c := range map[string]struct {
		config Config
		want   map[string][4]int // by page: for nobody, for who is not known, for a reader and for an admin
	}{
		"no tokens": {Config{Pprof: true}, map[string][4]int{
			"/v1/features": {open, open, open, open}, "/metrics": {open, open, open, open}, "/": {open, open, open, open},
			"/debug/pprof/cmdline": {403, 403, 403, 403}, "/healthz": {open, open, open, open},
		}},
		"tokens to read": {Config{Pprof: true, Tokens: plain(another, reader)}, map[string][4]int{
			"/v1/features": {401, 401, open, 401}, "/metrics": {401, 401, open, 401}, "/": {401, 401, open, 401}, "/nothing": {401, 401, unknown, 401},
			"/debug/pprof/cmdline": {401, 401, 403, 401}, "/healthz": {open, open, open, open}, "/readyz": {starts, starts, starts, starts}, "/streamz": {starts, starts, starts, starts},
			"/healthz/x": {401, 401, unknown, 401},
		}},
		"tokens to change": {Config{Pprof: true, AdminTokens: plain(admin)}, map[string][4]int{
			"/v1/features": {open, open, open, open}, "/debug/pprof/cmdline": {401, 401, 401, open}, "/debug/pprof/": {401, 401, 401, open}, "/healthz": {open, open, open, open},
		}},
		"both": {Config{Pprof: true, Tokens: plain(reader), AdminTokens: plain(another, admin)}, map[string][4]int{
			"/v1/features": {401, 401, open, open}, "/metrics": {401, 401, open, open}, "/debug/pprof/cmdline": {401, 401, 403, open}, "/readyz": {starts, starts, starts, starts},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := serveHTTP(t, c.config, mounted)
			for page, want := range c.want {
				for i, authorization := range []string{"", "Bearer nobody-0123456789abcdef", "Bearer " + reader, "bearer  " + admin} {
					response, body := shows(t, url+page, authorization)
					if response.StatusCode != want[i] {
						t.Errorf("%s with %q: got %s %q, want %d", page, authorization, response.Status, body, want[i])
					}
					if asked := response.Header.Get("WWW-Authenticate"); (asked != "") != (want[i] == 401) {
						t.Errorf("%s with %q: got WWW-Authenticate %q and %d, want it with 401 alone", page, authorization, asked, want[i])
					}
				}
			}
		})
	}
}

func TestARefusalSaysWhatToDo(t *testing.T) {
	none, _ := serveHTTP(t, Config{Pprof: true}, nil)
	both, _ := serveHTTP(t, Config{Pprof: true, Tokens: plain(reader), AdminTokens: plain(admin)}, nil)
	for _, c := range []struct {
		url, authorization string
		status             int
		want               string
	}{
		{none + "/debug/pprof/", "", 403, "set serving.admin_tokens"},
		{both + "/metrics", "", 401, "want the header Authorization: Bearer TOKEN, with one of serving.tokens"},
		{both + "/metrics", "Basic " + reader, 401, "want the header Authorization: Bearer TOKEN"},
		{both + "/metrics", "Bearer x", 401, "the token is none of serving.tokens"},
		{both + "/metrics", "Bearer", 401, "want the header"},
		{both + "/debug/pprof/", "Bearer " + reader, 403, "want one of serving.admin_tokens"},
	} {
		response, body := shows(t, c.url, c.authorization)
		wantProblem(t, c.url+" with "+c.authorization, response, body, c.status, c.want)
		if strings.Contains(body, "0123456789") {
			t.Errorf("%s: a token is in %s", c.url, body)
		}
	}
}

func TestTokensAreReplacedWhileTheServerRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(reader)
	synctest.Test(t, func(t *testing.T) {
		text := secret.New("serving.tokens[0]", "${file:token}", func() (string, error) { return secret.File(path) })
		if err := (Config{HTTP: "off", Tokens: []secret.Text{text}}).Validate("serving"); err != nil {
			t.Fatal(err)
		}
		known := newTokens([]secret.Text{text})
		has := func(token string, want bool) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			if got := known.has(r); got != want {
				t.Errorf("%s: got %v, want %v", token, got, want)
			}
		}
		has(reader, true)
		write(another)
		has(reader, true) // for a second yet
		time.Sleep(freshForUnknown)
		has(another, true) // a new one is known at once
		has(reader, false)
		write(reader)
		time.Sleep(fresh)
		has(another, false) // one that is gone is refused after a second
		has(reader, true)
		write("short") // is no token: it would be guessed
		time.Sleep(fresh)
		has("short", false)
		has(reader, true)
		if trouble := text.Trouble(); trouble == nil || !strings.Contains(trouble.Error(), "it has 5 characters: want at least 16") {
			t.Errorf("got trouble %v, want what a token has to be", trouble)
		}
	})
}

// It is refused at the start; this is of files that have come to hold the same.
func TestAReadersTokenAmongTheAdminsChangesNothing(t *testing.T) {
	url, _ := serveHTTP(t, Config{Pprof: true, Tokens: plain(reader, another, another), AdminTokens: plain(admin, reader)}, nil)
	for token, want := range map[string]int{reader: 403, another: 403, admin: 200} {
		response, body := shows(t, url+"/debug/pprof/cmdline", "Bearer "+token)
		if response.StatusCode != want || token == reader && !strings.Contains(body, "want another one in serving.admin_tokens") {
			t.Errorf("%s: got %s %q, want %d", token, response.Status, body, want)
		}
		if response, body := shows(t, url+"/metrics", "Bearer "+token); response.StatusCode != http.StatusOK {
			t.Errorf("%s: got %s %q, want that it reads", token, response.Status, body)
		}
	}
}

func TestAnEmptyTokenIsNobodys(t *testing.T) {
	url, _ := serveHTTP(t, Config{Pprof: true, Tokens: []secret.Text{{}}, AdminTokens: []secret.Text{{}}}, nil)
	for _, page := range []string{"/metrics", "/debug/pprof/cmdline"} {
		for _, authorization := range []string{"Bearer", "Bearer ", "Bearer  \t", "Basic Og=="} {
			if response, body := shows(t, url+page, authorization); response.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s with %q: got %s %q, want 401", page, authorization, response.Status, body)
			}
		}
	}
}

func TestTokensAreComparedWhole(t *testing.T) {
	known := newTokens(plain(reader, another))
	for token, want := range map[string]bool{reader: true, another: true, reader[:len(reader)-1]: false, reader + "x": false, "": false, reader + "," + another: false} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", fmt.Sprintf("Bearer %s", token))
		if got := known.has(r); got != want {
			t.Errorf("%q: got %v, want %v", token, got, want)
		}
	}
}
