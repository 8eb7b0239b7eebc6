package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// script is a source that notes what it is asked for and fails where it is told to.
type script struct {
	calls   []string
	polls   int
	records []*Record // of every poll; none left waits for ctx
	fail    map[string][]error
	outputs []Output
	// published has the outputs of every time.
	published [][]Output
}

func (s *script) next(call string) error {
	s.calls = append(s.calls, call)
	errs := s.fail[call]
	if len(errs) == 0 {
		return nil
	}
	s.fail[call] = errs[1:]
	return errs[0]
}

func (s *script) Poll(ctx context.Context, _ Limits) ([]*Record, error) {
	if s.polls == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.polls--
	return s.records, s.next("poll")
}

func (s *script) Publish(_ context.Context, outputs []Output) error {
	s.outputs, s.published = outputs, append(s.published, outputs)
	return s.next("publish")
}
func (s *script) Commit(context.Context) error { return s.next("commit") }
func (s *script) Abort(context.Context) error  { return s.next("abort") }
func (s *script) Close()                       { s.calls = append(s.calls, "close") }

// plain is a decoder, a step and a builder in one.
type plain struct {
	fail []error // of the runs
	seen [][]*Row
}

func (p *plain) Decode(r *Record) (*Row, *Fault) {
	if string(r.Value) == "bad" {
		return nil, Faultf(ClassDecode, StageDecode, "bad")
	}
	return &Row{}, nil
}
func (p *plain) Name() string { return "plain" }
func (p *plain) Run(_ context.Context, rows []*Row) error {
	p.seen = append(p.seen, rows)
	if len(p.fail) > 0 {
		err := p.fail[0]
		p.fail = p.fail[1:]
		return err
	}
	return nil
}
func (p *plain) Result(*Row) (Output, *Fault) { return Output{Topic: "out"}, nil }
func (p *plain) DeadLetter(_ *Record, f *Fault, attempt int) Output {
	return Output{Topic: fmt.Sprintf("dead %s %d", f.Class, attempt)}
}
func (p *plain) Tombstone(*Record) Output { return Output{Topic: "tombstone"} }

// always the same builder, of whatever program.
func always(b Builder) func(*Program) Builder { return func(*Program) Builder { return b } }

// play runs a cycle over the script for a minute of virtual time.
func play(t *testing.T, s *script, p *plain) error {
	t.Helper()
	return playSteps(t, s, p, p)
}

func playSteps(t *testing.T, s *script, p *plain, steps ...Step) (err error) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c := Cycle{
			Open:     func() (Source, error) { s.calls = append(s.calls, "open"); return s, nil },
			Programs: NewPrograms(&Program{Decoder: p, Steps: steps}), Builder: always(p), Config: DefaultCycle(), Logger: slog.New(slog.DiscardHandler), Status: new(Status),
		}
		err = c.Run(ctx)
	})
	return err
}

func expect(t *testing.T, s *script, want ...string) {
	t.Helper()
	if !slices.Equal(s.calls, want) {
		t.Errorf("the source was asked for %q: want %q", s.calls, want)
	}
}

func one() []*Record { return []*Record{{Topic: "t", Key: []byte("k"), Value: []byte("v")}} }

func TestCycleCommitsWhatWasPublished(t *testing.T) {
	s := &script{polls: 2, records: one()}
	_ = play(t, s, new(plain))
	expect(t, s, "open", "poll", "publish", "commit", "poll", "publish", "commit", "close")
}

func TestCycleNeverCommitsAfterAFailedPublish(t *testing.T) {
	s := &script{polls: 2, records: one(), fail: map[string][]error{"publish": {errors.New("broker gone")}}}
	_ = play(t, s, new(plain))
	expect(t, s, "open", "poll", "publish", "close", "open", "poll", "publish", "commit", "close")
}

func TestCycleStartsAnewAfterAFailedCommit(t *testing.T) {
	s := &script{polls: 2, records: one(), fail: map[string][]error{"commit": {errors.New("unknown")}}}
	_ = play(t, s, new(plain))
	expect(t, s, "open", "poll", "publish", "commit", "close", "open", "poll", "publish", "commit", "close")
}

func TestCycleAbortsForTheRuntimeAndKeepsItsSource(t *testing.T) {
	s := &script{polls: 2, records: one()}
	_ = play(t, s, &plain{fail: []error{ErrRuntime}})
	expect(t, s, "open", "poll", "abort", "poll", "publish", "commit", "close")
}

func TestCycleStartsAnewWhenAnAbortFails(t *testing.T) {
	s := &script{polls: 2, records: one(), fail: map[string][]error{"abort": {errors.New("fenced")}}}
	_ = play(t, s, &plain{fail: []error{ErrRuntime}})
	expect(t, s, "open", "poll", "abort", "close", "open", "poll", "publish", "commit", "close")
}

func TestCycleReturnsWhatMustStopTheProcess(t *testing.T) {
	s := &script{polls: 2, records: one()}
	if err := play(t, s, &plain{fail: []error{fmt.Errorf("model hangs: %w", ErrStop)}}); !errors.Is(err, ErrStop) {
		t.Errorf("the cycle returned %v: want ErrStop", err)
	}
	expect(t, s, "open", "poll", "close")
}

