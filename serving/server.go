package serving

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"nearline/internal/observe"
	"nearline/internal/problems"
)

// ServerConfig is where the service shows itself over HTTP.
type ServerConfig struct {
	// HTTP is the address to listen on, host:port; an empty host means every interface, and "off" means no server.
	HTTP string `yaml:"http"`
	// Pprof shows Go's profiles under /debug/pprof/. They tell an outsider a good deal, hence off unless asked for.
	Pprof bool `yaml:"pprof"`
	// MaxConnections that are open at once; 0 is 512. Beyond that, one that waits for its client is closed to make room, and where all are at work, new
	// ones are served nothing but probes. Each takes some 40 KB beside what its request and its answer hold, which is bounded for itself.
	MaxConnections int `yaml:"max_connections"`
	// ReadTimeout is how long a client may take to send a header, and then as long again for the body; 0 is 10s.
	ReadTimeout time.Duration `yaml:"read_timeout"`
	// WriteTimeout is how long a client may take to read 64 KiB of what it was answered; 0 is 10s. It does not bound the work on an answer.
	WriteTimeout time.Duration `yaml:"write_timeout"`
}

// What a server has whose config says nothing. Guesses: more clients than a service with one model answers, and time enough for the largest request
// at 100 KB a second.
const (
	defaultConnections = 512
	defaultTimeout     = 10 * time.Second
)

// DefaultServer is what a config gets that says nothing.
func DefaultServer() ServerConfig {
	return ServerConfig{HTTP: ":8080", MaxConnections: defaultConnections, ReadTimeout: defaultTimeout, WriteTimeout: defaultTimeout}
}

// Off says that no server is wanted.
func (c ServerConfig) Off() bool { return c.HTTP == "off" }

// Validate names every problem, each with its key below path, its value and the remedy.
func (c ServerConfig) Validate(path string) error {
	var p problems.List
	if !c.Off() {
		if _, port, err := net.SplitHostPort(c.HTTP); err != nil || port == "" {
			p.Add(path+".http", "is %q: want host:port such as :8080 or 127.0.0.1:8080, or off", c.HTTP)
		} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			p.Add(path+".http", "is %q: want a port between 0 and 65535", c.HTTP)
		}
	}
	if c.MaxConnections != 0 && (c.MaxConnections < 8 || c.MaxConnections > maxConnections) {
		p.Add(path+".max_connections", "is %d: want between 8 and %d, or 0 for %d", c.MaxConnections, maxConnections, defaultConnections)
	}
	for _, key := range []struct {
		name string
		is   time.Duration
	}{{"read_timeout", c.ReadTimeout}, {"write_timeout", c.WriteTimeout}} {
		if key.is != 0 && (key.is < 100*time.Millisecond || key.is > 10*time.Minute) {
			p.Add(path+"."+key.name, "is %v: want between 100ms and 10m, or 0 for %v", key.is, defaultTimeout)
		}
	}
	return p.Err()
}

// URL at which this machine reaches the server. An error says why it cannot be told.
func (c ServerConfig) URL() (string, error) {
	if c.Off() {
		return "", errors.New("serving.http is off: nobody answers probes; give it an address, such as :8080")
	}
	host, port, err := net.SplitHostPort(c.HTTP)
	if err != nil {
		return "", fmt.Errorf("serving.http is %q: want host:port", c.HTTP)
	}
	if port == "0" {
		return "", fmt.Errorf("serving.http is %q, any free port: the service's log says which, name it with --url", c.HTTP)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// maxConnections is as many as one address has ports.
const maxConnections = 65536

// Server shows metrics and health, and whatever else is mounted before Run. Not safe for concurrent use until Run.
type Server struct {
	listener *connections
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
	ctx context.Context, config ServerConfig, health *observe.Health, registry *prometheus.Registry, log *slog.Logger,
) (*Server, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", config.HTTP)
	if err != nil {
		return nil, &ListenError{err}
	}
	s := &Server{listener: bound(listener, cmp.Or(config.MaxConnections, defaultConnections)), mux: http.NewServeMux()}
	read, answers := cmp.Or(config.ReadTimeout, defaultTimeout), newAnswers()
	registry.MustRegister(answers, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "nearline_http_connections",
		Help: "Connections that are open over HTTP. At serving.max_connections, those that wait for their client make room for new ones, and where all are at work only probes are answered.",
	}, func() float64 { return float64(s.listener.count()) }))
	s.http = &http.Server{
		Handler: &deadlines{
			next: s.mux, read: read, write: cmp.Or(config.WriteTimeout, defaultTimeout), log: log, answers: answers, spare: s.brief,
		},
		ConnState:         s.listener.changed,
		ConnContext:       withConnection,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: read,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	s.mux.HandleFunc("GET /{$}", s.index)
	s.Handle("GET /metrics", "Prometheus metrics", bounded(observe.MetricsHandler(registry, log)))
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

// maxHeader bounds what a request says before its body: a key of features has a kilobyte at the most, and proxies add their own.
const maxHeader = 16 << 10

// brief says whether a request asks how the service is: such ones are answered at any time.
func (*Server) brief(r *http.Request) bool {
	return slices.Contains([]string{"/healthz", "/readyz", "/streamz", "/metrics"}, r.URL.Path)
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
