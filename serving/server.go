package serving

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"nearline/internal/certs"
	"nearline/internal/observe"
)

// Server shows metrics and health, and whatever else is mounted before Run. Not safe for concurrent use until Run.
type Server struct {
	listener *connections
	access   *access
	files    *certs.Files // nil without TLS
	tls      *tls.Config  // nil without TLS
	mux      *http.ServeMux
	http     *http.Server
	pages    []page
}

type page struct{ path, says string }

// ListenError says that the address of the server cannot be had.
type ListenError struct{ err error }

func (e *ListenError) Error() string {
	return fmt.Sprintf("listen for HTTP: %v: choose another address with serving.http", e.err)
}
func (e *ListenError) Unwrap() error { return e.err }

// Open listens at once, so that a port that is taken is known before anything is loaded. Requests are answered by Run.
func Open(
	ctx context.Context, config Config, health *observe.Health, registry *prometheus.Registry, log *slog.Logger,
) (*Server, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", config.HTTP)
	if err != nil {
		return nil, &ListenError{err}
	}
	s := &Server{listener: bound(listener, cmp.Or(config.MaxConnections, defaultConnections)), mux: http.NewServeMux(), access: newAccess(config)}
	if config.TLS != nil {
		s.files = config.TLS.Files("serving.tls")
		s.tls = config.TLS.listener(s.files)
	}
	read, answers := cmp.Or(config.ReadTimeout, defaultTimeout), newAnswers()
	said := newServerLog(log)
	registry.MustRegister(answers, said.failures, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "nearline_http_connections",
		Help: "Connections that are open over HTTP. At serving.max_connections, those that wait for their client make room for new ones, and where all are at work only probes are answered.",
	}, func() float64 { return float64(s.listener.count()) }))
	s.http = &http.Server{
		Handler: &deadlines{
			next: s.access.reading(s.mux), read: read, write: cmp.Or(config.WriteTimeout, defaultTimeout), log: log, answers: answers, spare: s.brief,
		},
		ConnState:         s.listener.changed,
		ConnContext:       withConnection,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: read,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          stdlog.New(said, "", 0),
	}
	s.mux.HandleFunc("GET /{$}", s.index)
	s.Handle("GET /metrics", "Prometheus metrics", bounded(observe.MetricsHandler(registry, log)))
	s.Handle("GET /healthz", "liveness: 503 when only a restart helps", bounded(&health.Live))
	s.Handle("GET /readyz", "readiness: 503 until requests can be answered", bounded(&health.Ready))
	s.Handle("GET /streamz", "the stream: 503 while records cannot flow, with the reason", bounded(&health.Stream))
	if config.Pprof {
		s.HandleAdmin("GET /debug/pprof/", "Go profiles, with one of serving.admin_tokens", http.HandlerFunc(pprof.Index))
		s.HandleAdmin("GET /debug/pprof/cmdline", "", http.HandlerFunc(pprof.Cmdline))
		s.HandleAdmin("GET /debug/pprof/profile", "", http.HandlerFunc(pprof.Profile))
		s.HandleAdmin("GET /debug/pprof/symbol", "", http.HandlerFunc(pprof.Symbol))
		s.HandleAdmin("POST /debug/pprof/symbol", "", http.HandlerFunc(pprof.Symbol))
		s.HandleAdmin("GET /debug/pprof/trace", "", http.HandlerFunc(pprof.Trace))
	}
	return s, nil
}

// maxHeader bounds what a request says before its body: a key of features has a kilobyte at the most, and proxies add their own.
const maxHeader = 16 << 10

// brief says whether a request asks how the service is: such ones are answered at any time.
func (*Server) brief(r *http.Request) bool {
	return r.URL.Path == "/metrics" || slices.Contains(probes, r.URL.Path)
}

// bounded ends an answer that takes longer than a prober or a scraper would wait.
func bounded(handler http.Handler) http.Handler {
	return http.TimeoutHandler(handler, 30*time.Second, "took longer than 30s\n")
}

// Handle mounts a handler under a pattern as http.ServeMux reads it, before Run. What it says is shown on the index
// page; "" leaves it out.
func (s *Server) Handle(pattern, says string, handler http.Handler) {
	s.mux.Handle(pattern, handler)
	if says != "" {
		_, path, _ := strings.Cut(pattern, "/")
		s.pages = append(s.pages, page{"/" + path, says})
	}
}

// HandleAdmin is Handle for what changes something, or shows what is in memory: only those with one of serving.admin_tokens come to it.
func (s *Server) HandleAdmin(pattern, says string, handler http.Handler) {
	s.Handle(pattern, says, s.access.changing(handler))
}

// Certificates of the server; nil without TLS.
func (s *Server) Certificates() *certs.Files { return s.files }

// Addr is where the server listens: the real port when :0 was asked for.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run answers requests until ctx ends; then it takes no new ones, waits up to grace for those in hand, and cuts off the
// rest. It returns nil after an orderly end, and an error that names what was cut off otherwise.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	group, serving := errgroup.WithContext(ctx)
	group.Go(func() error {
		var listener net.Listener = s.listener
		if s.tls != nil {
			listener = tls.NewListener(listener, s.tls)
		}
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-serving.Done()
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if err := s.http.Shutdown(deadline); err != nil {
			return errors.Join(fmt.Errorf("requests still open after %v were cut off: %w", grace, err), s.http.Close())
		}
		return nil
	})
	return group.Wait()
}

// Close ends a server that was never run.
func (s *Server) Close() error { return s.listener.Close() }

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var b strings.Builder
	b.WriteString("nearline\n\n")
	for _, p := range s.pages {
		fmt.Fprintf(&b, "%-16s %s\n", p.path, p.says)
	}
	_, _ = w.Write([]byte(b.String()))
}
