// Package offline runs files through the same decoders, steps and encoders as the stream: JSON lines in, JSON lines out,
// in input order, and what cannot be answered into a file of rejects, each with its line and its cause.
//
// It owns reading, order and memory, and knows a file of lines from one that is none; what a line means and what is done with it is
// handed in. Files are opened and closed by cmd.
package offline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"nearline/internal/plain"
	"nearline/pipeline"
)

// Options of a run.
type Options struct {
	In  io.Reader
	Out io.Writer
	// Rejects takes one JSON object a line: line, class, stage, cause and value. Nothing in it drives a terminal.
	Rejects io.Writer
	// From is the first line that is dealt with, to go on with what a run has left; zero means the first. Lines keep their numbers.
	From int64
	// Enough is asked after every chunk that was written: an error ends the run. Nil means never.
	Enough func(Stats) error
	// Name of the input: rows name it as their topic. Empty means "-".
	Name string

	// Programs hand out what lines go through, chunk by chunk. Its steps run on several chunks at once, up to the first that is a pipeline.Ordered. That one and
	// those after it run on the chunks in input order, one after the other.
	Programs *pipeline.Programs

	// ChunkRows is how many rows go through the steps at once; zero means DefaultChunkRows. Order within a chunk is the
	// steps' own business, so the larger it is the better batches can be sorted by length.
	ChunkRows int
	// ChunkBytes ends a chunk early, so that long lines do not fill the memory; zero means DefaultChunkBytes.
	ChunkBytes int
	// Chunks are in flight at once; zero means DefaultChunks.
	Chunks int
	// MaxLine is the longest line that is taken, in bytes; zero means DefaultMaxLine. A longer one is rejected.
	MaxLine int
	// Progress is called after every chunk that was written, and once at the end. Nil means never.
	Progress func(Stats)
}

// Defaults of Options.
const (
	DefaultChunkRows  = 1024
	DefaultChunkBytes = 8 << 20
	// DefaultChunks keeps the model busy: while one chunk is read, encoded and written, another is in the model.
	DefaultChunks = 2
)

// Stats of a run. What is counted has been written.
type Stats struct {
	// Lines were read and dealt with, up to and including this line number: each was scored, rejected or blank, from Options.From on.
	Lines    int64
	Scored   int64
	Rejected map[pipeline.Class]int64
	Blank    int64
	// Bytes of the input up to there; after an output that failed, to the beginning of what it failed at.
	Bytes int64
	// OutBytes and RejectBytes were written for these lines. Where an output fails there may be more, of a line that is not whole.
	OutBytes, RejectBytes int64
	Elapsed               time.Duration
}

// Dealt is how many lines were dealt with.
func (s Stats) Dealt() int64 { return s.Scored + s.Rejects() + s.Blank }

// Rejects is how many lines were rejected, for any cause.
func (s Stats) Rejects() int64 {
	var n int64
	for _, count := range s.Rejected {
		n += count
	}
	return n
}

// Classes of the rejected lines, the most frequent first, each with how many they are.
func (s Stats) Classes() string {
	classes := slices.SortedFunc(maps.Keys(s.Rejected), func(a, b pipeline.Class) int {
		return cmp.Or(cmp.Compare(s.Rejected[b], s.Rejected[a]), cmp.Compare(a, b))
	})
	texts := make([]string, len(classes))
	for i, class := range classes {
		texts[i] = fmt.Sprintf("%s (%d)", class, s.Rejected[class])
	}
	return strings.Join(texts, ", ")
}

// Rate is answered lines a second.
func (s Stats) Rate() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Scored) / s.Elapsed.Seconds()
}

// chunk is what goes through the steps at once. Its owner is whoever holds it: the reader, then a worker, then, once
// done is closed, the writer.
type chunk struct {
	entries []entry
	rows    []*pipeline.Row // those of the entries that could be decoded
	program *pipeline.Program
	release func() // of the program; nil until it is taken
	first   int64  // line number
	last    int64
	blank   int64 // of the lines from first to last
	bytes   int64 // of the input, up to the end of the chunk
	done    chan struct{}
}

// entry is a line that was not blank.
type entry struct {
	line  int64
	value []byte
	size  int64
	row   *pipeline.Row
	fault *pipeline.Fault
	// out and rejects are where the outputs end with this line.
	out, rejects int64
}

