package serving

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// dial opens a connection and says something.
func dial(t *testing.T, url, say string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, say); err != nil {
		t.Fatal(err)
	}
	return c
}

// say something on a connection of its own, and reads the answer.
func say(t *testing.T, url, request string) (*http.Response, string) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(dial(t, url, request)), nil)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

// wantProblem wants an error in the one form that there is.
func wantProblem(t *testing.T, what string, response *http.Response, body string, status int, says string) {
	t.Helper()
	var problem map[string]string
	err := json.Unmarshal([]byte(body), &problem)
	if response.StatusCode != status || err != nil || len(problem) != 1 || !strings.Contains(problem["error"], says) ||
		response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: got %s, %s, %q, want %d as JSON with nothing but an error of %q", what, response.Status, response.Header.Get("Content-Type"), body, status, says)
	}
}

// reads a request's body, and tells of an error.
func reads(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusRequestTimeout)
	}
}

func TestSlowRequestsAreCutOff(t *testing.T) {
	url, _ := serveHTTP(t, Config{ReadTimeout: 2 * time.Second}, func(s *Server) {
		s.Handle("POST /reads", "", http.HandlerFunc(reads))
		s.Handle("POST /ignores", "", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	})
	requests := []string{
		"", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"POST /reads HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\nhalf",
		"POST /reads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"POST /ignores HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
		"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
		"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
		get("/readyz") + "POST /reads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
	}
	connections := make([]io.Reader, len(requests))
	for i, slow := range requests {
		connections[i] = dial(t, url, slow)
	}
	for i, c := range connections {
		answer, err := io.ReadAll(c) // which ends when the server closes
		if err != nil {
			t.Errorf("%q: got %q, %v, want that the server ends the connection", requests[i], answer, err)
		}
	}
}

func TestAClientThatNeverReadsIsCutOff(t *testing.T) {
	wrote := make(chan error, 1)
	url, _ := serveHTTP(t, Config{WriteTimeout: 100 * time.Millisecond}, func(s *Server) {
		s.Handle("GET /large", "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(make([]byte, 256<<20))
			wrote <- err
		}))
	})
	dial(t, url, get("/large"))
	if err := <-wrote; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: got %v, want that it ran out of time", err)
	}
}

// What a request's body has in time says nothing of the work on it.
// untimed counts what is written of an answer before its deadline is moved on.
type untimed struct {
	*httptest.ResponseRecorder
	since, most, before int // before is how much is taken in all
}

func (u *untimed) SetWriteDeadline(time.Time) error {
	u.since = 0
	return nil
}

func (u *untimed) Write(p []byte) (int, error) {
	if u.Body.Len() >= u.before {
		return 0, os.ErrDeadlineExceeded
	}
	u.since += len(p)
	u.most = max(u.most, u.since)
	return u.ResponseRecorder.Write(p)
}

// However much of an answer is written at once.
func TestAClientThatReadsSlowlyHasTimeForEachPiece(t *testing.T) {
	answer := bytes.Repeat([]byte("0123456789"), 100_000)
	for _, c := range []struct {
		takes, written int
		failed         error
	}{{2 * len(answer), len(answer), nil}, {3 * pieceBytes, 3 * pieceBytes, os.ErrDeadlineExceeded}} {
		u := &untimed{ResponseRecorder: httptest.NewRecorder(), before: c.takes}
		d := &deadlines{write: time.Hour, answers: newAnswers(), next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if n, err := w.Write(answer); n != c.written || !errors.Is(err, c.failed) {
				t.Errorf("got %d, %v, want %d, %v", n, err, c.written, c.failed)
			}
		})}
		d.ServeHTTP(u, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
		if u.most > pieceBytes || !bytes.Equal(u.Body.Bytes(), answer[:c.written]) {
			t.Errorf("got %d bytes, of them %d under one deadline, want %d, and at most %d", u.Body.Len(), u.most, c.written, pieceBytes)
		}
	}
}

func TestWorkMayTakeLongerThanItsRequest(t *testing.T) {
	begun, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	url, _ := serveHTTP(t, Config{ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second}, func(s *Server) {
		s.Handle("POST /work", "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			reads(w, r)
			close(begun)
			<-release
			ended <- r.Context().Err()
			_, _ = io.WriteString(w, "done")
		}))
	})
	c := dial(t, url, "POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nwork")
	<-begun
	if _, err := io.ReadAll(dial(t, url, "GET / HT")); err != nil { // ends once the timeout has passed
		t.Fatal(err)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("the work was given up: %v", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); string(body) != "done" || err != nil {
		t.Errorf("got %q, %v, want done", body, err)
	}
}

// busy has each of its requests wait until it is released.
type busy struct {
	url     string
	release chan struct{}
	begun   chan struct{}
}

