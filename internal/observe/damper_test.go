package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// logged collects what comes out of a damper, a line a record.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// take returns the lines since the last call.
func (l *logged) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSuffix(l.buf.String(), "\n")
	l.buf.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func newDamped() (*slog.Logger, *Damper, *logged) {
	out := &logged{}
	handler := slog.NewTextHandler(out, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})
	damper := Dampen(handler, 10*time.Second)
	return slog.New(damper), damper, out
}

func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(lines, "\n"); g != w {
		t.Errorf("got:\n%s\nwant:\n%s", g, w)
	}
}

func TestDamperLogsAFaultOnceAndThenCountsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _, out := newDamped()
		for i := range 813 {
			log.Warn("poll", "error", fmt.Errorf("dial broker %d: refused", i))
		}
		want(t, out.take(), `level=WARN msg=poll error="dial broker 0: refused"`)

		time.Sleep(10 * time.Second)
		synctest.Wait()
		want(t, out.take(), `level=WARN msg=poll error="dial broker 812: refused" repeated=812 period=10s`)

		log.Warn("poll", "error", errors.New("dial broker 7: refused"))
		want(t, out.take())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want(t, out.take(), `level=WARN msg=poll error="dial broker 7: refused" repeated=1 period=10s`)
	})
}

func TestDamperForgetsAFaultAfterAQuietPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _, out := newDamped()
		for range 3 {
			log.Error("commit", "error", errors.New("fenced"))
			want(t, out.take(), `level=ERROR msg=commit error=fenced`)
			time.Sleep(10*time.Second + 1)
			synctest.Wait()
			want(t, out.take())
		}
	})
}

func TestDamperTellsFaultsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _, out := newDamped()
		for range 2 {
			log.Warn("poll", "error", errors.New("a"))
			log.Warn("poll", "error", errors.New("b"))
			log.Error("poll", "error", errors.New("a"))
			log.Warn("commit", "error", errors.New("a"))
			log.With("pipeline", "reviews-1").Warn("poll", "error", errors.New("a"))
			log.With("pipeline", "reviews-2").Warn("poll", "error", errors.New("a"))
		}
		if got := len(out.take()); got != 6 {
			t.Errorf("got %d lines, want each of the 6 faults once", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(out.take()); got != 6 {
			t.Errorf("got %d summaries, want 6", got)
		}
	})
}

func TestDamperLetsInfoPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _, out := newDamped()
		for range 5 {
			log.Info("assigned", "partition", 3)
			log.Debug("polled", "records", 3)
		}
		if got := len(out.take()); got != 10 {
			t.Errorf("got %d lines, want all 10", got)
		}
	})
}

func TestDamperFlushTellsWhatIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, damper, out := newDamped()
		scoped := log.With("pipeline", "reviews").WithGroup("kafka")
		for range 4 {
			scoped.Warn("poll", "error", "down")
		}
		out.take()
		damper.Flush()
		want(t, out.take(),
			`level=WARN msg=poll pipeline=reviews kafka.error=down kafka.repeated=3 kafka.period=10s`)

		// Forgotten: the next is logged at once, and no timer of the old window is left.
		scoped.Warn("poll", "error", "down")
		want(t, out.take(), `level=WARN msg=poll pipeline=reviews kafka.error=down`)
		damper.Flush()
		want(t, out.take())
	})
}

func TestDamperIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, damper, out := newDamped()
		word := func(i int) string { // letters only: digits do not tell faults apart
			return strings.Map(func(r rune) rune { return r - '0' + 'a' }, strconv.Itoa(i))
		}
		for i := range maxWindows + 100 {
			log.Warn("fault " + word(i))
		}
		if got := len(damper.faults.windows); got != maxWindows {
			t.Errorf("remembers %d faults, want %d", got, maxWindows)
		}
		if got := len(out.take()); got != maxWindows+100 {
			t.Errorf("got %d lines, want all %d", got, maxWindows+100)
		}
		damper.Flush()
	})
}

func TestDamperCountsEveryRecordOfManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, damper, out := newDamped()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 100 {
					log.Warn("poll", "error", "down")
				}
			})
		}
		wg.Wait()
		damper.Flush()
		want(t, out.take(),
			`level=WARN msg=poll error=down`,
			`level=WARN msg=poll error=down repeated=799 period=10s`)
	})
}

func TestLoggerWritesJSONWhereThereIsNoTerminal(t *testing.T) {
	var out bytes.Buffer
	log, damper := NewLogger(&out, slog.LevelWarn)
	defer damper.Flush()
	log.Info("below the level")
	log.Warn("poll", "error", "down")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("unmarshal %q: %v", out.String(), err)
	}
	if line["msg"] != "poll" || line["error"] != "down" {
		t.Errorf("got %v, want msg poll and error down", line)
	}
}

func TestParseLevelRefusesWhatIsNoLevel(t *testing.T) {
	for text, wanted := range map[string]slog.Level{
		"debug": slog.LevelDebug, "INFO": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		if got, err := ParseLevel(text); err != nil || got != wanted {
			t.Errorf("ParseLevel(%q) = %v, %v; want %v", text, got, err, wanted)
		}
	}
	for _, text := range []string{"", "loud", "info+3"} {
		if _, err := ParseLevel(text); err == nil {
			t.Errorf("ParseLevel(%q) gave no error", text)
		}
	}
}

func BenchmarkDamperHoldsBack(b *testing.B) {
	b.ReportAllocs()
	damper := Dampen(slog.DiscardHandler, time.Hour)
	defer damper.Flush()
	record := slog.NewRecord(time.Now(), slog.LevelWarn, "poll", 0)
	record.AddAttrs(slog.Any("error", errors.New("dial broker 3: connection refused")))
	for b.Loop() {
		_ = damper.Handle(context.Background(), record)
	}
}
