package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// scorer stands in for the service: it reads reviews.raw in a group and answers in transactions, as the service does.
func scorer(ctx context.Context, addr string) error {
	session, err := kafka.Connection{Brokers: []string{addr}}.Session(
		kgo.ConsumerGroup("nearline-reviews"), kgo.ConsumeTopics(TopicRaw), kgo.TransactionalID("scorer"),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	for {
		fetches := session.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := session.Begin(); err != nil {
			return err
		}
		for r := range fetches.RecordsAll() {
			session.Produce(ctx, answer(r), nil)
		}
		if _, err := session.End(ctx, kgo.TryCommit); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func answer(r *kgo.Record) *kgo.Record {
	source := func(prefix string) []kgo.RecordHeader {
		return []kgo.RecordHeader{
			{Key: prefix + "source-topic", Value: []byte(r.Topic)},
			{Key: prefix + "source-partition", Value: []byte(strconv.Itoa(int(r.Partition)))},
			{Key: prefix + "source-offset", Value: []byte(strconv.FormatInt(r.Offset, 10))},
		}
	}
	out := &kgo.Record{Topic: TopicScored, Key: r.Key, Timestamp: r.Timestamp, Headers: source("nearline-")}
	var review Review
	switch err := json.Unmarshal(r.Value, &review); {
	case r.Value == nil:
	case err != nil || review.Text == "":
		out.Topic, out.Value = TopicDeadLetters, r.Value
		out.Headers = append(source("nearline-dlq-"), kgo.RecordHeader{Key: headerClass, Value: []byte("decode")}, kgo.RecordHeader{Key: headerCause, Value: []byte("no review")})
	default:
		label := "positive"
		if review.Rating < 3 {
			label = "negative"
		}
		out.Value = fmt.Appendf(nil, `{"review_id":%q,"sentiment":{"label":%q,"score":0.9},"helpfulness":0.41,"model":"fake","model_version":1}`, review.ReviewID, label)
	}
	return out
}

// stage is a broker with a scorer on it.
func stage(t *testing.T) (addr string) {
	t.Helper()
	b := startBroker(t, BrokerConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- scorer(ctx, b.Addr()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("scorer: %v", err)
		}
	})
	return b.Addr()
}

func testFeed(addr string) FeedConfig {
	return FeedConfig{Connection: kafka.Connection{Brokers: []string{addr}}, Input: TopicRaw, Output: TopicScored, DeadLetters: TopicDeadLetters, Group: "nearline-reviews"}
}

func review(i int, text string) *kgo.Record {
	value, err := json.Marshal(Review{ReviewID: fmt.Sprintf("r%d", i), Text: text, Rating: 1 + i%5})
	if err != nil {
		panic(err)
	}
	return &kgo.Record{Topic: TopicRaw, Key: []byte(strconv.Itoa(i % 97)), Value: value}
}

// lockedBuffer is written by the view and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestViewShowsEveryResultWithItsText(t *testing.T) {
	ctx := testContext(t)
	addr := stage(t)
	client := newClient(t, addr)
	produce(t, client, review(9999, "from before the view"))
	waitScored(t, client, 1)

	out := &lockedBuffer{}
	view, err := OpenView(ctx, ViewConfig{Feed: testFeed(addr), Kafka: addr, Out: out})
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	view.feed.seen.patience = testTime // however busy the machine is
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- view.Run(running) }()

	const n = 500
	var want []string
	for i := range n {
		produce(t, client, review(i, fmt.Sprintf("review number %d", i)))
		label := "positive"
		if i%5 < 2 {
			label = "negative"
		}
		want = append(want, fmt.Sprintf("%s 0.90  helpful 0.41  review number %d", label, i))
		if i%50 == 49 {
			waitScored(t, client, int64(i)+2) // a backlog would be none of the live stream
		}
	}
	produce(t, client, &kgo.Record{Topic: TopicRaw, Value: []byte("not json")}, &kgo.Record{Topic: TopicRaw, Key: []byte("k")})
	waitScored(t, client, n+3) // those two, and the one from before
	stop()
	if err := <-done; err != nil {
		t.Fatalf("run: %v", err)
	}
	summary, err := view.Finish(ctx)
	if err != nil {
		t.Fatalf("finish: %v", err)
	}
	if summary.Scored != n || summary.Labels["positive"] != n*3/5 || summary.Tombstones != 1 || summary.DeadLetters["decode"] != 1 {
		t.Errorf("summary: %+v, want %d results, one tombstone and one dead letter", summary, n)
	}
	if summary.Live.Measured != n || summary.Live.Median <= 0 || summary.Live.P99 > testTime {
		t.Errorf("latency: %+v, want that of %d results", summary, n)
	}
	var got []string
	dead := 0
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		if strings.Contains(line, "review number") {
			got = append(got, line)
		}
		if strings.HasPrefix(line, "dead letter  reviews.raw[") && strings.HasSuffix(line, "decode: no review") {
			dead++
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d lines, want %d, or other ones:\n%s", len(got), len(want), out.String())
	}
	if dead != 1 || strings.Contains(out.String(), "from before") || !strings.Contains(out.String(), "500 reviews scored in") {
		t.Errorf("%d dead letters, want 1, nothing from before, and a summary:\n%s", dead, out.String())
	}
}

