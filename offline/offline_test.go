package offline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"nearline/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simple takes the whole line as the text; "bad…" does not decode.
type simple struct{}

func (simple) Decode(r *pipeline.Record) (*pipeline.Row, *pipeline.Fault) {
	if bytes.HasPrefix(r.Value, []byte("bad")) {
		return nil, pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode, "line %d is bad", r.Offset)
	}
	return &pipeline.Row{Text: string(r.Value)}, nil
}

func (simple) Append(dst []byte, row *pipeline.Row) ([]byte, *pipeline.Fault) {
	if strings.HasPrefix(row.Text, "unwritable") {
		return dst, pipeline.Faultf(pipeline.ClassEncode, pipeline.StageEncode, "cannot be written")
	}
	for _, p := range row.Predictions {
		dst = append(dst, p.Model...)
		dst = append(dst, ' ')
	}
	return append(dst, row.Text...), nil
}

// step calls itself with the rows; nil does nothing but mark them.
type step func(ctx context.Context, rows []*pipeline.Row) error

func (step) Name() string { return "predict fake" }

func (s step) Run(ctx context.Context, rows []*pipeline.Row) error {
	if s != nil {
		if err := s(ctx, rows); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if strings.HasPrefix(row.Text, "guilty") {
			row.Fault = pipeline.Faultf(pipeline.ClassModel, pipeline.StagePredict, "the model fails on it")
			continue
		}
		row.Predictions = append(row.Predictions, pipeline.Prediction{Model: "m"})
	}
	return nil
}

type outcome struct {
	out, rejects bytes.Buffer
	stats        Stats
	err          error
}

