package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
)

// running is a service in a process of its own. All that it ever writes goes to one file.
type running struct {
	t       *testing.T
	log     string
	address string // of its HTTP
	ended   chan error
	signal  func(os.Signal) error
}

func run(t *testing.T, config string) *running {
	t.Helper()
	r := &running{t: t, log: filepath.Join(t.TempDir(), "log"), ended: make(chan error, 1)}
	file, err := os.Create(r.log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := program(t, "run", "--log-level", "debug", "--config", config)
	c.Stdout, c.Stderr = file, file
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r.signal = c.Process.Signal
	go func() { r.ended <- c.Wait() }()
	said := r.until(`"serving HTTP"`)
	address := regexp.MustCompile(`"serving HTTP","address":"([^"]+)"`).FindStringSubmatch(said)
	if address == nil {
		t.Fatalf("got %s, want where it serves HTTP", said)
	}
	r.address = address[1]
	return r
}

// until the log has a text. It returns all of it.
func (r *running) until(text string) string {
	r.t.Helper()
	return r.await(fmt.Sprintf("%q in the log", text), func() (string, bool) {
		log := r.said()
		return log, strings.Contains(log, text)
	})
}

func (r *running) said() string {
	r.t.Helper()
	log, err := os.ReadFile(r.log)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(log)
}

// await looks again and again, for as long as the process lives.
func (r *running) await(what string, look func() (string, bool)) string {
	r.t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for {
		seen, ok := look()
		if ok {
			return seen
		}
		select {
		case err := <-r.ended:
			r.t.Fatalf("the service has ended (%v) without %s:\n%s", err, what, r.said())
		case <-late.C:
			r.t.Fatalf("no %s within a minute: got %s\n%s", what, seen, r.said())
		case <-again.C:
		}
	}
}

// page as somebody with that token sees it, "" for none: the headers, too.
func (r *running) page(path, token string) (status int, all string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.address+path, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.StatusCode, fmt.Sprint(answer.Header, string(body))
}

// Nothing that a service writes has a secret in it: neither while all is well, nor while what it needs is away or refuses, nor at its end.
func TestNoServiceShowsASecret(t *testing.T) {
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			p := newPlants(t, form)
			login := logins(t, p, "http://127.0.0.1:1")["plain"]
			brokers, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "planted", p.secrets["kafka.sasl.password"]),
				kfake.SeedTopics(1, "reviews.raw", "reviews.scored", "reviews.raw.dlq"))
			if err != nil {
				t.Fatal(err)
			}
			closed := false
			defer func() {
				if !closed {
					brokers.Close()
				}
			}()
			store := miniredis.RunT(t)
			path := p.configured(t, brokers.ListenAddrs()[0], store.Addr(), login)
			store.RequireUserAuth("planted", p.secrets["features.store.redis.password"])
			token, admin := p.secrets["serving.tokens[]"], p.secrets["serving.admin_tokens[]"]

			r := run(t, path)
			sent := execute(t, `{"review_id": "r1", "item_id": "i", "text": "good"}`+"\n"+`{"review_id": 2`+"\n", "send", "--kafka-config", path, "--topic", "reviews.raw")
			sent.ok(t)
			p.search(t, "send", sent.out+sent.err)
			r.await("an entry in Redis", func() (string, bool) {
				entry := store.HGet("nearline:item:i", "n")
				return entry, entry == "1"
			})
			pages := func(when string) {
				t.Helper()
				for _, path := range []string{
					"/", "/metrics", "/healthz", "/readyz", "/streamz", "/v1/features", "/v1/features/item/i", "/v1/features/item/" + strings.Repeat("x", 2000), "/nowhere",
					"/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1",
					"/debug/pprof/cmdline", "/debug/pprof/block?debug=1", "/debug/pprof/mutex?debug=1", "/debug/pprof/trace?seconds=0.1", "/debug/pprof/symbol", "/debug/vars",
				} {
					for _, shown := range []string{"", token, admin, token + "x"} {
						status, all := r.page(path, shown)
						if path == "/metrics" && shown == token && status != http.StatusOK {
							t.Errorf("%s, %s, with its token: got %d %s, want an answer", path, when, status, all)
						}
						p.search(t, fmt.Sprintf("%s, %s,", path, when), all)
					}
				}
			}
			pages("while all is well")

			store.SetError("NOAUTH " + p.secrets["features.store.redis.password"]) // as one that repeats what it is told
			if form == "file" {
				for _, key := range []string{"kafka.sasl.password", "features.store.redis.password"} {
					p.replace(t, key)
				}
				token = p.replace(t, "serving.tokens[]")
				r.await("the new token to count", func() (string, bool) {
					status, all := r.page("/v1/features", token)
					return all, status == http.StatusOK
				})
			}
			brokers.Close()
			closed = true
			r.until("no broker answers")
			pages("while nobody answers")
			if err := r.signal(syscall.SIGQUIT); err != nil { // all goroutines, as a panic shows them
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			select {
			case err := <-r.ended:
				if err == nil {
					t.Error("it ended well after SIGQUIT: want that it shows its goroutines, and ends badly")
				}
			case <-ctx.Done():
				t.Fatal("it did not end within a minute of SIGQUIT")
			}
			said := r.said()
			wantAll(t, "the log", said, "goroutine ", "nearline starts")
			p.search(t, "the log", said)
		})
	}
}
