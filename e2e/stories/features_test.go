package stories

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// redis is a server of its own for a story.
type redis struct {
	story   *story
	port    int
	command *exec.Cmd
	serves  []string // arguments of the server beside its port
	asks    []string // arguments of its client beside the port
}

// redis starts one, or skips the test where there is none to start, unless NEARLINE_E2E_REQUIRED is set.
func (s *story) redis() *redis {
	s.t.Helper()
	r := s.newRedis()
	r.serves = []string{"--port", strconv.Itoa(r.port)}
	r.start()
	s.t.Cleanup(r.kill)
	return r
}

// newRedis is one that is yet to be started.
func (s *story) newRedis() *redis {
	s.t.Helper()
	for _, program := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("NEARLINE_E2E_REQUIRED") != "" {
				s.t.Fatalf("%v: install Debian's redis-server", err)
			}
			s.t.Skipf("NOT RUN, there is no %s (Debian: apt-get install redis-server)", program)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must("find a port", err)
	r := &redis{story: s, port: listener.Addr().(*net.TCPAddr).Port}
	s.must("free the port", listener.Close())
	return r
}

func (r *redis) start() {
	s := r.story
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.folder, "redis.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	s.must("open a log", err)
	defer log.Close()
	r.command = exec.Command("redis-server", append([]string{"--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}, r.serves...)...) //nolint:gosec // its own port
	r.command.Stdout, r.command.Stderr, r.command.Dir = log, log, s.folder
	r.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.must("start redis-server", r.command.Start())
	s.await("Redis to answer", func(ctx context.Context) error {
		_, err := r.ask(ctx, "PING")
		return err
	})
}

// kill -9: it comes back empty.
func (r *redis) kill() {
	_ = r.command.Process.Kill()
	_ = r.command.Wait()
}

// ask the server by its own client.
func (r *redis) ask(ctx context.Context, arguments ...string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "redis-cli", slices.Concat([]string{"-p", strconv.Itoa(r.port)}, r.asks, arguments)...).Output() //nolint:gosec // of this test
	if err != nil {
		return nil, fmt.Errorf("redis-cli: %w: %s", err, out)
	}
	var lines []string
	for line := range bytes.Lines(out) {
		lines = append(lines, string(bytes.TrimSuffix(line, []byte("\n"))))
	}
	return lines, nil
}

// hash of a key.
func (r *redis) hash(ctx context.Context, key string) (map[string]string, error) {
	lines, err := r.ask(ctx, "HGETALL", key)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for i := 0; i+1 < len(lines); i += 2 {
		fields[lines[i]] = lines[i+1]
	}
	return fields, nil
}

// known is what a naive computation makes of the events of an item.
type known struct {
	reviews int
	sum     int
	top     int // the largest number
}

// snapshot has the server write what it has into its file, as its schedule of snapshots would.
func (r *redis) snapshot() {
	s := r.story
	s.t.Helper()
	_, err := r.ask(s.t.Context(), "SAVE")
	s.must("have Redis write a snapshot", err)
}

// TestFeaturesReachRedisOnceEach has two replicas aggregate reviews by item into a Redis, while one of the replicas is killed and comes
// back, and Redis is killed and comes back empty, and later from older snapshots: what it has in the end, and what the replicas answer, is what all reviews together say.
func TestFeaturesReachRedisOnceEach(t *testing.T) {
	s := begin(t, "features")
	server := s.redis()
	s.topics(6)
	aggregating := func(o *settings) {
		o.steps = ", {lookup: {views: [item]}}, {aggregate: {view: item}}"
		o.features = fmt.Sprintf(`features: {partitions: 6, topics: story.features, dead_letters: story.features.dlq, store: {redis: {addresses: ['127.0.0.1:%d'], timeout: 1s}}, views: [{
  name: item, key: item_id, fields: [
    {name: reviews, count: {}}, {name: sum, sum: {of: number}}, {name: best, top: {of: review_id, by: {of: number}, n: 1}},
    {name: sentiment, default: 0, mean: {of: sentiment, label: positive, half_life: 1h}}]}]}
`, server.port)
	}
	a, b := s.replica("a", aggregating), s.replica("b", aggregating)
	want := map[string]*known{}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a load, not a secret
	number := 0
	write := func(n int) {
		t.Helper()
		for range n {
			number++
			item := fmt.Sprintf("item %d", random.IntN(40))
			value := fmt.Sprintf(`{"review_id": "r%d", "item_id": %q, "number": %d, "text": "good"}`, number, item, number)
			s.writer.Produce(t.Context(), &kgo.Record{Key: fmt.Appendf(nil, "k%d", random.IntN(100)), Value: []byte(value)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Errorf("write a review: %v", err)
				}
			})
			if want[item] == nil {
				want[item] = &known{}
			}
			want[item].reviews++
			want[item].sum += number
			want[item].top = number
		}
		s.must("write reviews", s.writer.Flush(t.Context()))
	}
	compare := func(ctx context.Context) error {
		for _, item := range slices.Sorted(maps.Keys(want)) {
			w := want[item]
			got, err := server.hash(ctx, "nearline:item:"+item)
			if err != nil {
				return err
			}
			best := fmt.Sprintf(`[{"of":"r%d","by":%d}]`, w.top, w.top)
			if got["reviews"] != strconv.Itoa(w.reviews) || got["sum"] != strconv.Itoa(w.sum) || got["best"] != best || got["sentiment"] != "0.5" {
				return fmt.Errorf("Redis has %v of %s, want %d reviews, sum %d, best %s and sentiment 0.5", got, item, w.reviews, w.sum, best)
			}
		}
		return nil
	}
	// older wants the server to have something else than all reviews say: otherwise nothing is shown.
	older := func(when string) {
		t.Helper()
		if compare(t.Context()) == nil {
			t.Logf("Redis, %s, had all values again before it was looked at", when)
		}
	}
	write(2000)
	s.await("what the first reviews say", compare)
	for range 4 {
		write(500)
	}
	b.kill()
	for range 4 {
		write(500)
	}
	server.kill()
	write(1000)
	b.start(aggregating)
	write(1000)
	server.start()
	write(1000)
	s.await("what all reviews say", compare)

	// Redis comes back from an older snapshot: under load, at rest, and while no replica runs.
	server.snapshot()
	write(1000)
	s.await("what the reviews after the snapshot say", compare)
	server.kill()
	server.start()
	older("killed under load")
	write(10)
	s.await("what all reviews say, after an older snapshot under load", compare)

	server.snapshot()
	write(1000)
	s.await("what the reviews after the second snapshot say", compare)
	server.kill()
	server.start()
	older("killed at rest")
	s.await("what all reviews say, after an older snapshot at rest", compare)

	server.snapshot()
	write(1000)
	s.await("what the reviews after the third snapshot say", compare)
	server.kill()
	a.kill()
	b.kill()
	server.start()
	older("killed with all replicas")
	a.start(aggregating)
	b.start(aggregating)
	s.await("what all reviews say, after an older snapshot while nobody looked", compare)

	for _, r := range []*replica{a, b} {
		s.await("the answer of "+r.name, func(ctx context.Context) error {
			_, body, err := r.get(ctx, "/v1/features/item/item%207")
			if err != nil {
				return err
			}
			var answer struct {
				Values struct{ Reviews, Sum int }
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				return errors.New(body)
			}
			if w := want["item 7"]; answer.Values.Reviews != w.reviews || answer.Values.Sum != w.sum {
				return fmt.Errorf("it says %s, want %d reviews and sum %d", body, w.reviews, w.sum)
			}
			return nil
		})
	}
	if scored := s.awaitResults(number); scored["fresh"] == 0 || scored["fresh"]+scored["stale"]+scored["default"] != number {
		t.Errorf("of %d results these are the freshness of features: %v; want one each, and fresh ones among them", number, scored)
	}
	s.stopAll()
}

// awaitResults reads so many results, and counts what they say of the freshness of their features.
func (s *story) awaitResults(n int) map[string]int {
	s.t.Helper()
	reader := s.client(kgo.ConsumeTopics(s.scored), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer reader.Close()
	ctx, cancel := s.withDeadline()
	defer cancel()
	counts, read := map[string]int{}, 0
	for read < n {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("%d of %d results within %v", read, n, patience)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var result struct{ Features string }
			s.must("read a result", json.Unmarshal(r.Value, &result))
			counts[result.Features]++
			read++
		})
	}
	return counts
}
