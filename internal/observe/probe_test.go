package observe

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestServerIsReachedWhereItListens(t *testing.T) {
	for http, want := range map[string]string{
		":8080":          "http://127.0.0.1:8080",
		"0.0.0.0:80":     "http://127.0.0.1:80",
		"[::]:8080":      "http://127.0.0.1:8080",
		"10.1.2.3:8080":  "http://10.1.2.3:8080",
		"[::1]:8080":     "http://[::1]:8080",
		"localhost:8081": "http://localhost:8081",
	} {
		if got, err := (ServerConfig{HTTP: http}).URL(); err != nil || got != want {
			t.Errorf("serving.http %s: got %q and error %v, want %s", http, got, err, want)
		}
	}
	for http, want := range map[string]string{"off": "serving.http is off", "127.0.0.1:0": "name it with --url", "8080": "want host:port"} {
		if got, err := (ServerConfig{HTTP: http}).URL(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("serving.http %s: got %q and error %v, want an error with %q", http, got, err, want)
		}
	}
}

func TestProbeSaysWhatIsMissing(t *testing.T) {
	health := NewHealth()
	server, err := Open(t.Context(), ServerConfig{HTTP: "127.0.0.1:0"}, health, NewRegistry(Build{}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx, time.Second) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	url := "http://" + server.Addr().String()
	if err := Probe(t.Context(), url+"/healthz"); err != nil {
		t.Errorf("healthz: got %v, want no error", err)
	}
	for page, want := range map[string]string{
		"/readyz":  "starting: no model has been loaded yet",
		"/nowhere": "404 Not Found: want a page of Nearline's",
	} {
		if err := Probe(t.Context(), url+page); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", page, err, want)
		}
	}
	health.Stream.Add("brokers", func() Finding { return Finding{Problem: "nobody is there"} })
	health.Stream.Stop("stopping")
	if err := Probe(t.Context(), url+"/streamz"); err == nil || err.Error() != "stopping; brokers: nobody is there" {
		t.Errorf("streamz: got %v, want both problems", err)
	}
}

func TestProbeEndsWhenNobodyAnswers(t *testing.T) {
	if err := Probe(t.Context(), "http://127.0.0.1:1/healthz"); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("got %v, want no answer", err)
	}
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := Probe(ctx, silent.URL); err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("got %v, want the deadline", err)
	}
}
