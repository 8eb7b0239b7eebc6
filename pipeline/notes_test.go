package pipeline

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func rowsOf(n int) []*Row {
	rows := make([]*Row, n)
	for i := range rows {
		rows[i] = &Row{Record: &Record{Topic: "t", Offset: int64(i), Value: []byte("v")}}
	}
	return rows
}

// outputsOf has one for each row, in order.
func outputsOf(rows []*Row) []Output {
	outputs := make([]Output, len(rows))
	for i, row := range rows {
		outputs[i] = Output{Topic: "out", Source: row.Record}
	}
	return outputs
}

func TestNotesTurnAGuiltyRecordIntoADeadLetter(t *testing.T) {
	var n notes
	rows := rowsOf(3)
	err := n.take(&RefusedError{Guilty: map[int]error{1: errors.New("too large")}}, outputsOf(rows), rows)
	if Assign(err) != BlameRecord {
		t.Errorf("a refusal is blamed on %v: want the record", Assign(err))
	}
	fault := n.fault(rows[1].Record)
	if fault == nil || fault.Class != ClassRefused || fault.Stage != StagePublish || fault.Cause == "" {
		t.Errorf("the guilty record's fault is %+v: want class refused with a cause", fault)
	}
	if n.fault(rows[0].Record) != nil || n.fault(rows[2].Record) != nil {
		t.Error("its neighbours have a fault too")
	}
	if got := n.attempt(rows[1].Record); got != 2 {
		t.Errorf("the guilty record is at attempt %d: want 2", got)
	}
	if got := n.attempt(rows[0].Record); got != 1 {
		t.Errorf("its neighbour is at attempt %d: want 1", got)
	}
	n.clear(rows)
	if len(n) != 0 {
		t.Errorf("%d notes are left after the commit", len(n))
	}
}

func TestNotesSendSuspectsAlone(t *testing.T) {
	var n notes
	rows := rowsOf(3)
	_ = n.take(&RefusedError{Suspect: map[int]error{0: errors.New("refused"), 2: errors.New("refused")}}, outputsOf(rows), rows)
	for i, want := range []bool{true, false, true} {
		if got := n.suspect(rows[i].Record); got != want {
			t.Errorf("record %d is a suspect: %t, want %t", i, got, want)
		}
	}
	_ = n.take(&RefusedError{Guilty: map[int]error{2: errors.New("refused")}}, outputsOf(rows), rows)
	if n.suspect(rows[2].Record) || n.fault(rows[2].Record) == nil {
		t.Error("the suspect found guilty is not noted as such")
	}
}

func TestNotesKnowALostCause(t *testing.T) {
	var n notes
	rows := rowsOf(1)
	rows[0].Fault = Faultf(ClassDecode, StageDecode, "bad")
	if err := n.take(&RefusedError{Guilty: map[int]error{0: errors.New("too large")}}, outputsOf(rows), rows); Assign(err) != BlamePermanent {
		t.Errorf("a refused dead letter is blamed on %v: want permanent, since it must not be lost", Assign(err))
	}
}

func TestNotesBlameARecordForWhatIsBesideIt(t *testing.T) {
	var n notes
	rows := rowsOf(2)
	outputs := append(outputsOf(rows), Output{Topic: "updates", Source: rows[1].Record, Beside: true})
	err := n.take(&RefusedError{Guilty: map[int]error{2: errors.New("too large")}}, outputs, rows)
	if Assign(err) != BlameRecord {
		t.Errorf("a refusal is blamed on %v: want the record", Assign(err))
	}
	if fault := n.fault(rows[1].Record); fault == nil || !strings.Contains(fault.Cause, "updates") {
		t.Errorf("the record's fault is %v: want one that names the topic", fault)
	}
	if n.fault(rows[0].Record) != nil {
		t.Error("its neighbour has a fault too")
	}
}

