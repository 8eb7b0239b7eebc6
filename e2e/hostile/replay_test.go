package hostile

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestReplayPutsEachOriginalBackOnce kills replays (kill -9) in the midst of their transactions, has two run at once, and has the
// service read what they put back: each record dies a second time, once, and tells of it.
func TestReplayPutsEachOriginalBackOnce(t *testing.T) {
	const letters = 20_000 // many times what is replayed before a busy machine sees it
	s := newSite(t)
	records := make([]*kgo.Record, letters)
	for i := range records {
		records[i] = &kgo.Record{Topic: raw, Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "no JSON %d", i)}
	}
	if err := s.client.ProduceSync(s.ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	service := s.start()
	s.await(letters)
	s.stop(service)

	replay := []string{"dlq", "replay", "--config", s.config, "--yes"}
	s.killAfter("key order is given up", replay...)
	for range 3 {
		s.killAfter("500 replayed", replay...)
	}
	s.fence(replay)
	last := s.run(replay...)
	for _, want := range []string{"were replayed before", "were put back into " + raw} {
		if !strings.Contains(last, want) {
			t.Errorf("the last replay: got\n%s, want %q", last, want)
		}
	}
	seen := make(map[string]int)
	for _, r := range s.all(raw) {
		if header(r, "nearline-replay-attempt") == "1" {
			seen[string(r.Key)]++
		}
	}
	for i := range letters {
		if got := seen[fmt.Sprintf("k%d", i)]; got != 1 {
			t.Errorf("original %d came back %d times, want once", i, got)
		}
	}

	service = s.start()
	s.await(2 * letters)
	s.stop(service)
	second := 0
	for _, r := range s.all(dead) {
		if header(r, "nearline-replay-attempt") != "1" {
			continue
		}
		second++
		if first := header(r, "nearline-replay-source"); !strings.HasPrefix(first, raw+"/") || first == place(r) {
			t.Errorf("a record that died twice was first read at %q, and now at %s: want another place of %s", first, place(r), raw)
		}
	}
	if second != letters {
		t.Errorf("%d records died a second time, want %d", second, letters)
	}
	want := fmt.Sprintf("%d dead letters in reviews.raw.dlq, %d of them replayed", 2*letters, letters)
	if got := s.run("dlq", "count", "--config", s.config, "--by", "replay"); !strings.Contains(got, want) {
		t.Errorf("got\n%s, want %s", got, want)
	}
}

// fence has a second replay begin while the first one is stopped in its midst: the first ends, and says why.
func (s *site) fence(replay []string) {
	s.Helper()
	first := exec.CommandContext(s.ctx, s.program, replay...)
	out, err := first.StderrPipe()
	if err == nil {
		err = first.Start()
	}
	if err != nil {
		s.Fatal(err)
	}
	lines, said := bufio.NewScanner(out), ""
	for lines.Scan() {
		if said += lines.Text() + "\n"; !strings.Contains(lines.Text(), "500 replayed") {
			continue
		}
		if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
			s.Fatal(err)
		}
		s.run(append(replay, "--limit", "1")...)
		if err := first.Process.Signal(syscall.SIGCONT); err != nil {
			s.Fatal(err)
		}
	}
	if err := first.Wait(); err == nil || !strings.Contains(said, "another replay of this topic began") {
		s.Errorf("the first of two replays ended with %v:\n%s", err, said)
	}
}

// await so many dead letters.
func (s *site) await(n int) {
	s.Helper()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for got := 0; got < n; {
		select {
		case <-s.ctx.Done():
			s.Fatalf("got %d dead letters, want %d", got, n)
		case <-ticker.C:
			got = len(s.all(dead))
		}
	}
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func place(r *kgo.Record) string {
	return fmt.Sprintf("%s/%s/%s", header(r, "nearline-dlq-source-topic"), header(r, "nearline-dlq-source-partition"), header(r, "nearline-dlq-source-offset"))
}
