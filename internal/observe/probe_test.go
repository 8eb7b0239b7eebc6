package observe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestProbeSaysWhatIsMissing(t *testing.T) {
	health := NewHealth()
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", &health.Live)
	mux.Handle("GET /readyz", &health.Ready)
	mux.Handle("GET /streamz", &health.Stream)
	server := httptest.NewServer(mux)
	defer server.Close()
	url := server.URL
	if err := Probe(t.Context(), url+"/healthz", nil); err != nil {
		t.Errorf("healthz: got %v, want no error", err)
	}
	for page, want := range map[string]string{
		"/readyz":  "starting: no model has been loaded yet",
		"/nowhere": "404 Not Found: want a page of Nearline's",
	} {
		if err := Probe(t.Context(), url+page, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", page, err, want)
		}
	}
	health.Stream.Add("brokers", func() Finding { return Finding{Problem: "nobody is there"} })
	health.Stream.Stop("stopping")
	if err := Probe(t.Context(), url+"/streamz", nil); err == nil || err.Error() != "stopping; brokers: nobody is there" {
		t.Errorf("streamz: got %v, want both problems", err)
	}
}

func TestProbeEndsWhenNobodyAnswers(t *testing.T) {
	if err := Probe(t.Context(), "http://127.0.0.1:1/healthz", nil); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("got %v, want no answer", err)
	}
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := Probe(ctx, silent.URL, nil); err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("got %v, want the deadline", err)
	}
}
