package serving

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"nearline/internal/observe"
)

// serveHTTP runs a server until the test ends, and returns its URL.
func serveHTTP(t *testing.T, config Config, prepare func(*Server)) (url string, stop func() error) {
	t.Helper()
	health := observe.NewHealth()
	registry := observe.NewRegistry(observe.ReadBuild())
	registry.MustRegister(health)
	config.HTTP = "127.0.0.1:0"
	server, err := Open(t.Context(), config, health, registry, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(server)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, 5*time.Second) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return "http://" + server.Addr().String(), stop
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestServerShowsWhatTheIndexSays(t *testing.T) {
	url, _ := serveHTTP(t, Config{}, func(s *Server) {
		s.Handle("GET /v2/", "inference", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "mounted")
		}))
	})
	for _, c := range []struct {
		path string
		code int
		says string
	}{
		{"/", 200, "/metrics"},
		{"/", 200, "/v2/"},
		{"/metrics", 200, "nearline_build_info{"},
		{"/metrics", 200, "go_goroutines"},
		{"/metrics", 200, `nearline_healthy{of="stream"} 0`},
		{"/healthz", 200, `"ok": true`},
		{"/readyz", 503, "no model has been loaded yet"},
		{"/streamz", 503, "no pipeline has been started yet"},
		{"/v2/models", 200, "mounted"},
		{"/nothing", 404, ""},
		{"/debug/pprof/", 404, ""},
	} {
		code, body := fetch(t, url+c.path)
		if code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("GET %s: %d %q, want %d with %q", c.path, code, body, c.code, c.says)
		}
	}
}

func TestServerShowsProfilesOnRequest(t *testing.T) {
	url, _ := serveHTTP(t, Config{Pprof: true, AdminTokens: plain(admin)}, nil)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline", "/debug/pprof/symbol"} {
		if response, _ := shows(t, url+path, "Bearer "+admin); response.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s, want 200", path, response.Status)
		}
	}
}

func TestServerFinishesTheRequestInHand(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	url, stop := serveHTTP(t, Config{}, func(s *Server) {
		s.Handle("GET /slow", "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-release
			_, _ = io.WriteString(w, "done")
		}))
	})
	answer := make(chan string, 1)
	go func() {
		response, err := http.Get(url + "/slow")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answer <- string(body)
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("the request in hand got %q, want done", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestServerNamesTheRemedyWhenThePortIsTaken(t *testing.T) {
	url, _ := serveHTTP(t, Config{}, nil)
	_, err := Open(t.Context(), Config{HTTP: strings.TrimPrefix(url, "http://")}, observe.NewHealth(),
		observe.NewRegistry(observe.ReadBuild()), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "serving.http") {
		t.Errorf("got %v, want an error that names serving.http", err)
	}
}

func TestServerConfigNamesItsProblem(t *testing.T) {
	for address, ok := range map[string]bool{
		":8080": true, "127.0.0.1:0": true, "off": true, "[::1]:80": true,
		"": false, "8080": false, "host:": false, ":99999": false, "a:b:c": false,
	} {
		err := Config{HTTP: address}.Validate("serving")
		if (err == nil) != ok {
			t.Errorf("http %q: got %v, want ok %v", address, err, ok)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "serving.http is ") {
			t.Errorf("http %q: got %q, want it to begin with the key", address, err)
		}
	}
}

func TestServerIsReachedWhereItListens(t *testing.T) {
	for http, want := range map[string]string{
		":8080":          "http://127.0.0.1:8080",
		"0.0.0.0:80":     "http://127.0.0.1:80",
		"[::]:8080":      "http://127.0.0.1:8080",
		"10.1.2.3:8080":  "http://10.1.2.3:8080",
		"[::1]:8080":     "http://[::1]:8080",
		"localhost:8081": "http://localhost:8081",
	} {
		if got, err := (Config{HTTP: http}).URL(); err != nil || got != want {
			t.Errorf("serving.http %s: got %q and error %v, want %s", http, got, err, want)
		}
	}
	for http, want := range map[string]string{"off": "serving.http is off", "127.0.0.1:0": "name it with --url", "8080": "want host:port"} {
		if got, err := (Config{HTTP: http}).URL(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("serving.http %s: got %q and error %v, want an error with %q", http, got, err, want)
		}
	}
}
