package serving

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// deadlines gives each request's body and each answer its time, and every error one form. What a handler does in between, it bounds itself.
type deadlines struct {
	next        http.Handler
	read, write time.Duration
	log         *slog.Logger
	answers     *prometheus.CounterVec
	spare       func(*http.Request) bool // whether a request may be answered on a spare connection
}

func newAnswers() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nearline_http_answers_total",
		Help: "Answers over HTTP by status. 429 says that a bound on what is in flight was met, 408 that a body did not come in time, 503 on other paths than probes that all connections were taken or that something behind is away.",
	}, []string{"code"})
}

// ServeHTTP implements http.Handler.
func (d *deadlines) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answering{ResponseWriter: w, control: http.NewResponseController(w), within: d.write, status: http.StatusOK}
	a.renew()
	defer func() {
		if failed := recover(); failed != nil {
			if failed == http.ErrAbortHandler || a.begun { //nolint:errorlint // compared as the server does
				panic(failed)
			}
			d.log.Error("a request made its handler panic", "method", r.Method, "panic", failed, "stack", string(debug.Stack()))
			a.problem(http.StatusInternalServerError, "the service failed at this request; its log says how")
		}
		a.end()
		d.answers.WithLabelValues(strconv.Itoa(a.status)).Inc()
	}()
	if r.Body != nil && r.Body != http.NoBody {
		_ = a.control.SetReadDeadline(time.Now().Add(d.read))
		r = r.WithContext(r.Context()) // the server looks at its own body to see what is left on the wire
		r.Body = &reading{ReadCloser: r.Body, control: a.control}
	}
	if onSpare(r) {
		w.Header().Set("Connection", "close")
		if !d.spare(r) {
			_ = a.control.SetReadDeadline(time.Now()) // the rest of the request is not waited for
			w.Header().Set("Retry-After", "1")
			a.problem(http.StatusServiceUnavailable, "all connections are taken (serving.max_connections)")
			return
		}
	}
	d.next.ServeHTTP(a, r)
}

// reading is a request's body. Once all of it is there, its deadline is gone: the server listens on for the client's leaving.
type reading struct {
	io.ReadCloser
	control *http.ResponseController
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err == io.EOF {
		_ = r.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// maxProblem bounds what is said of an error: enough for a reason and a remedy, whatever of a request is in it.
const maxProblem = 512

// pieceBytes of an answer are written in one time. More than the buffers of a connection hold would cut off who reads, but slowly.
const pieceBytes = 64 << 10

// answering gives each piece of an answer its time, so that a long answer may take longer if only somebody reads it. An error in plain text, as
// the library's own handlers write it, is held back and becomes one in JSON.
type answering struct {
	http.ResponseWriter
	control *http.ResponseController
	within  time.Duration
	status  int
	begun   bool
	plain   *bytes.Buffer // the text of an error; nil for what goes through
}

// Unwrap is for http.ResponseController.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answering) renew() { _ = a.control.SetWriteDeadline(time.Now().Add(a.within)) }

func (a *answering) WriteHeader(status int) {
	if a.begun {
		return
	}
	a.begun, a.status = status >= http.StatusOK, status
	if status >= http.StatusBadRequest && !strings.HasPrefix(a.Header().Get("Content-Type"), "application/json") {
		a.plain = new(bytes.Buffer)
		return
	}
	a.renew()
	a.ResponseWriter.WriteHeader(status)
}

func (a *answering) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.plain != nil {
		a.plain.Write(p[:min(len(p), maxProblem-min(a.plain.Len(), maxProblem))])
		return len(p), nil
	}
	written := 0
	for piece := range slices.Chunk(p, pieceBytes) {
		a.renew()
		n, err := a.ResponseWriter.Write(piece)
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}

// end the answer: what is still buffered has its time.
func (a *answering) end() {
	if a.plain != nil {
		text := strings.TrimSpace(a.plain.String())
		a.plain = nil
		writeProblem(a.ResponseWriter, a.status, text)
	}
	a.renew()
}

func (a *answering) problem(status int, text string) {
	a.begun, a.status, a.plain = true, status, nil
	writeProblem(a.ResponseWriter, status, text)
}

// writeProblem answers with the one form of errors: {"error": "what is wrong, and what would help"}.
func writeProblem(w http.ResponseWriter, status int, text string) {
	if text == "" {
		text = http.StatusText(status)
	}
	body, err := json.Marshal(map[string]string{"error": strings.ToValidUTF8(text[:min(len(text), maxProblem)], "")})
	if err != nil {
		body = fmt.Appendf(nil, `{"error":%q}`, http.StatusText(status))
	}
	w.Header().Del("Content-Length")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // who went away needs no answer
}
