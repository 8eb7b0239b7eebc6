package serving

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ranker is a fake that ranks as many candidates as a request says, and may be held up.
type ranker struct {
	largest int
	hold    chan struct{}      // nil holds nothing up
	begun   chan struct{}      // is told of each that has its turn, where there is one
	answer  func(n int) []byte // nil is a short one

	mu   sync.Mutex // guards now and most
	now  int
	most int
}

func (r *ranker) Largest() int { return r.largest }

func (r *ranker) Rank(ctx context.Context, name string, request []byte) ([]byte, error) {
	if name != "" {
		return nil, fmt.Errorf("%w as %q", ErrUnknownPipeline, name)
	}
	var n int
	if err := json.Unmarshal(request, &n); err != nil {
		return nil, fmt.Errorf("%w: want a number", ErrRequest)
	}
	if err := Rank(ctx, n); err != nil {
		return nil, err
	}
	r.count(n)
	defer r.count(-n)
	if r.begun != nil {
		r.begun <- struct{}{}
	}
	if r.hold != nil {
		<-r.hold
	}
	if r.answer != nil {
		return r.answer(n), nil
	}
	return []byte(`{"ranking":[]}`), nil
}

func (r *ranker) count(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now += n
	r.most = max(r.most, r.now)
}

func (g *Gate) holds() (bytes int, candidates int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held, g.ranking
}

// wantEmpty wants that nothing is held once all requests have ended.
func wantEmpty(t *testing.T, g *Gate) {
	t.Helper()
	if bytes, candidates := g.holds(); bytes != 0 || candidates != 0 || !g.bodies.TryAcquire(g.ofBodies) || !g.candidates.TryAcquire(g.ofRankings) {
		t.Errorf("%d bytes and %d candidates are held once all requests have ended, want none", bytes, candidates)
	}
}

// serve the gate's requests on a real socket.
func serve(t *testing.T, g *Gate, r Rankings, config func(*http.Server)) (address string, end func()) {
	t.Helper()
	server := httptest.NewUnstartedServer(g.Handler(RankHandler(r)))
	if config != nil {
		config(server.Config)
	}
	server.Start()
	return server.Listener.Addr().String(), sync.OnceFunc(server.Close)
}

// post says something on a connection of its own, and reads the answer.
func post(t *testing.T, address, text string) (*http.Response, string) {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Error(err)
		return &http.Response{}, ""
	}
	defer c.Close()
	_, _ = io.WriteString(c, text) // who is refused in the middle cannot write on
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Errorf("%.80q: %v", text, err)
		return &http.Response{}, ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response, string(body)
}

func request(body string, headers ...string) string {
	return fmt.Sprintf("POST /v1/rank HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", strings.Join(append(headers, ""), "\r\n"), len(body), body)
}

func TestSlowPostsHoldABoundedMemory(t *testing.T) {
	const most, posts = 1 << 20, 200
	g := NewGate(Config{MaxInFlight: most}, 2, 1<<20)
	address, end := serve(t, g, &ranker{largest: 1 << 20}, func(s *http.Server) { s.ReadTimeout = 10 * time.Second })
	defer end()
	half := request(strings.Repeat(" ", 1<<20))
	half = half[:len(half)/4]
	ended := make(chan int, posts)
	for range posts {
		go func() {
			response, body := post(t, address, half)
			if response.StatusCode == http.StatusTooManyRequests && (response.Header.Get("Retry-After") != "1" || !strings.Contains(body, "serving.max_in_flight")) {
				t.Errorf("got %s, want the bound, and when to come again", body)
			}
			ended <- response.StatusCode
		}()
	}
	statuses := map[int]int{}
	for range posts {
		statuses[<-ended]++
		if bytes, _ := g.holds(); bytes > most {
			t.Errorf("%d bytes are held, want at most %d", bytes, most)
		}
	}
	// Those that had room ran out of time.
	if statuses[http.StatusTooManyRequests] < posts-most/(256<<10)*4 || statuses[http.StatusTooManyRequests]+statuses[http.StatusRequestTimeout] != posts {
		t.Errorf("got %v: want 429 for most of the %d, and 408 for the others", statuses, posts)
	}
	end()
	wantEmpty(t, g)
}

func TestAnswersThatNobodyReadsCount(t *testing.T) {
	const large = 16 << 20 // more than sockets take
	g := NewGate(Config{MaxInFlight: 1 << 20}, 2, 1<<20)
	r := &ranker{largest: 1 << 20, answer: func(n int) []byte { return make([]byte, n) }}
	address, end := serve(t, g, r, nil)
	defer end()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request(fmt.Sprint(large))); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReaderSize(c, 16).ReadByte(); err != nil { // the answer has begun, and is read no further
		t.Fatal(err)
	}
	if response, body := post(t, address, request("1")); response.StatusCode != http.StatusTooManyRequests {
		t.Errorf("got %s, %s while an answer fills what may be in flight, want 429", response.Status, body)
	}
	_ = c.Close()
	end() // waits for the answer
	wantEmpty(t, g)
}