// waitScored waits until the output topic has that many committed results.
func waitScored(t *testing.T, client *kgo.Client, n int64) {
	t.Helper()
	ctx := testContext(t)
	admin := kadm.NewClient(client)
	for {
		lags, err := admin.Lag(ctx, "nearline-reviews")
		if err != nil {
			t.Fatal(err)
		}
		committed := int64(0)
		for _, partitions := range lags["nearline-reviews"].Lag {
			for _, p := range partitions {
				committed += max(p.Commit.At, 0)
			}
		}
		if committed >= n {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// The view starts at the end of a topic whose backlog is only then answered, longer than what it remembers.
func TestViewFindsTextsOfABacklog(t *testing.T) {
	ctx := testContext(t)
	b := startBroker(t, BrokerConfig{Topics: []Topic{
		{Name: TopicRaw, Partitions: 2, Retention: 64 << 20}, {Name: TopicScored, Partitions: 2, Retention: 64 << 20}, {Name: TopicDeadLetters, Partitions: 1, Retention: 1 << 20}}})
	client := newClient(t, b.Addr())
	const n = 4 * keptInputs // twice what is remembered of each partition
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = review(i, fmt.Sprintf("review number %d", i))
	}
	produce(t, client, records...)

	out := &lockedBuffer{}
	view, err := OpenView(ctx, ViewConfig{Feed: testFeed(b.Addr()), Out: out})
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	view.feed.seen.patience = testTime
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 2)
	go func() { done <- view.Run(running) }()
	// The reader is under way, at the wrong end, when the first answers come.
	produce(t, client, review(n, "review number last"))
	for reads := false; !reads; {
		changed := view.feed.seen.changes()
		view.feed.seen.mu.Lock()
		for _, p := range view.feed.seen.partitions {
			reads = reads || len(p.held) > 0
		}
		view.feed.seen.mu.Unlock()
		if !reads {
			<-changed
		}
	}
	go func() { done <- scorer(running, b.Addr()) }()
	waitScored(t, client, n+1)
	stop()
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	summary, err := view.Finish(ctx)
	if err != nil || summary.Scored != n+1 {
		t.Fatalf("%d results, %v, want %d", summary.Scored, err, n+1)
	}
	if texts := strings.Count(out.String(), "review number"); texts < n*95/100 {
		t.Errorf("%d of %d results were shown with their text", texts, n)
	}
	view.feed.seen.mu.Lock()
	defer view.feed.seen.mu.Unlock()
	for p, ahead := range view.feed.seen.partitions {
		if len(ahead.held) > keptInputs || len(ahead.order.kept) > keptInputs {
			t.Errorf("partition %d remembers %d inputs, want at most %d", p, len(ahead.held), keptInputs)
		}
	}
}

// changes is closed when the next inputs come in.
func (in *inputs) changes() <-chan struct{} {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.changed
}

func TestViewGoesOnWithoutTheInputs(t *testing.T) {
	ctx := testContext(t)
	b := startBroker(t, BrokerConfig{})
	client := newClient(t, b.Addr())
	out := &lockedBuffer{}
	view, err := OpenView(ctx, ViewConfig{Feed: testFeed(b.Addr()), Out: out})
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	// Results of records that nobody has: far beyond the end, of another topic, without a source, no JSON.
	var results []*kgo.Record
	for i := range 300 {
		r := review(i, "x")
		r.Offset = int64(1_000_000 + i)
		results = append(results, answer(r))
	}
	results = append(results, &kgo.Record{Topic: TopicScored, Value: []byte(`{"review_id":"alone"}`)}, &kgo.Record{Topic: TopicScored, Value: []byte(`no json`)},
		&kgo.Record{Topic: TopicDeadLetters, Value: []byte("x")})
	produce(t, client, results...)
	begin := time.Now()
	summary, err := view.Finish(ctx)
	if err != nil || summary.Scored != 302 || summary.DeadLetters["unknown"] != 1 {
		t.Errorf("%+v, %v, want all results and the dead letter", summary, err)
	}
	if took := time.Since(begin); took > 100*patience {
		t.Errorf("took %v: every result waited for its input", took)
	}
	for _, want := range []string{"review r299", "review alone", "unread   0.00  no json", "unknown"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestViewStopsWhereItsOutputIsGone(t *testing.T) {
	ctx := testContext(t)
	addr := stage(t)
	r, w := io.Pipe()
	_ = r.Close()
	view, err := OpenView(ctx, ViewConfig{Feed: testFeed(addr), Out: w})
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	produce(t, newClient(t, addr), review(1, "one"))
	if err := view.Run(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("got %v, want the output's error", err)
	}
}

func TestViewNamesTheTopicThatIsMissing(t *testing.T) {
	b := startBroker(t, BrokerConfig{Topics: []Topic{{Name: TopicRaw, Partitions: 1, Retention: 1 << 20}}})
	if _, err := OpenView(testContext(t), ViewConfig{Feed: testFeed(b.Addr()), Out: io.Discard}); err == nil || !strings.Contains(err.Error(), TopicScored) {
		t.Errorf("got %v, want an error that names the topic", err)
	}
}

func TestLiveViewDrawsAndQuits(t *testing.T) {
	for _, quit := range []string{"q", "\x03", "context"} {
		ctx, cancel := context.WithCancel(testContext(t))
		addr := stage(t)
		out := &lockedBuffer{}
		keys, press := io.Pipe()
		var logged bytes.Buffer
		logs := NewLogs(&logged)
		view, err := OpenView(ctx, ViewConfig{Feed: testFeed(addr), Kafka: addr, Live: true, In: keys, Out: out, Logs: logs})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- view.Run(ctx) }()
		// A pipe has no size to ask for: the view's own answer to a size is tested with the screen below.
		if quit == "context" {
			cancel()
		} else if _, err := press.Write([]byte(quit)); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("quit by %q: %v", quit, err)
		}
		if got := out.String(); !strings.Contains(got, "\x1b[?1049h") || !strings.Contains(got, "\x1b[?1049l") {
			t.Errorf("quit by %q: the screen was not taken and given back: %q", quit, got)
		} else if off, on := strings.Index(got, ansi.ResetAutoWrapMode), strings.LastIndex(got, ansi.SetAutoWrapMode); off < 0 || off > strings.Index(got, "\x1b[?1049h") || on < off {
			t.Errorf("quit by %q: lines may wrap on the screen, or do so no longer after it: %q", quit, got)
		}
		_ = press.Close()
		view.Close()
		cancel()
	}
}

func TestViewTakesWhatItUnderstandsOfAnInput(t *testing.T) {
	long := strings.Repeat("é", keptText)
	for value, want := range map[string]Said{
		`{"title":"Well made","text":"Good.","rating":4,"language":"en"}`: {Title: "Well made", Text: "Good.", Stars: 4, Language: "en"},
		`{"text":"Good.","rating":4.5,"language":7,"title":null}`:         {Text: "Good."},
		`{"text":"Good.","rating":"5","title":["x"],"language":"de"}`:     {Text: "Good.", Language: "de"},
		`{"text":"Good.","rating":50}`:                                    {Text: "Good."},
		`{"text":7,"rating":5}`:                                           {Text: `{"text":7,"rating":5}`},
		`{"text":"cut o`:                                                  {Text: `{"text":"cut o`},
		`{"text":"` + long + `"}`:                                         {Text: long[:keptText]},
	} {
		if got := readSaid([]byte(value)); got != want {
			t.Errorf("%s: got %+v, want %+v", value, got, want)
		}
	}
}

func TestScreenFollowsItsSize(t *testing.T) {
	v := &View{board: busyBoard(plainRenderer()), cfg: ViewConfig{Logs: NewLogs(io.Discard)}}
	v.cfg.Logs.hold()
	fmt.Fprintln(v.cfg.Logs, "level=WARN msg=careful")
	s := &screen{view: v}
	if s.View() != "" {
		t.Error("something is drawn before the size is known")
	}
	for _, height := range []int{24, 10} {
		s.Update(tea.WindowSizeMsg{Width: 80, Height: height})
		if got := s.View(); strings.Count(got, "\n") != height-1 || !strings.Contains(got, "level=WARN msg=careful") {
			t.Errorf("height %d: got\n%s", height, got)
		}
	}
}

func TestLogsAreHeldWhileTheScreenIsUp(t *testing.T) {
	var out bytes.Buffer
	logs := NewLogs(&out)
	fmt.Fprintln(logs, "before")
	logs.hold()
	for i := range heldLogs + 5 {
		fmt.Fprintln(logs, "line", i)
	}
	if got := out.String(); got != "before\n" || logs.latest() != fmt.Sprint("line ", heldLogs+4) {
		t.Errorf("while held: %q, latest %q", got, logs.latest())
	}
	logs.release()
	fmt.Fprintln(logs, "after")
	lines := strings.Split(out.String(), "\n")
	if len(lines) != heldLogs+4 || lines[1] != "5 earlier lines of log were dropped" || lines[2] != "line 5" || lines[heldLogs+1] != fmt.Sprint("line ", heldLogs+4) || lines[heldLogs+2] != "after" {
		t.Errorf("released: %q … %q", lines[:3], lines[len(lines)-3:])
	}
}
