package pipeline

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// ledger is a step that keeps a state: how many rows it saw in cycles that were committed.
type ledger struct {
	plain
	now, kept int
	told      []string
}

func (l *ledger) Run(ctx context.Context, rows []*Row) error {
	if err := l.plain.Run(ctx, rows); err != nil {
		return err
	}
	l.now += len(rows)
	for _, row := range rows {
		row.Beside = append(row.Beside, Output{Topic: "beside"})
	}
	return nil
}

func (l *ledger) Changes() ([]Output, error) { return []Output{{Topic: "state"}}, nil }

func (l *ledger) Keep() {
	l.kept += l.now
	l.now = 0
	l.told = append(l.told, "keep")
}

func (l *ledger) Drop() {
	l.now = 0
	l.told = append(l.told, "drop")
}

func TestAKeeperIsToldHowEachCycleEnded(t *testing.T) {
	bad := errors.New("broken")
	for _, c := range []struct {
		name string
		fail map[string][]error
		run  []error
		told []string
		kept int
	}{
		{"committed", nil, nil, []string{"keep", "keep"}, 2},
		{"a step fails", nil, []error{errors.Join(ErrRuntime, bad)}, []string{"drop", "keep"}, 1},
		{"publish fails", map[string][]error{"publish": {bad}}, nil, []string{"drop", "keep"}, 1},
		{"a record is refused", map[string][]error{"publish": {&RefusedError{Guilty: map[int]error{0: bad}}}}, nil, []string{"drop", "keep"}, 0},
		{"the end fails", map[string][]error{"commit": {bad}}, nil, []string{"drop", "keep"}, 1},
		{"taken back", map[string][]error{"commit": {ErrRebalanced}}, nil, []string{"drop", "keep"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			step := &ledger{plain: plain{fail: c.run}}
			s := &script{polls: 2, records: []*Record{{Topic: "in", Value: []byte("good")}, {Topic: "in", Offset: 1, Value: []byte("bad")}}, fail: c.fail}
			if err := playSteps(t, s, &step.plain, step); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(step.told, c.told) {
				t.Errorf("it was told %v, want %v", step.told, c.told)
			}
			if step.kept != c.kept {
				t.Errorf("it kept %d rows, want %d", step.kept, c.kept)
			}
		})
	}
}

func TestWhatIsBesideARowComesAfterAllResults(t *testing.T) {
	step := new(ledger)
	s := &script{polls: 1, records: []*Record{{Topic: "in", Value: []byte("good")}, {Topic: "in", Offset: 1, Value: []byte("bad")}, {Topic: "in", Offset: 2, Value: []byte("good")}}}
	if err := playSteps(t, s, &step.plain, step); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range s.outputs {
		got = append(got, o.Topic)
		if (o.Topic == "beside") != o.Beside || (o.Topic == "state") != (o.Source == nil) {
			t.Errorf("%s: beside %t, source %v", o.Topic, o.Beside, o.Source)
		}
	}
	if want := []string{"out", "dead decode 1", "out", "beside", "beside", "state"}; !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
}

// unwritten has a result of no row whose value is "large".
type unwritten struct{ plain }

func (u *unwritten) Result(row *Row) (Output, *Fault) {
	if string(row.Record.Value) == "large" {
		return Output{}, Faultf(ClassTooLarge, StageEncode, "too large")
	}
	return Output{Topic: "out"}, nil
}

// A record has one effect. One that becomes a dead letter has no other beside it, or a replay would count it twice.
func TestNothingIsBesideADeadLetter(t *testing.T) {
	c := Cycle{Builder: always(new(unwritten))}
	var rows []*Row
	for _, value := range []string{"good", "large"} {
		rows = append(rows, &Row{Record: &Record{Topic: "in", Value: []byte(value)}, Beside: []Output{{Topic: "beside " + value}}})
	}
	outputs, err := c.encode(new(Program), rows)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := topicsOf([][]Output{outputs}), []string{"out", "dead " + string(ClassTooLarge) + " 1", "beside good"}; !slices.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
}