func TestManyBigRankingsTakeTurns(t *testing.T) {
	g := NewGate(Config{MaxCandidates: 40_000}, 2, 1<<20)
	r := &ranker{largest: 1 << 20, hold: make(chan struct{}), begun: make(chan struct{}, 100)}
	address, end := serve(t, g, r, nil)
	defer end()
	const clients = 16
	ended := make(chan int, clients)
	for range clients {
		go func() {
			response, body := post(t, address, request("16000"))
			if response.StatusCode == http.StatusTooManyRequests && (response.Header.Get("Retry-After") != "1" || !strings.Contains(body, "serving.max_candidates")) {
				t.Errorf("got %s, want the bound, and when to come again", body)
			}
			ended <- response.StatusCode
		}()
	}
	for range 2 { // have their turn, and keep it
		<-r.begun
	}
	for range clients - 2 {
		if status := <-ended; status != http.StatusTooManyRequests {
			t.Errorf("got %d, want 429 for who waited in vain", status)
		}
	}
	close(r.hold)
	for range 2 {
		if status := <-ended; status != http.StatusOK {
			t.Errorf("got %d, want 200 for who had a turn", status)
		}
	}
	if r.most > 40_000 {
		t.Errorf("%d candidates were ranked at once, want at most 40000", r.most)
	}
	end()
	wantEmpty(t, g)
}

// ask in the bubble, without a socket.
func ask(g *Gate, r Rankings, body string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	g.Handler(RankHandler(r)).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/v1/rank", strings.NewReader(body)))
	return recorder
}

func TestWhoWaitsForItsTurnGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(Config{MaxCandidates: 100}, 2, 1<<10)
		r := &ranker{largest: 1 << 10, hold: make(chan struct{}), begun: make(chan struct{}, 3)}
		statuses := make(chan int, 3)
		for range 2 {
			go func() { statuses <- ask(g, r, "1000").Code }() // more than the bound: each is ranked alone
		}
		<-r.begun
		time.Sleep(patience - time.Millisecond)
		r.hold <- struct{}{}
		<-r.begun
		r.hold <- struct{}{}
		for range 2 {
			if status := <-statuses; status != http.StatusOK {
				t.Errorf("got %d, want 200", status)
			}
		}
		go func() { statuses <- ask(g, r, "1").Code }()
		<-r.begun
		go func() { statuses <- ask(g, r, "100").Code }()
		time.Sleep(patience + time.Millisecond)
		if status := <-statuses; status != http.StatusTooManyRequests {
			t.Errorf("got %d for who waited longer than it may, want 429", status)
		}
		r.hold <- struct{}{}
		<-statuses
		wantEmpty(t, g)
	})
}

func TestRequestsAreRefusedForWhatTheyAre(t *testing.T) {
	g := NewGate(Config{}, 2, 1000)
	address, end := serve(t, g, &ranker{largest: 1000}, nil)
	defer end()
	large := strings.Repeat("x", 5000)
	for _, c := range []struct {
		request string
		status  int
		says    string
	}{
		{request("1"), 200, ""},
		{request("1", "Content-Encoding: identity"), 200, ""},
		{request("1", "Content-Encoding: gzip"), 415, "Content-Encoding"},
		{request("1", "Content-Encoding: "+large), 415, "Content-Encoding"},
		{request("1", "Content-Encoding: identity", "Content-Encoding: br"), 415, "Content-Encoding"},
		{request(large), 413, "at most 1000 bytes"},
		{"POST /v1/rank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + large + "\r\n0\r\n\r\n", 413, "at most 1000 bytes"},
		{"POST /v1/rank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n", 400, "does not come to its end"},
		{request(`"text"`), 400, "want a number"},
		{strings.Replace(request("1"), "rank", "rank?pipeline="+large, 1), 404, "no such pipeline"},
	} {
		response, body := post(t, address, c.request)
		var problem map[string]string
		if err := json.Unmarshal([]byte(body), &problem); response.StatusCode != c.status || c.status != 200 && (err != nil || len(problem) != 1 || !strings.Contains(problem["error"], c.says)) {
			t.Errorf("%.120q: got %d, %q, want %d with %q", c.request, response.StatusCode, body, c.status, c.says)
		}
		if len(body) > maxProblem+100 {
			t.Errorf("%.120q: the error has %d bytes, want no more than a few words", c.request, len(body))
		}
	}
	end()
	wantEmpty(t, g)
}
