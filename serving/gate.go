package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// Gate is what all requests of the online API pass. It is safe for concurrent use.
//
// Bytes are refused at once, since what waits holds them, too; work is waited for, since a burst is soon over. Nobody waits for one of them while it holds
// what the other needs: bytes are not waited for, and of work there are two kinds, taken in one order.
type Gate struct {
	most       int
	bodies     *semaphore.Weighted // bytes of the requests that are worked on
	ofBodies   int64
	candidates *semaphore.Weighted
	ofRankings int64

	mu      sync.Mutex // guards held and ranking
	held    int
	ranking int64
}

// NewGate for a device with so many slots, and requests of so many bytes at the most.
func NewGate(c Config, slots, largest int) *Gate {
	g := &Gate{most: int(c.MaxInFlight), ofRankings: int64(c.MaxCandidates)}
	if g.most == 0 {
		g.most = defaultInFlight
	}
	if g.ofRankings == 0 {
		g.ofRankings = candidatesOfSlots * int64(max(1, slots/2))
	}
	// A request in JSON is some twenty times as large once it is decoded.
	g.ofBodies = 4 * int64(max(largest, 1))
	g.bodies, g.candidates = semaphore.NewWeighted(g.ofBodies), semaphore.NewWeighted(g.ofRankings)
	return g
}

// What is said where a bound is met.
var (
	// ErrBusy is wrapped by what refuses a request for now.
	ErrBusy = errors.New("the service has too much in hand")

	errFull = fmt.Errorf("%w: requests and answers hold all of serving.max_in_flight", ErrBusy)
	errWork = fmt.Errorf("%w: other requests are worked on, and this one has waited its time", ErrBusy)
	errRank = fmt.Errorf("%w: serving.max_candidates are being ranked, and this request has waited its time", ErrBusy)
)

// patience is how long a request waits for its turn: as long as it is told to stay away after that.
const patience = time.Second

// Describe implements prometheus.Collector.
func (g *Gate) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- inFlight
	descriptions <- inRanking
}

// Collect implements prometheus.Collector.
func (g *Gate) Collect(metrics chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	metrics <- prometheus.MustNewConstMetric(inFlight, prometheus.GaugeValue, float64(g.held))
	metrics <- prometheus.MustNewConstMetric(inRanking, prometheus.GaugeValue, float64(g.ranking))
}

var (
	inFlight = prometheus.NewDesc("nearline_serving_in_flight_bytes",
		"Bytes of requests and answers of the online API. At serving.max_in_flight, further requests are answered with 429.", nil, nil)
	inRanking = prometheus.NewDesc("nearline_serving_candidates",
		"Candidates that are ranked for the online API now. At serving.max_candidates, further requests wait up to a second, and are then answered with 429.", nil, nil)
)

// Handler has what a handler of this package reads, does and answers count.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &ticket{gate: g}
		defer t.hold(0)
		next.ServeHTTP(&holding{w, t}, r.WithContext(context.WithValue(r.Context(), onTicket{}, t)))
	})
}

// holding counts an answer in place of its request, if it is more than a few words. There is room for one that was worked for.
type holding struct {
	http.ResponseWriter
	ticket *ticket
}

// Unwrap is for http.ResponseController.
func (h *holding) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h *holding) Write(p []byte) (int, error) {
	if len(p) > firstRead {
		h.ticket.hold(len(p))
	} else {
		h.ticket.hold(0)
	}
	return h.ResponseWriter.Write(p)
}

type onTicket struct{}

// ticket is what one request holds. A nil one is of a request that passed no gate.
type ticket struct {
	gate   *Gate
	bytes  int
	worked int64 // of gate.bodies
	ranked int64 // of gate.candidates
}

func ticketOf(ctx context.Context) *ticket {
	t, _ := ctx.Value(onTicket{}).(*ticket)
	return t
}

// take more bytes, unless there is no room. Who is alone always has room.
func (t *ticket) take(bytes int) error {
	if t == nil {
		return nil
	}
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	if t.gate.held > t.bytes && t.gate.held+bytes > t.gate.most {
		return errFull
	}
	t.gate.held += bytes
	t.bytes += bytes
	return nil
}

// hold so many bytes in place of what was held.
func (t *ticket) hold(bytes int) {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	t.gate.held += bytes - t.bytes
	t.bytes = bytes
}

// work on a request of so many bytes, until it is done.
func (t *ticket) work(ctx context.Context, bytes int) error {
	if t == nil {
		return nil
	}
	n := min(int64(bytes)+1, t.gate.ofBodies)
	if err := acquire(ctx, t.gate.bodies, n, errWork); err != nil {
		return err
	}
	t.worked = n
	return nil
}

// Rank asks for the turn of a request with so many candidates, of whoever passed a gate. The steps of a request rank one after the other, so that the
// most candidates count.
func Rank(ctx context.Context, candidates int) error {
	t := ticketOf(ctx)
	if t == nil {
		return nil
	}
	n := min(int64(candidates), t.gate.ofRankings) - t.ranked
	if n <= 0 {
		return nil
	}
	if err := acquire(ctx, t.gate.candidates, n, errRank); err != nil {
		return err
	}
	t.ranking(n)
	return nil
}

func (t *ticket) ranking(n int64) {
	t.ranked += n
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	t.gate.ranking += n
}

// done ends the work.
func (t *ticket) done() {
	if t == nil {
		return
	}
	t.gate.bodies.Release(t.worked)
	t.gate.candidates.Release(t.ranked)
	t.worked = 0
	t.ranking(-t.ranked)
}

// acquire within the patience, or be refused.
func acquire(ctx context.Context, of *semaphore.Weighted, n int64, refused error) error {
	if of.TryAcquire(n) {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := of.Acquire(waiting, n); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return refused
	}
	return nil
}

// firstRead is what a body is given room for before any of it is there, so that who only promises much holds little.
const firstRead = 4 << 10

// errLarge says that a request has more bytes than any pipeline reads.
var errLarge = errors.New("the request is too large")

// read a body of limit bytes at the most.
func (t *ticket) read(r *http.Request, limit int) ([]byte, error) {
	if r.ContentLength > int64(limit) {
		return nil, errLarge
	}
	body := make([]byte, 0, firstRead)
	if err := t.take(cap(body)); err != nil {
		return nil, err
	}
	for {
		if len(body) == cap(body) {
			room := min(2*cap(body), limit+1)
			if n := int(r.ContentLength); n >= len(body) {
				room = min(room, n+1) // and the end of it
			}
			if err := t.take(room - cap(body)); err != nil {
				return nil, err
			}
			body = append(make([]byte, 0, room), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit:
			return nil, errLarge
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, err
		}
	}
}

// refuse a request for now.
func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Retry-After", strconv.Itoa(int(patience/time.Second)))
	answer(w, http.StatusTooManyRequests, problem(err.Error()))
}