func serveBusy(t *testing.T, config Config) *busy {
	b := &busy{release: make(chan struct{}), begun: make(chan struct{})}
	b.url, _ = serveHTTP(t, config, func(s *Server) {
		s.Handle("/work", "", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			b.begun <- struct{}{}
			<-b.release
		}))
	})
	return b
}

func TestProbesAreAnsweredWhileAllConnectionsAreTaken(t *testing.T) {
	b := serveBusy(t, Config{MaxConnections: 8})
	defer close(b.release)
	for range 8 {
		dial(t, b.url, get("/work"))
		<-b.begun
	}
	for round := range 3 {
		for _, path := range []string{"/healthz", "/metrics"} {
			if response, body := say(t, b.url, get(path)); response.StatusCode != http.StatusOK || !response.Close {
				t.Errorf("round %d: %s answers %s, %.200s, want 200, and the end of the connection", round, path, response.Status, body)
			}
		}
		for _, request := range []string{get("/work"), "POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"} {
			response, body := say(t, b.url, request)
			wantProblem(t, request, response, body, http.StatusServiceUnavailable, "serving.max_connections")
			if response.Header.Get("Retry-After") == "" {
				t.Errorf("round %d: there is no Retry-After", round)
			}
		}
		for range 2 * spareConnections { // that say nothing, or not all
			dial(t, b.url, "GET /hea")
		}
	}
}

func TestConnectionsThatWaitForTheirClientMakeRoom(t *testing.T) {
	b := serveBusy(t, Config{MaxConnections: 8})
	defer close(b.release)
	var idle []net.Conn
	for range 8 {
		idle = append(idle, dial(t, b.url, ""))
	}
	for i := range 8 { // each takes the place of the one that has waited longest
		dial(t, b.url, get("/work"))
		<-b.begun
		if _, err := io.ReadAll(idle[i]); err != nil {
			t.Errorf("connection %d: %v, want that it was closed", i, err)
		}
	}
	if response, body := say(t, b.url, get("/work")); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %s, %s, want 503 beyond the bound", response.Status, body)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	l := bound(nil, 8)
	var all []*connection
	for i := range 1000 {
		c := &connection{of: l}
		l.add(c)
		if i%3 == 0 {
			l.changed(c, http.StateActive)
		}
		if n := l.count(); n > 8+spareConnections {
			t.Fatalf("%d connections are open, want at most 8 and %d spares", n, spareConnections)
		}
		all = append(all, c)
	}
	for _, c := range all {
		l.forget(c)
	}
	if n := l.count(); n != 0 {
		t.Errorf("%d connections are counted once all are closed, want none", n)
	}
}

func TestErrorsHaveOneForm(t *testing.T) {
	url, _ := serveHTTP(t, Config{Pprof: true, AdminTokens: plain(admin)}, func(s *Server) {
		s.Handle("GET /panics", "", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a secret of the handler's") }))
		s.Handle("GET /long", "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("ü", 10_000), http.StatusTeapot)
		}))
		s.Handle("GET /mute", "", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	})
	for _, c := range []struct {
		request string
		status  int
		says    string
	}{
		{get("/nowhere?" + strings.Repeat("x", 5000)), 404, "not found"},
		{get("/nowhere/<script>"), 404, "not found"},
		{"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, "Not Allowed"},
		{get("/panics"), 500, "its log says how"},
		{get("/long"), 418, "ü"},
		{get("/mute"), 410, "Gone"},
		{"GET /debug/pprof/none HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + admin + "\r\n\r\n", 404, "Unknown profile"},
	} {
		response, body := say(t, url, c.request)
		wantProblem(t, fmt.Sprintf("%.40s", c.request), response, body, c.status, c.says)
		if len(body) > maxProblem+100 || strings.Contains(body, "script") || strings.Contains(body, "secret") {
			t.Errorf("%.40s: got %.200s: want a few words, and none of the client's", c.request, body)
		}
		if allow := response.Header.Get("Allow"); (c.status == 405) != (allow != "") {
			t.Errorf("%.40s: got Allow %q", c.request, allow)
		}
	}
}

func TestAbsurdBoundsAreRefused(t *testing.T) {
	if err := DefaultConfig().Validate("serving"); err != nil {
		t.Errorf("the default: %v", err)
	}
	for want, config := range map[string]Config{
		"serving.max_connections is 1: want between 8 and 65536":          {MaxConnections: 1},
		"serving.max_connections is 1000000: want between 8 and 65536":    {MaxConnections: 1_000_000},
		"serving.read_timeout is 1ms: want between 100ms and 10m":         {ReadTimeout: time.Millisecond},
		"serving.write_timeout is 8760h0m0s: want between 100ms and 10m":  {WriteTimeout: 8760 * time.Hour},
		"serving.read_timeout is -1s: want between 100ms and 10m, or 0 f": {ReadTimeout: -time.Second},
	} {
		config.HTTP = ":8080"
		if err := config.Validate("serving"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
