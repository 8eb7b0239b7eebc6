package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// generation is a decoder, a step, an encoder and a builder that sign what they do to a record. It takes a second.
type generation struct {
	plain
	name string
}

func (g *generation) Decode(*Record) (*Row, *Fault) { return &Row{Text: "decoded by " + g.name}, nil }

func (g *generation) Run(_ context.Context, rows []*Row) error {
	time.Sleep(time.Second)
	for _, row := range rows {
		row.Text += ", run by " + g.name
	}
	return nil
}

func (g *generation) Append(dst []byte, row *Row) ([]byte, *Fault) {
	return fmt.Appendf(dst, "%s, encoded by %s", row.Text, g.name), nil
}

// built has the value that the program's encoder makes of a row.
type built struct {
	plain
	program *Program
}

func (b *built) Result(row *Row) (Output, *Fault) {
	value, fault := b.program.Encoder.Append(nil, row)
	return Output{Topic: "out", Value: value}, fault
}

func programOf(n uint64) *Program {
	g := &generation{name: fmt.Sprint(n)}
	return &Program{Generation: n, Decoder: g, Steps: Steps{g}, Encoder: g}
}

// stream is a source that always has a record.
type stream struct {
	mu        sync.Mutex // guards all below
	offset    int64
	published []string
}

func (s *stream) Poll(ctx context.Context, _ Limits) ([]*Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset++
	return []*Record{{Topic: "in", Offset: s.offset, Value: []byte("v")}}, ctx.Err()
}

func (s *stream) Publish(_ context.Context, outputs []Output) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range outputs {
		s.published = append(s.published, string(o.Value))
	}
	return nil
}
func (s *stream) Commit(context.Context) error { return nil }
func (s *stream) Abort(context.Context) error  { return nil }
func (s *stream) Close()                       {}

