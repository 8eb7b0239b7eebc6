package service

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"nearline/features"
	"nearline/internal/config"
)

// nobody listens there.
const nobody = "127.0.0.1:1"

// probe answers with the status and the body of a page.
func probe(t *testing.T, address, page string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + page)
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

func wantProbe(t *testing.T, address, page string, status int, says string) {
	t.Helper()
	if got, body := probe(t, address, page); got != status || !strings.Contains(body, says) {
		t.Errorf("GET %s: got %d %s, want %d with %q", page, got, body, status, says)
	}
}

// addresses takes the address of the HTTP server out of the log.
type addresses struct {
	slog.Handler
	found chan string
}

func (addresses) Enabled(context.Context, slog.Level) bool { return true }

func (a addresses) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "address" {
			a.found <- attr.Value.String()
		}
		return true
	})
	return a.Handler.Handle(ctx, r)
}

func TestProbesAreAnsweredWhileModelsLoad(t *testing.T) {
	c := configured(t, []string{nobody}, "reviews")
	c.Serving.HTTP = "127.0.0.1:0"
	o := quiet(t)
	load := make(chan struct{}) // the model loads until this test lets it
	o.loading = func(string) { <-load }
	found := make(chan string, 1)
	o.Logger = slog.New(addresses{o.Logger.Handler(), found})
	opened := make(chan *Service)
	go func() {
		s, err := Open(t.Context(), c, o)
		if err != nil {
			t.Errorf("open: %v", err)
		}
		opened <- s
	}()
	address := <-found
	wantProbe(t, address, "/healthz", 200, "")
	wantProbe(t, address, "/readyz", 503, "no model has been loaded yet")
	wantProbe(t, address, "/streamz", 503, "no pipeline has been started yet")
	wantProbe(t, address, "/metrics", 200, "nearline_build_info")

	close(load)
	s := <-opened
	wantProbe(t, address, "/readyz", 200, "model constant")
	wantProbe(t, address, "/streamz", 503, "pipeline reviews: starting")

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	wantProbe(t, address, "/readyz", 200, "model constant")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run: got %v, want no error", err)
	}
	wantFree(t, address)
}

// wantFree wants that nobody listens on an address any more.
func wantFree(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Errorf("the address is still taken: %v", err)
		return
	}
	_ = listener.Close()
}

func TestServiceThatIsNotRunIsClosed(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := configured(t, []string{nobody}, "reviews")
	c.Serving.HTTP = "127.0.0.1:0"
	s, err := Open(t.Context(), c, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	address := s.HTTP()
	if err := s.Close(); err != nil {
		t.Errorf("close: got %v, want no error", err)
	}
	wantFree(t, address)
}

func TestRefusedOpenLeavesNothingOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		models map[string]string
		http   string
		says   string
	}{
		"a model that cannot be loaded": {
			models: map[string]string{"constant": constant, "broken": "task: constant\n"},
			says:   "load model broken version 1",
		},
		"a model that is not there": {
			models: map[string]string{"constant": constant},
			says:   "want one of constant",
		},
		"a port that is taken": {
			models: map[string]string{"constant": constant, "broken": constant},
			http:   taken.Addr().String(),
			says:   "choose another address with serving.http",
		},
		"columns that two models have": {
			models: map[string]string{"constant": constant, "broken": constant},
			says:   "pipeline b: output",
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			config := configured(t, []string{nobody}, "a", "b")
			config.Models.Repository = repository(t, c.models)
			config.Serving.HTTP = c.http
			if c.http == "" {
				config.Serving.HTTP = "127.0.0.1:0"
			}
			// The first model is loaded by then.
			second := config.Pipelines[0].Steps[0]
			predict := *second.Predict
			predict.Model = "broken"
			second.Predict = &predict
			config.Pipelines[1].Steps = append(config.Pipelines[1].Steps, second)
			s, err := Open(t.Context(), config, quiet(t))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("open: got %v, %v, want an error with %q", s, err, c.says)
			}
		})
	}
}

func TestOpenHeedsAnInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := configured(t, []string{nobody}, "reviews")
	c.Serving.HTTP = "off"
	if _, err := Open(ctx, c, quiet(t)); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("open: got %v, want that it was cancelled", err)
	}
}

// A state stands where its updates do: both topics have as many partitions, and both share out by the key's hash.
func TestTopicsOfAViewHaveTheSamePartitions(t *testing.T) {
	c := features.DefaultConfig()
	c.Partitions = 7
	updates, states := OwnTopic(c, config.TopicUse{Topic: "u", Use: config.UseUpdates}), OwnTopic(c, config.TopicUse{Topic: "s", Use: config.UseStates})
	if updates.Partitions != 7 || states.Partitions != 7 {
		t.Errorf("updates have %d partitions and states %d: want 7 and 7", updates.Partitions, states.Partitions)
	}
	if updates.Compact || !states.Compact {
		t.Errorf("updates are compacted %t and states %t: want states alone, whose last record of a key is all of it", updates.Compact, states.Compact)
	}
}
