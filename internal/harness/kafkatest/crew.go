//go:build synctests

package kafkatest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nearline/pipeline"
)

// Worker is one member at work: a cycle in a goroutine of its own, on a line of its own.
type Worker struct {
	Line   *Line
	Cycle  *pipeline.Cycle
	Status *pipeline.Status
	Tally  *Tally

	stop  context.CancelFunc
	ended chan struct{}
	err   error
}

// Start puts a member to work. The cycle must be complete but for what is empty here: builder, configuration,
// logger and status have defaults; every source that it opens is watched.
func (w *World) Start(cycle *pipeline.Cycle, line *Line) *Worker {
	ctx, cancel := context.WithCancel(context.Background())
	worker := &Worker{Line: line, Cycle: cycle, Status: cycle.Status, Tally: new(Tally), stop: cancel, ended: make(chan struct{})}
	if cycle.Builder == nil {
		cycle.Builder = Always(Builder{})
	}
	if cycle.Config == (pipeline.CycleConfig{}) {
		cycle.Config = pipeline.DefaultCycle()
	}
	if cycle.Status == nil {
		cycle.Status = new(pipeline.Status)
		worker.Status = cycle.Status
	}
	if cycle.Logger == nil {
		cycle.Logger = Log(w.TB)
	}
	w.workers = append(w.workers, worker)
	open := cycle.Open
	cycle.Open = func() (pipeline.Source, error) {
		source, err := open()
		if err != nil {
			return nil, err
		}
		worker.Tally.Opened.Add(1)
		return &watched{Source: source, tally: worker.Tally, tb: w.TB}, nil
	}
	go func() {
		defer close(worker.ended)
		worker.err = cycle.Run(ctx)
	}()
	return worker
}

// Stop asks the worker to stop, waits until it has, and returns what its cycle returned.
func (k *Worker) Stop() error {
	k.stop()
	<-k.ended
	return k.err
}

// Ask the worker to stop.
func (k *Worker) Ask() { k.stop() }

// Ended is closed when the worker has stopped.
func (k *Worker) Ended() <-chan struct{} { return k.ended }

// Kill cuts the worker off for good, at once: whatever it still does, the cluster does not hear of it.
func (k *Worker) Kill() {
	k.Line.Cut()
	k.stop()
}

// Tally counts what a cycle does with its sources.
type Tally struct {
	Opened, Closed           atomic.Int64
	Polls, Taken             atomic.Int64 // polls that returned records, and the records
	Publishes, Published     atomic.Int64
	Commits, Committed       atomic.Int64
	Aborts, FailedPolls      atomic.Int64
	CommittedRecords         atomic.Int64
	LongestCloseMilliseconds atomic.Int64

	mu     sync.Mutex // guards errors
	errors []error
}

// Errors that the sources returned, in order.
func (t *Tally) Errors() []error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]error(nil), t.errors...)
}

func (t *Tally) fail(err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors = append(t.errors, err)
}

// watched counts, and fails the test where the cycle breaks the contract of a source.
type watched struct {
	pipeline.Source
	tally    *Tally
	tb       testing.TB
	inFlight int
	broken   bool
	closed   bool
}

func (s *watched) use(what string) {
	if s.broken {
		s.tb.Errorf("%s of a source that is of no more use", what)
	}
	if s.closed {
		s.tb.Errorf("%s of a closed source", what)
	}
}

func (s *watched) Poll(ctx context.Context, limits pipeline.Limits) ([]*pipeline.Record, error) {
	s.use("poll")
	if s.inFlight > 0 {
		s.tb.Errorf("polled with %d records in flight", s.inFlight)
	}
	records, err := s.Source.Poll(ctx, limits)
	if err != nil {
		s.broken = true
		s.tally.FailedPolls.Add(1)
		if ctx.Err() == nil {
			s.tally.fail(err)
		}
		return nil, err
	}
	if len(records) == 0 {
		s.tb.Error("a poll returned nothing")
	}
	s.inFlight = len(records)
	s.tally.Polls.Add(1)
	s.tally.Taken.Add(int64(len(records)))
	return records, nil
}

func (s *watched) Publish(ctx context.Context, outputs []pipeline.Output) error {
	s.use("publish")
	own := 0
	for _, o := range outputs {
		if !o.Beside && o.Source != nil {
			own++
		}
	}
	if own != s.inFlight {
		s.tb.Errorf("published %d outputs of %d records", own, s.inFlight)
	}
	s.tally.Publishes.Add(1)
	err := s.Source.Publish(ctx, outputs)
	if err == nil {
		s.tally.Published.Add(int64(len(outputs)))
	}
	s.tally.fail(err)
	return err
}

func (s *watched) Commit(ctx context.Context) error {
	s.use("commit")
	s.tally.Commits.Add(1)
	err := s.Source.Commit(ctx)
	if err == nil {
		s.tally.Committed.Add(1)
		s.tally.CommittedRecords.Add(int64(s.inFlight))
	} else {
		s.broken = !errors.Is(err, pipeline.ErrRebalanced) // then it is whole, and its records come again
	}
	s.inFlight = 0
	s.tally.fail(err)
	return err
}

func (s *watched) Abort(ctx context.Context) error {
	s.use("abort")
	s.tally.Aborts.Add(1)
	err := s.Source.Abort(ctx)
	if err != nil {
		s.broken = true
	}
	s.inFlight = 0
	s.tally.fail(err)
	return err
}

func (s *watched) Close() {
	if s.closed {
		s.tb.Error("a source was closed twice")
	}
	s.closed = true
	began := time.Now()
	s.Source.Close()
	took := time.Since(began).Milliseconds()
	for {
		longest := s.tally.LongestCloseMilliseconds.Load()
		if took <= longest || s.tally.LongestCloseMilliseconds.CompareAndSwap(longest, took) {
			break
		}
	}
	s.tally.Closed.Add(1)
}

// Log is a logger that a test shows when it is run verbosely and fails.
func Log(tb testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(tbWriter{tb}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type tbWriter struct{ testing.TB }

func (w tbWriter) Write(line []byte) (int, error) {
	w.Logf("%s", line)
	return len(line), nil
}

var (
	_ io.Writer = tbWriter{}
	_           = errors.Is
)