// Run reads In to its end. A bad line is rejected and stops nothing; an error is the input's, the output's or a step's,
// and then, as when ctx ends, what was finished before is in Out, in order and whole, and counted in Stats.
//
// When ctx ends while In.Read blocks, Run returns without it: that read, and one chunk at most, are left behind.
func Run(ctx context.Context, o Options) (Stats, error) {
	o = o.withDefaults()
	r := &run{Options: o, begin: time.Now(), out: newSink(o.Out), rejects: newSink(o.Rejects),
		stats: Stats{Lines: o.From - 1, Rejected: map[pipeline.Class]int64{}}}

	work, order := make(chan *chunk), make(chan *chunk, o.Chunks)
	group, running := errgroup.WithContext(ctx)
	input := r.read(running)
	group.Go(func() error {
		defer close(work)
		defer close(order)
		return r.dispatch(running, input, work, order)
	})
	for range o.Chunks {
		group.Go(func() error { return r.work(running, work) })
	}
	group.Go(func() error { return r.write(running, order) })
	err := group.Wait()
	if r.last != nil { // of a run that ended early
		r.last.letGo()
	}
	for c := range order {
		c.letGo()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	stats := r.snapshot()
	if o.Progress != nil {
		o.Progress(stats)
	}
	return stats, err
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = "-"
	}
	if o.ChunkRows <= 0 {
		o.ChunkRows = DefaultChunkRows
	}
	if o.ChunkBytes <= 0 {
		o.ChunkBytes = DefaultChunkBytes
	}
	if o.Chunks <= 0 {
		o.Chunks = DefaultChunks
	}
	if o.Rejects == nil {
		o.Rejects = io.Discard
	}
	o.From = max(o.From, 1)
	return o
}

// run is the state of one Run. The writer owns out and stats until all have ended.
type run struct {
	Options

	begin        time.Time
	out, rejects *sink
	stats        Stats
	buf          []byte
	last         *chunk // that the writer had in hand
}

// input is a chunk, or why there is no further one.
type input struct {
	chunk *chunk
	err   error
}

// read cuts the input into chunks. Its goroutine is the one that Run does not wait for: a Read cannot be interrupted.
func (r *run) read(ctx context.Context) <-chan input {
	chunks := make(chan input)
	go func() {
		defer close(chunks)
		lines := NewLines(r.In, r.MaxLine)
		for {
			c, err := r.fill(ctx, lines)
			if errors.Is(err, io.EOF) && lines.number < r.From-1 {
				err = fmt.Errorf("there are only %d lines: want to begin at one of them, and not at line %d", lines.number, r.From)
			}
			if len(c.entries) > 0 || c.blank > 0 {
				select {
				case chunks <- input{chunk: c}:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					select {
					case chunks <- input{err: fmt.Errorf("read input after line %d: %w", c.last, err)}:
					case <-ctx.Done():
					}
				}
				return
			}
		}
	}()
	return chunks
}

// fill reads one chunk. Values are copied into one buffer, which the chunk owns.
func (r *run) fill(ctx context.Context, lines *Lines) (*chunk, error) {
	c := &chunk{done: make(chan struct{}), first: lines.number + 1, last: lines.number}
	size := 0
	for len(c.entries) < r.ChunkRows && size < r.ChunkBytes {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		line, err := lines.Next()
		if err != nil {
			return c, err
		}
		c.last, c.bytes = line.Number, lines.Read()
		if line.Number < r.From {
			c.first = line.Number + 1
			continue
		}
		if line.Blank() {
			c.blank++
			continue
		}
		e := entry{line: line.Number, value: append([]byte(nil), line.Text...), size: line.Size}
		if line.TooLong {
			e.fault = pipeline.Faultf(pipeline.ClassTooLarge, pipeline.StageDecode, "the line has %d bytes: want at most %d", line.Size, lines.max)
		}
		size += len(e.value)
		c.entries = append(c.entries, e)
	}
	return c, nil
}