func TestCycleDeadLettersWhatWasRefused(t *testing.T) {
	s := &script{polls: 2, records: one(), fail: map[string][]error{
		"publish": {&RefusedError{Guilty: map[int]error{0: errors.New("too large")}}},
	}}
	_ = play(t, s, new(plain))
	expect(t, s, "open", "poll", "publish", "abort", "poll", "publish", "commit", "close")
	if got := s.outputs[0].Topic; got != "dead refused 2" {
		t.Errorf("the record became %q: want a dead letter of class refused at the second attempt", got)
	}
}

func TestCycleMakesOneOutputOfEveryRecord(t *testing.T) {
	s := &script{polls: 1, records: []*Record{
		{Offset: 0, Key: []byte("k"), Value: []byte("v")},
		{Offset: 1, Key: []byte("k"), Value: []byte("bad")},
		{Offset: 2, Key: []byte("k")},
		{Offset: 3},
		{Offset: 4, Value: []byte{}},
	}}
	p := new(plain)
	_ = play(t, s, p)
	var got []string
	for i, o := range s.outputs {
		got = append(got, o.Topic)
		if o.Source != s.records[i] {
			t.Errorf("output %d is the effect of %v", i, o.Source.Coordinates())
		}
	}
	want := []string{"out", "dead decode 1", "tombstone", "dead no_key 1", "out"}
	if !slices.Equal(got, want) {
		t.Errorf("the outputs are %q: want %q", got, want)
	}
	if len(p.seen) != 1 || len(p.seen[0]) != 2 {
		t.Errorf("the step saw %d rows: want the two good ones", len(p.seen[0]))
	}
}

// heavy is a source of records as they are asked for, and a builder of heavy results.
type heavy struct {
	plain
	script
	left, most int
	bytes      func(*Record) int
	took       []int
}

func (h *heavy) Poll(ctx context.Context, limits Limits) ([]*Record, error) {
	if h.left == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	records := make([]*Record, min(h.left, limits.Records))
	for i := range records {
		records[i] = &Record{Topic: "in", Offset: int64(h.left - i), Value: []byte("v")}
	}
	h.took = append(h.took, len(records))
	return records, nil
}

func (h *heavy) Publish(ctx context.Context, outputs []Output) error {
	bytes := 0
	for _, o := range outputs {
		bytes += o.Size()
	}
	h.left -= len(outputs)
	h.most = max(h.most, bytes)
	return h.script.Publish(ctx, nil)
}

func (h *heavy) Result(row *Row) (Output, *Fault) {
	return Output{Topic: "out", Value: make([]byte, h.bytes(row.Record))}, nil
}

// What a cycle has in memory to publish is bounded, however heavy results become, and whenever.
func TestCyclesOfHeavyResultsTakeFewerRecords(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		records int
		bytes   func(*Record) int
		most    int // bytes published together
		gave    int // back, at the most
	}{
		"light":                    {5_000, func(*Record) int { return 100 }, mib, 0},
		"heavy from the beginning": {200, func(*Record) int { return mib }, 64 * mib, 0},
		"too heavy by themselves":  {3, func(*Record) int { return 200 * mib }, 200 * mib, 1},
		"heavy all of a sudden": {3_000, func(r *Record) int {
			if r.Offset < 1_000 {
				return mib
			}
			return 100
		}, 128 * mib, 2},
	} {
		t.Run(name, func(t *testing.T) {
			h := &heavy{left: c.records, bytes: c.bytes}
			synctest.Test(t, func(*testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				cycle := Cycle{
					Open: func() (Source, error) { return h, nil }, Programs: NewPrograms(&Program{Decoder: h, Steps: Steps{h}}), Builder: always(h),
					Config: DefaultCycle(), Logger: slog.New(slog.DiscardHandler), Status: new(Status),
				}
				if err := cycle.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			gave := 0
			for _, call := range h.calls {
				if call == "abort" {
					gave++
				}
			}
			if h.left != 0 || h.most > c.most || gave > c.gave {
				t.Errorf("%d records are left, %d bytes were published together, %d cycles were given back: want none, at most %d, and at most %d; cycles took %v",
					h.left, h.most, gave, c.most, c.gave, h.took)
			}
		})
	}
}

func TestCycleHasNothingInHandOnceItsRecordsWereTakenBack(t *testing.T) {
	for name, fail := range map[string]map[string][]error{
		"the group takes them back": {"commit": {ErrRebalanced}},
		"the broker refuses one":    {"publish": {&RefusedError{Guilty: map[int]error{0: errors.New("too large")}}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				// The partitions are somebody else's from then on, so that no record comes any more.
				s, p := &script{polls: 1, records: one(), fail: fail}, new(plain)
				c := Cycle{
					Open:     func() (Source, error) { return s, nil },
					Programs: NewPrograms(&Program{Decoder: p, Steps: Steps{p}}), Builder: always(p), Config: DefaultCycle(), Logger: slog.New(slog.DiscardHandler), Status: new(Status),
				}
				ended := make(chan error)
				go func() { ended <- c.Run(ctx) }()
				time.Sleep(time.Minute)
				if got := c.Status.Snapshot(); s.polls != 0 || got.Records != 0 {
					t.Errorf("after %d polls: %d records in hand, want none", 1-s.polls, got.Records)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("run: %v", err)
				}
			})
		})
	}
}