func (o *outcome) rejected(t *testing.T) []Reject {
	t.Helper()
	var all []Reject
	for line := range bytes.Lines(o.rejects.Bytes()) {
		var r Reject
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("reject %s: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

// through is a program of these steps.
func through(steps ...pipeline.Step) *pipeline.Programs {
	return pipeline.NewPrograms(&pipeline.Program{Decoder: simple{}, Steps: steps, Encoder: simple{}})
}

func do(ctx context.Context, in io.Reader, change func(*Options)) *outcome {
	o := &outcome{}
	options := Options{In: in, Out: &o.out, Rejects: &o.rejects, Name: "file.jsonl", Programs: through(step(nil))}
	if change != nil {
		change(&options)
	}
	o.stats, o.err = Run(ctx, options)
	return o
}

func TestRunAnswersInInputOrder(t *testing.T) {
	const n = 5000
	var in strings.Builder
	for i := range n {
		fmt.Fprintf(&in, "row %d\n", i)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, chunks := range []int{1, 2, 7} {
		yields := rng.IntN(20)
		got := do(t.Context(), strings.NewReader(in.String()), func(o *Options) {
			o.ChunkRows, o.Chunks = 17, chunks
			o.Programs = through(step(func(context.Context, []*pipeline.Row) error {
				for range yields { // chunks overtake each other
					runtime.Gosched()
				}
				return nil
			}))
		})
		if got.err != nil || got.stats.Scored != n || got.stats.Lines != n || got.stats.Bytes != int64(in.Len()) {
			t.Fatalf("%d chunks: %+v, %v", chunks, got.stats, got.err)
		}
		i := 0
		for line := range bytes.Lines(got.out.Bytes()) {
			if want := fmt.Sprintf("m row %d\n", i); string(line) != want {
				t.Fatalf("%d chunks: line %d is %q, want %q", chunks, i, line, want)
			}
			i++
		}
	}
}

func TestRunRejectsBadLinesAndGoesOn(t *testing.T) {
	in := "one\nbad two\n\nguilty four\n  \t\nunwritable\nbad \xff seven\nlast"
	got := do(t.Context(), strings.NewReader(in), nil)
	if got.err != nil {
		t.Fatal(got.err)
	}
	if want := "m one\nm last\n"; got.out.String() != want {
		t.Errorf("output: got %q, want %q", got.out.String(), want)
	}
	want := []Reject{
		{Line: 2, Class: "decode", Stage: "decode", Cause: "line 2 is bad", Value: "bad two"},
		{Line: 4, Class: "model", Stage: "predict", Cause: "the model fails on it", Value: "guilty four"},
		{Line: 6, Class: "encode", Stage: "encode", Cause: "cannot be written", Value: "unwritable"},
		{Line: 7, Class: "decode", Stage: "decode", Cause: "line 7 is bad", Value: "bad \ufffd seven"},
	}
	if rejects := got.rejected(t); !slices.Equal(rejects, want) {
		t.Errorf("rejects: got %+v, want %+v", rejects, want)
	}
	if s := got.stats; s.Lines != 8 || s.Scored != 2 || s.Blank != 2 || s.Rejects() != 4 || s.Rejected["decode"] != 2 {
		t.Errorf("stats: %+v", s)
	}
}

func TestRunGivesRowsTheirFileAndLine(t *testing.T) {
	var seen []pipeline.Coordinates
	do(t.Context(), strings.NewReader("one\n\nthree\n"), func(o *Options) {
		o.Programs = through(step(func(_ context.Context, rows []*pipeline.Row) error {
			for _, row := range rows {
				seen = append(seen, row.Record.Coordinates())
			}
			return nil
		}))
	})
	if got, want := fmt.Sprint(seen), "[file.jsonl[0]@1 file.jsonl[0]@3]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRunReadsEveryKindOfLineEnd(t *testing.T) {
	for _, in := range []string{"a\nb\n", "a\nb", "a\r\nb\r\n", "a\r\nb", "\ufeffa\nb\n", "\na\n\r\nb\n\n"} {
		got := do(t.Context(), iotest.OneByteReader(strings.NewReader(in)), nil)
		if want := "m a\nm b\n"; got.err != nil || got.out.String() != want {
			t.Errorf("%q: got %q, %v, want %q", in, got.out.String(), got.err, want)
		}
	}
	if got := do(t.Context(), strings.NewReader(""), nil); got.err != nil || got.stats.Lines != 0 {
		t.Errorf("an empty file: %+v, %v", got.stats, got.err)
	}
}

func TestRunRefusesLongLinesWithoutHoldingThem(t *testing.T) {
	const size = 100 << 20
	long := func() io.Reader { return io.LimitReader(endless('x'), size) }
	in := io.MultiReader(strings.NewReader("before\n"), long(), strings.NewReader("\r\nafter\n"), strings.NewReader(strings.Repeat("y", 1000)+"\n"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := do(t.Context(), in, func(o *Options) { o.MaxLine = 1000 })
	runtime.ReadMemStats(&after)
	if want := "m before\nm after\nm " + strings.Repeat("y", 1000) + "\n"; got.err != nil || got.out.String() != want {
		t.Errorf("got %d bytes, %v, want the lines around the long one", got.out.Len(), got.err)
	}
	rejects := got.rejected(t)
	if len(rejects) != 1 || rejects[0].Line != 2 || rejects[0].Class != pipeline.ClassTooLarge || len(rejects[0].Value) != keptOfTooLong || rejects[0].Size < size {
		t.Fatalf("rejects: %+v", rejects)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8<<20 {
		t.Errorf("a line of %d MiB allocated %d KiB", size>>20, allocated>>10)
	}
}

type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestLinesTakeExactlyTheLimit(t *testing.T) {
	for _, end := range []string{"\n", "\r\n", ""} {
		for _, test := range []struct {
			size    int
			tooLong bool
		}{{9, false}, {10, false}, {11, true}, {12, true}, {13, true}} {
			lines := NewLines(strings.NewReader(strings.Repeat("x", test.size)+end), 10)
			line, err := lines.Next()
			if err != nil || line.TooLong != test.tooLong || (!test.tooLong && len(line.Text) != test.size) {
				t.Errorf("%d bytes and %q: %+v, %v, want too long: %v", test.size, end, line, err, test.tooLong)
			}
			if _, err := lines.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("%d bytes and %q: then %v, want EOF", test.size, end, err)
			}
		}
	}
}

func TestRunKeepsSeveralChunksInFlightAndNoMore(t *testing.T) {
	// Two chunks are in the step at once: each waits for the other.
	meet := make(chan struct{})
	var inside, most atomic.Int32
	got := do(t.Context(), strings.NewReader(strings.Repeat("row\n", 100)), func(o *Options) {
		o.ChunkRows = 10
		o.Programs = through(step(func(ctx context.Context, _ []*pipeline.Row) error {
			n := inside.Add(1)
			defer inside.Add(-1)
			most.Store(max(most.Load(), n))
			select {
			case meet <- struct{}{}:
			case <-meet:
			case <-ctx.Done():
			}
			return nil
		}))
	})
	if got.err != nil || got.stats.Scored != 100 || most.Load() != DefaultChunks {
		t.Errorf("%+v, %v, at most %d chunks at once, want %d", got.stats, got.err, most.Load(), DefaultChunks)
	}
}

func TestRunReadsNoFurtherThanItsChunks(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	in := &counted{in: io.LimitReader(lines{}, 1<<30)}
	got := do(ctx, in, func(o *Options) {
		o.ChunkRows = 100
		o.Programs = through(step(func(ctx context.Context, _ []*pipeline.Row) error {
			// The model is slow: everybody else has time to run ahead.
			for range 10_000 {
				runtime.Gosched()
			}
			cancel(interrupted)
			<-ctx.Done()
			return ctx.Err()
		}))
	})
	if !errors.Is(got.err, interrupted) {
		t.Errorf("got %v, want the cause of the interruption", got.err)
	}
	// Chunks at the workers, in the order queue, with the dispatcher and with the reader, and its buffer.
	if limit := int64(100*5*8 + 2*64<<10); in.n.Load() > limit {
		t.Errorf("read %d bytes ahead, want at most %d", in.n.Load(), limit)
	}
}

// lines is endless short lines.
type lines struct{}

func (lines) Read(p []byte) (int, error) {
	n := 0
	for n+8 <= len(p) {
		n += copy(p[n:], "a line.\n")
	}
	return n, nil
}

type counted struct {
	in io.Reader
	n  atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestRunInterruptedLeavesWholeOutput(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var chunks atomic.Int32
	got := do(ctx, lines{}, func(o *Options) {
		o.ChunkRows = 10
		o.Programs = through(step(func(ctx context.Context, _ []*pipeline.Row) error {
			if chunks.Add(1) > 50 {
				cancel()
				return ctx.Err()
			}
			return nil
		}))
	})
	if !errors.Is(got.err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", got.err)
	}
	written := int64(bytes.Count(got.out.Bytes(), []byte("m a line.\n")))
	if written == 0 || written != got.stats.Scored || written != got.stats.Lines || got.out.Len() != int(written)*len("m a line.\n") {
		t.Errorf("%d whole lines of %d bytes, stats %+v", written, got.out.Len(), got.stats)
	}
}

// A read from a terminal or a pipe cannot be interrupted; the run ends all the same.
func TestRunEndsWhileTheInputIsSilent(t *testing.T) {
	in, feed := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan *outcome)
	go func() { done <- do(ctx, in, func(o *Options) { o.ChunkRows = 1 }) }()
	if _, err := feed.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if got := <-done; !errors.Is(got.err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", got.err)
	}
	_ = feed.Close()
}

func TestRunStopsWhenAStepFails(t *testing.T) {
	broken := fmt.Errorf("device lost: %w", pipeline.ErrRuntime)
	var chunks atomic.Int32
	got := do(t.Context(), lines{}, func(o *Options) {
		o.ChunkRows, o.Chunks = 10, 1
		o.Programs = through(step(func(context.Context, []*pipeline.Row) error {
			if chunks.Add(1) == 3 {
				return broken
			}
			return nil
		}))
	})
	if !errors.Is(got.err, pipeline.ErrRuntime) || !strings.Contains(got.err.Error(), "predict fake, lines 21 to 30") {
		t.Errorf("got %v, want the step's error with its lines", got.err)
	}
	if got.stats.Scored > 20 || int64(bytes.Count(got.out.Bytes(), []byte("\n"))) != got.stats.Scored {
		t.Errorf("stats %+v for %d bytes", got.stats, got.out.Len())
	}
}

func TestRunNamesFaultsOfFiles(t *testing.T) {
	broken := errors.New("disk on fire")
	in := io.MultiReader(strings.NewReader("one\ntwo\n"), iotest.ErrReader(broken))
	if got := do(t.Context(), in, nil); !errors.Is(got.err, broken) || !strings.Contains(got.err.Error(), "after line 2") || got.stats.Scored > 2 {
		t.Errorf("input: %+v, %v", got.stats, got.err)
	}
	got := do(t.Context(), strings.NewReader("one\n"), func(o *Options) { o.Out = failing{broken} })
	if !errors.Is(got.err, broken) || got.stats.Scored != 0 {
		t.Errorf("output: %+v, %v, want nothing counted", got.stats, got.err)
	}
	got = do(t.Context(), strings.NewReader("bad\n"), func(o *Options) { o.Rejects = failing{broken} })
	if !errors.Is(got.err, broken) || !strings.Contains(got.err.Error(), "line 1") {
		t.Errorf("rejects: %v", got.err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// bounded takes so many bytes, as a disk that is full then.
type bounded struct {
	bytes.Buffer
	room int
}

var errFull = errors.New("no space left on device")

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.room)
	b.room -= n
	b.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestRunCountsTheLinesThatAFullDiskTook(t *testing.T) {
	// Each line makes "m N\n" or a reject; the blank ones nothing.
	const in = "0\nbad\n\n3\n4\n\n\nbad\n8\n"
	whole := do(t.Context(), strings.NewReader(in), nil)
	if whole.err != nil || whole.stats.Dealt() != 9 {
		t.Fatalf("got %+v, %v, want 9 lines", whole.stats, whole.err)
	}
	check := func(what string, room int, got *outcome, out, rejects string) {
		t.Helper()
		s := got.stats
		if !errors.Is(got.err, errFull) || s.Dealt() != s.Lines {
			t.Errorf("%d bytes for the %s: got %v after %d lines, of which %d are counted", room, what, got.err, s.Lines, s.Dealt())
		}
		out, rejects = out[:s.OutBytes], rejects[:s.RejectBytes]
		if int64(strings.Count(out, "\n")) != s.Scored || int64(strings.Count(rejects, "\n")) != s.Rejects() || out != "" && !strings.HasSuffix(out, "\n") {
			t.Errorf("%d bytes for the %s: got %+v for answers %q and rejects %q", room, what, s, out, rejects)
		}
		// What comes after is the rest.
		rest := do(t.Context(), strings.NewReader(in), func(o *Options) { o.From = s.Lines + 1 })
		if got := out + rest.out.String(); rest.err != nil || got != whole.out.String() {
			t.Errorf("%d bytes for the %s: got %q with the rest from line %d, want %q (%v)", room, what, got, s.Lines+1, whole.out.String(), rest.err)
		}
		if got := rejects + rest.rejects.String(); got != whole.rejects.String() {
			t.Errorf("%d bytes for the %s: got rejects %q with the rest, want %q", room, what, got, whole.rejects.String())
		}
	}
	for room := range whole.out.Len() {
		out := &bounded{room: room}
		got := do(t.Context(), strings.NewReader(in), func(o *Options) { o.Out = out })
		check("answers", room, got, out.String(), got.rejects.String())
	}
	for room := range whole.rejects.Len() {
		rejects := &bounded{room: room}
		got := do(t.Context(), strings.NewReader(in), func(o *Options) { o.Rejects = rejects })
		check("rejects", room, got, got.out.String(), rejects.String())
	}
}

func TestRunEndsWhenItHasEnough(t *testing.T) {
	enough := errors.New("enough")
	got := do(t.Context(), strings.NewReader(strings.Repeat("row\n", 100)), func(o *Options) {
		o.ChunkRows = 10
		o.Enough = func(s Stats) error {
			if s.Lines >= 30 {
				return enough
			}
			return nil
		}
	})
	if !errors.Is(got.err, enough) || got.stats.Scored != 30 || bytes.Count(got.out.Bytes(), []byte("\n")) != 30 {
		t.Errorf("got %v after %d lines, want that it ended after 30", got.err, got.stats.Scored)
	}
}

func TestRunReportsProgress(t *testing.T) {
	var at []int64
	got := do(t.Context(), strings.NewReader(strings.Repeat("row\n", 25)), func(o *Options) {
		o.ChunkRows = 10
		o.Progress = func(s Stats) { at = append(at, s.Lines) }
	})
	if want := []int64{10, 20, 25, 25}; got.err != nil || !slices.Equal(at, want) {
		t.Errorf("got %v, %v, want %v", at, got.err, want)
	}
}

func TestBarShowsCountsAndClears(t *testing.T) {
	var out bytes.Buffer
	bar := newBar(&out, 1000, "reviews")
	bar.Show(Stats{Scored: 40, Bytes: 500, Rejected: map[pipeline.Class]int64{"decode": 2}})
	bar.Close()
	for _, want := range []string{"40 scored", "2 rejected", "50%"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %q, want it to show %q", out.String(), want)
		}
	}
	(&Bar{}).Show(Stats{})
}

func FuzzLines(f *testing.F) {
	for _, seed := range []string{"", "\n", "a\r\nb", "\ufeff\n", strings.Repeat("x", 70_000) + "\ny", "\r\r\n"} {
		f.Add([]byte(seed), 10)
	}
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		limit = 1 + (limit&0xffff)%70_000
		lines := NewLines(iotest.HalfReader(bytes.NewReader(data)), limit)
		want := bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
		for n := int64(1); ; n++ {
			raw, wantErr := want.ReadString('\n')
			line, err := lines.Next()
			if raw == "" && wantErr != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatalf("after line %d: %v, want EOF", n-1, err)
				}
				return
			}
			text, ended := strings.CutSuffix(raw, "\n")
			if ended {
				text = strings.TrimSuffix(text, "\r")
			}
			switch {
			case err != nil || line.Number != n:
				t.Fatalf("line %d: %+v, %v", n, line, err)
			case len(text) <= limit && (line.TooLong || string(line.Text) != text):
				t.Fatalf("line %d: got %q (too long: %v), want %q", n, line.Text, line.TooLong, text)
			case len(text) > limit && !line.TooLong:
				t.Fatalf("line %d of %d bytes was taken with a limit of %d", n, len(text), limit)
			}
		}
	})
}

// inOrder is a step that counts without a lock, as its rows come.
type inOrder struct {
	step
	seen *[]int64
}

func (inOrder) Ordered() {}

func (s inOrder) Run(_ context.Context, rows []*pipeline.Row) error {
	for _, row := range rows {
		*s.seen = append(*s.seen, row.Record.Offset)
	}
	return nil
}

func TestOrderedStepsRunInInputOrderOneChunkAfterTheOther(t *testing.T) {
	var in strings.Builder
	const n = 64
	for i := range n {
		fmt.Fprintf(&in, "row %d\n", i)
	}
	var seen, after []int64
	later := make(chan struct{}) // closed when the second chunk is through the first step
	got := do(t.Context(), strings.NewReader(in.String()), func(o *Options) {
		o.ChunkRows, o.Chunks = 4, 4
		o.Programs = through(step(func(_ context.Context, rows []*pipeline.Row) error {
			switch rows[0].Record.Offset {
			case 1:
				<-later
			case 5:
				close(later)
			}
			return nil
		}), inOrder{seen: &seen}, step(func(_ context.Context, rows []*pipeline.Row) error {
			after = append(after, rows[0].Record.Offset)
			return nil
		}))
	})
	if got.err != nil || got.stats.Scored != n {
		t.Fatalf("got %+v and %v", got.stats, got.err)
	}
	for i, line := range seen {
		if line != int64(i)+1 {
			t.Fatalf("the step saw the lines %v, want them in their order", seen)
		}
	}
	if len(seen) != n || len(after) != n/4 || !slices.IsSorted(after) {
		t.Errorf("the step saw %d lines, and the one after it the chunks from %v, want all in order", len(seen), after)
	}
}

func TestAnOrderedStepThatFailsEndsTheRun(t *testing.T) {
	broken := errors.New("the store is gone")
	got := do(t.Context(), strings.NewReader("a\nb\n"), func(o *Options) { o.Programs = through(step(nil), breaking{err: broken}) })
	if !errors.Is(got.err, broken) || got.stats.Lines != 0 || got.out.Len() != 0 {
		t.Errorf("got %v after %d lines, want the step's error and nothing written", got.err, got.stats.Lines)
	}
}

type breaking struct {
	step
	err error
}

func (breaking) Ordered() {}

func (f breaking) Run(context.Context, []*pipeline.Row) error { return f.err }

// Each chunk keeps the program that it began with, and lets it go in the end, however the run ends.
func TestChunksKeepTheirProgramAndLetItGo(t *testing.T) {
	broken := errors.New("broken")
	for name, fails := range map[string]error{"to its end": nil, "until a step fails": broken} {
		t.Run(name, func(t *testing.T) {
			programs := new(pipeline.Programs)
			var drained atomic.Int64
			var of func(n uint64) *pipeline.Program
			of = func(n uint64) *pipeline.Program {
				return &pipeline.Program{Generation: n, Decoder: simple{}, Encoder: simple{}, Steps: pipeline.Steps{step(func(_ context.Context, rows []*pipeline.Row) error {
					if fails != nil && rows[0].Record.Offset > 50 {
						return fails
					}
					for _, row := range rows {
						row.Text = fmt.Sprint(n)
					}
					// The next chunk has another program.
					return programs.Swap(of(n+1), func() { drained.Add(1) })
				})}}
			}
			if err := programs.Swap(of(1), func() { drained.Add(1) }); err != nil {
				t.Fatal(err)
			}
			got := do(t.Context(), strings.NewReader(strings.Repeat("row\n", 100)), func(o *Options) { o.Programs, o.ChunkRows, o.Chunks = programs, 10, 1 })
			if !errors.Is(got.err, fails) {
				t.Fatalf("got %v, want %v", got.err, fails)
			}
			var want strings.Builder
			for n := range got.stats.Scored {
				fmt.Fprintf(&want, "m %d\n", n/10+1)
			}
			if got.out.String() != want.String() {
				t.Errorf("got %q, want %q", got.out.String(), want.String())
			}
			last, release := programs.Take()
			release()
			programs.Close()
			if drained.Load() != int64(last.Generation) { //nolint:gosec // ten
				t.Errorf("%d of %d programs are drained, want all", drained.Load(), last.Generation)
			}
		})
	}
}