// dispatch hands every chunk to a worker, and to the writer in input order. The room in order bounds the chunks that are
// finished but wait for an earlier one.
func (r *run) dispatch(ctx context.Context, chunks <-chan input, work, order chan<- *chunk) error {
	for {
		var in input
		var ok bool
		select {
		case in, ok = <-chunks:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !ok || in.err != nil {
			return in.err
		}
		for _, to := range []chan<- *chunk{order, work} {
			select {
			case to <- in.chunk:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

func (r *run) work(ctx context.Context, work <-chan *chunk) error {
	for c := range work {
		if c.program, c.release = r.Programs.Take(); c.program == nil {
			return errors.New("there is no program to run lines through")
		}
		r.decode(c)
		atOnce, _ := c.program.Steps.Split()
		if err := c.run(ctx, atOnce); err != nil {
			return err
		}
		close(c.done)
	}
	return nil
}

func (r *run) decode(c *chunk) {
	for i := range c.entries {
		e := &c.entries[i]
		if e.fault != nil {
			continue
		}
		record := &pipeline.Record{Topic: r.Name, Offset: e.line, Value: e.value}
		if e.row, e.fault = c.program.Decoder.Decode(record); e.fault == nil {
			e.row.Record = record
			c.rows = append(c.rows, e.row)
		}
	}
}

// run the rows through some of the steps.
func (c *chunk) run(ctx context.Context, steps pipeline.Steps) error {
	err := steps.Run(ctx, c.rows, nil)
	if in, ok := errors.AsType[*pipeline.StepError](err); ok {
		return fmt.Errorf("%s, lines %d to %d: %w", in.Step, c.entries[0].line, c.last, in.Err)
	}
	return err
}

// letGo of the chunk's program.
func (c *chunk) letGo() {
	if c.release != nil {
		c.release()
	}
}

// write writes the chunks in input order as they are done, after the steps that go in that order.
func (r *run) write(ctx context.Context, order <-chan *chunk) error {
	for c := range order {
		if err := r.finish(ctx, c); err != nil {
			return err
		}
		if r.Progress != nil {
			r.Progress(r.snapshot())
		}
	}
	return nil
}

// finish a chunk once it is through the steps that may run at once.
func (r *run) finish(ctx context.Context, c *chunk) error {
	r.last = c
	select {
	case <-c.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, inOrder := c.program.Steps.Split()
	if err := c.run(ctx, inOrder); err != nil {
		return err
	}
	if err := r.writeChunk(c); err != nil {
		return err
	}
	c.letGo()
	return nil
}

// writeChunk writes a chunk, and counts of it what was written.
func (r *run) writeChunk(c *chunk) error {
	for i := range c.entries {
		e := &c.entries[i]
		if e.fault == nil {
			e.fault = e.row.Fault
		}
		if e.fault == nil {
			r.buf, e.fault = c.program.Encoder.Append(r.buf[:0], e.row)
		}
		if e.fault != nil {
			if err := r.reject(e); err != nil {
				return err
			}
		} else {
			r.buf = append(r.buf, '\n')
			r.out.add(r.buf)
		}
		e.out, e.rejects = r.out.added, r.rejects.added
	}
	// People watch the output of a slow model, and an interrupted run is whole to here.
	rejected, written := r.rejects.flush(), r.out.flush()
	r.count(c)
	switch {
	case written != nil:
		return fmt.Errorf("write output: %w", written)
	case rejected != nil:
		return fmt.Errorf("write rejects at line %d: %w", r.stats.Lines+1, rejected)
	case r.Enough != nil:
		return r.Enough(r.snapshot())
	}
	return nil
}

// count the lines of a chunk, up to the first that an output did not take as a whole.
func (r *run) count(c *chunk) {
	line, blank := c.first, c.blank
	for i := range c.entries {
		e := &c.entries[i]
		if e.out > r.out.written || e.rejects > r.rejects.written {
			return
		}
		between := e.line - line // that are blank
		r.stats.Blank, blank = r.stats.Blank+between, blank-between
		if line = e.line + 1; e.fault != nil {
			r.stats.Rejected[e.fault.Class]++
		} else {
			r.stats.Scored++
		}
		r.stats.Lines, r.stats.OutBytes, r.stats.RejectBytes = e.line, e.out, e.rejects
	}
	r.stats.Lines, r.stats.Bytes = c.last, c.bytes
	r.stats.Blank += blank
}

// Reject is one line of the rejects.
type Reject struct {
	Line  int64          `json:"line"`
	Class pipeline.Class `json:"class"`
	Stage string         `json:"stage"`
	Cause string         `json:"cause"`
	// Value is the line as it was; bytes that are not UTF-8 are replaced, and of a line that is too long only the
	// beginning is there.
	Value string `json:"value"`
	// Size is the length of the line in bytes, where Value is not all of it.
	Size int64 `json:"size,omitempty"`
}

func (r *run) reject(e *entry) error {
	reject := Reject{Line: e.line, Class: e.fault.Class, Stage: e.fault.Stage, Cause: e.fault.Cause, Value: string(e.value)}
	if e.size > int64(len(e.value)) {
		reject.Size = e.size
	}
	line, err := json.Marshal(reject)
	if err != nil {
		return fmt.Errorf("write reject of line %d: %w", e.line, err)
	}
	r.rejects.add(append(plain.JSON(line), '\n'))
	return nil
}

func (r *run) snapshot() Stats {
	stats := r.stats
	stats.Rejected = maps.Clone(r.stats.Rejected)
	stats.Elapsed = time.Since(r.begin)
	return stats
}