func TestNotesBlameNoRecordForARefusedState(t *testing.T) {
	var n notes
	rows := rowsOf(1)
	outputs := append(outputsOf(rows), Output{Topic: "states", Value: make([]byte, 77)})
	for _, err := range []error{
		&RefusedError{Guilty: map[int]error{1: errors.New("too large")}}, &RefusedError{Suspect: map[int]error{1: errors.New("too large")}},
	} {
		err := n.take(err, outputs, rows)
		if Assign(err) != BlamePermanent || !strings.Contains(err.Error(), "states") || len(n) != 0 {
			t.Errorf("got %v, blamed on %v, and %d notes: want a permanent error that names the topic, and none", err, Assign(err), len(n))
		}
	}
}

func TestNotesPassOtherErrorsOn(t *testing.T) {
	var n notes
	other := errors.New("broker gone")
	if err := n.take(other, nil, rowsOf(1)); !errors.Is(err, other) || len(n) != 0 {
		t.Errorf("got %v and %d notes: want the error itself and none", err, len(n))
	}
}

func TestNotesAreBounded(t *testing.T) {
	var n notes
	for i := range maxNotes + 10 {
		n.again(&Record{Offset: int64(i)})
	}
	if len(n) > maxNotes {
		t.Errorf("%d notes are kept: want at most %d", len(n), maxNotes)
	}
}

// What is noted of a record that was refused holds for every later attempt at it, whatever ends the ones between, and for no record after its dead letter is
// committed: not for one that comes to its place when the topic is made anew.
func TestNotesHoldUntilTheirDeadLetterIsCommittedAndNoLonger(t *testing.T) {
	bad := errors.New("bad")
	for _, c := range []struct {
		name    string
		publish []error // after the refusal
		commit  []error
		want    []string // what is published, a cycle each
	}{
		{"committed at once", nil, nil, []string{"out", "dead refused 2", "out", "out"}},
		{"taken back by the group", nil, []error{ErrRebalanced}, []string{"out", "dead refused 2", "dead refused 2", "out"}},
		{"the source made anew", nil, []error{bad}, []string{"out", "dead refused 2", "dead refused 2", "out"}},
		{"not published", []error{bad}, nil, []string{"out", "dead refused 2", "dead refused 2", "out"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{polls: 4, records: one(), fail: map[string][]error{
				"publish": append([]error{&RefusedError{Guilty: map[int]error{0: errors.New("too large")}}}, c.publish...), "commit": c.commit,
			}}
			if err := play(t, s, new(plain)); err != nil {
				t.Fatal(err)
			}
			if got := topicsOf(s.published); !slices.Equal(got, c.want) {
				t.Errorf("published %q, want %q", got, c.want)
			}
		})
	}
}

// Of several that were refused together each is published by itself, until it is committed or found guilty.
func TestSuspectsArePublishedAlone(t *testing.T) {
	suspects := &RefusedError{Suspect: map[int]error{0: errors.New("refused"), 2: errors.New("refused")}}
	s := &script{polls: 3, records: []*Record{{Topic: "t", Value: []byte("v")}, {Topic: "t", Offset: 1, Value: []byte("v")}, {Topic: "t", Offset: 2, Value: []byte("v")}},
		fail: map[string][]error{"publish": {suspects}}}
	if err := play(t, s, new(plain)); err != nil {
		t.Fatal(err)
	}
	want := [][]bool{{false, false, false}, {true, false, true}, {false, false, false}}
	if len(s.published) != len(want) {
		t.Fatalf("published %d times, want %d", len(s.published), len(want))
	}
	for i, outputs := range s.published {
		for j, o := range outputs {
			if o.Topic != "out" || o.Alone != want[i][j] {
				t.Errorf("attempt %d has record %d in topic %s, alone %t: want a result, alone %t", i+1, j, o.Topic, o.Alone, want[i][j])
			}
		}
	}
}

// topicsOf what was published, each time one output.
func topicsOf(published [][]Output) (topics []string) {
	for _, outputs := range published {
		for _, o := range outputs {
			topics = append(topics, o.Topic)
		}
	}
	return topics
}