// Each cycle has one program from its decoder to its encoder, whatever takes its place meanwhile, and a program is drained once the last cycle has let it go.
func TestAProgramIsSwappedWhileCyclesRun(t *testing.T) {
	const swaps, members = 50, 3
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		programs := new(Programs)
		drained := make(map[uint64]int)
		var mu sync.Mutex // guards drained
		swap := func(n uint64) {
			if err := programs.Swap(programOf(n), func() {
				mu.Lock()
				defer mu.Unlock()
				drained[n]++
			}); err != nil {
				t.Error(err)
			}
		}
		swap(1)
		source := new(stream)
		var running sync.WaitGroup
		for range members {
			running.Go(func() {
				c := Cycle{
					Open: func() (Source, error) { return source, nil }, Programs: programs, Builder: func(p *Program) Builder { return &built{program: p} },
					Config: DefaultCycle(), Logger: slog.New(slog.DiscardHandler),
				}
				if err := c.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(300 * time.Millisecond)
		}
		for n := uint64(2); n <= swaps; n++ {
			time.Sleep(2 * time.Second)
			swap(n)
			if n == swaps {
				break
			}
			mu.Lock()
			if drained[n-1] != 0 {
				t.Errorf("generation %d is drained while cycles have it", n-1)
			}
			mu.Unlock()
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		mu.Lock()
		for n := uint64(1); n < swaps; n++ {
			if drained[n] != 1 {
				t.Errorf("generation %d was drained %d times, want once", n, drained[n])
			}
		}
		if drained[swaps] != 0 {
			t.Error("the current program is drained")
		}
		mu.Unlock()
		programs.Close()
		cancel()
		running.Wait()
		if drained[swaps] != 1 {
			t.Errorf("the last program was drained %d times, want once", drained[swaps])
		}
		seen := make(map[string]int)
		for _, value := range source.published {
			signed := strings.Fields(value)
			of := strings.TrimSuffix(signed[2], ",")
			if want := fmt.Sprintf("decoded by %s, run by %s, encoded by %s", of, of, of); value != want {
				t.Errorf("got %q, want one generation", value)
			}
			seen[of]++
		}
		if len(seen) != swaps {
			t.Errorf("%d generations answered, want %d", len(seen), swaps)
		}
	})
}

// What was noted about a record under one program is forgotten under the next: it may answer what the broker takes.
func TestNotesAreForgottenWithTheProgram(t *testing.T) {
	for name, swapped := range map[string]bool{"the same program": false, "another": true} {
		t.Run(name, func(t *testing.T) {
			s := &script{polls: 2, records: one(), fail: map[string][]error{"publish": {&RefusedError{Guilty: map[int]error{0: errors.New("too large")}}}}}
			p := new(plain)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				programs := NewPrograms(&Program{Generation: 1, Decoder: p, Steps: Steps{p}})
				c := Cycle{
					Open: func() (Source, error) { return s, nil }, Programs: programs, Builder: always(p), Config: DefaultCycle(),
					Logger: slog.New(slog.DiscardHandler), Status: new(Status),
				}
				c.At = func(point Point) {
					if swapped && point == PointEncoded && len(s.published) == 0 {
						if err := programs.Swap(&Program{Generation: 2, Decoder: p, Steps: Steps{p}}, nil); err != nil {
							t.Error(err)
						}
					}
				}
				if err := c.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			want := []string{"out", "dead refused 2"}
			if swapped {
				want = []string{"out", "out"}
			}
			if got := topicsOf(s.published); !slices.Equal(got, want) {
				t.Errorf("published %q, want %q", got, want)
			}
		})
	}
}

// A member that waits for records has no program, so that the old one is drained on an idle topic, too.
func TestAnIdleMemberKeepsNoProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		s, p, drained := &script{polls: 1, records: one()}, new(plain), 0
		programs := new(Programs)
		for n := range uint64(2) {
			if err := programs.Swap(&Program{Generation: n + 1, Decoder: p, Steps: Steps{p}}, func() { drained++ }); err != nil {
				t.Fatal(err)
			}
		}
		if drained != 1 {
			t.Errorf("%d programs are drained, want the first, which nobody took", drained)
		}
		c := Cycle{
			Open: func() (Source, error) { return s, nil }, Programs: programs, Builder: always(p), Config: DefaultCycle(), Logger: slog.New(slog.DiscardHandler),
		}
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		synctest.Wait()
		if err := programs.Swap(&Program{Generation: 3, Decoder: p}, nil); err != nil {
			t.Fatal(err)
		}
		if len(s.published) != 1 || drained != 2 {
			t.Errorf("%d cycles were published and %d programs drained, want 1 and 2", len(s.published), drained)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAnEarlierProgramTakesNoPlace(t *testing.T) {
	programs, drained := new(Programs), 0
	if program, release := programs.Take(); program != nil {
		t.Errorf("got %v, want none before the first", program)
	} else {
		release()
	}
	if err := programs.Swap(programOf(7), func() { drained++ }); err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{6, 7} {
		err := programs.Swap(programOf(n), func() { t.Error("what was never current is drained") })
		if want := fmt.Sprintf("a program of generation %d cannot take the place of one of generation 7: want a later one", n); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	program, release := programs.Take()
	if program.Generation != 7 || drained != 0 {
		t.Errorf("generation %d is current and %d are drained, want 7 and none", program.Generation, drained)
	}
	programs.Close()
	if drained != 0 {
		t.Error("it is drained while somebody has it")
	}
	release()
	release() // once more has no effect
	if drained != 1 {
		t.Errorf("it is drained %d times, want once", drained)
	}
	if program, _ := programs.Take(); program != nil {
		t.Errorf("got %v, want none after the last", program)
	}
}

// orderly is a step whose effect depends on the order of rows.
type orderly struct{ plain }

func (*orderly) Ordered() {}

func TestStepsAreSplitBeforeTheFirstThatIsOrdered(t *testing.T) {
	a, b := new(plain), new(orderly)
	for _, c := range []struct {
		steps Steps
		want  int
	}{{nil, 0}, {Steps{a}, 1}, {Steps{b}, 0}, {Steps{a, a, b, a}, 2}} {
		if atOnce, inOrder := c.steps.Split(); len(atOnce) != c.want || len(inOrder) != len(c.steps)-c.want {
			t.Errorf("%d steps are split into %d and %d, want %d at once", len(c.steps), len(atOnce), len(inOrder), c.want)
		}
	}
}
