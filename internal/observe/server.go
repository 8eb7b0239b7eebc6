package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// ServerConfig is where the service shows itself over HTTP.
type ServerConfig struct {
	// HTTP is the address to listen on, host:port; an empty host means every interface, and "off" means no server.
	HTTP string `yaml:"http"`
	// Pprof shows Go's profiles under /debug/pprof/. They tell an outsider a good deal, hence off unless asked for.
	Pprof bool `yaml:"pprof"`
}

// DefaultServer is what a config gets that says nothing.
func DefaultServer() ServerConfig { return ServerConfig{HTTP: ":8080"} }

// Off says that no server is wanted.
func (c ServerConfig) Off() bool { return c.HTTP == "off" }

// Validate names every problem, each with its key below path, its value and the remedy.
func (c ServerConfig) Validate(path string) error {
	if c.Off() {
		return nil
	}
	if _, port, err := net.SplitHostPort(c.HTTP); err != nil || port == "" {
		return fmt.Errorf("%s.http is %q: want host:port such as :8080 or 127.0.0.1:8080, or off", path, c.HTTP)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%s.http is %q: want a port between 0 and 65535", path, c.HTTP)
	}
	return nil
}

// Server shows metrics and health, and whatever else is mounted before Run. Not safe for concurrent use until Run.
type Server struct {
	listener net.Listener
	mux      *http.ServeMux
	http     *http.Server
	pages    []page
}

type page struct{ path, says string }

// Open listens at once, so that a port that is taken is known before anything is loaded. Requests are answered by Run.
func Open(
	ctx context.Context, config ServerConfig, health *Health, registry *prometheus.Registry, log *slog.Logger,
) (*Server, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", config.HTTP)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP: %w: choose another address with serving.http or --http", err)
	}
	s := &Server{listener: listener, mux: http.NewServeMux()}
	s.http = &http.Server{
		Handler: s.mux,
		// Headers that trickle in hold a connection, nothing else; ten seconds is plenty for any client of ours.
		ReadHeaderTimeout: 10 * time.Second,
		// A profile or a trace takes as many seconds as it is asked for; handlers bound their own answers.
		IdleTimeout: 2 * time.Minute,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	s.mux.HandleFunc("GET /{$}", s.index)
	s.Handle("GET /metrics", "Prometheus metrics", bounded(promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), Registry: registry,
	})))
	s.Handle("GET /healthz", "liveness: 503 when only a restart helps", bounded(&health.Live))
	s.Handle("GET /readyz", "readiness: 503 until requests can be answered", bounded(&health.Ready))
	s.Handle("GET /streamz", "the stream: 503 while records cannot flow, with the reason", bounded(&health.Stream))
	if config.Pprof {
		s.Handle("GET /debug/pprof/", "Go profiles", http.HandlerFunc(pprof.Index))
		s.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		s.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		s.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		s.mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
		s.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return s, nil
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

// Addr is where the server listens: the real port when :0 was asked for.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run answers requests until ctx ends; then it takes no new ones, waits up to grace for those in hand, and cuts off the
// rest. It returns nil after an orderly end, and an error that names what was cut off otherwise.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	group, serving := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
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
