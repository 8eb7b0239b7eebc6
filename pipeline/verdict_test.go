package pipeline

import (
	"slices"
	"testing"
)

// A record that both ended processes and was withheld is condemned for what it did, and keeps what is known of its bytes for the dead letter.
func TestRecordsWithAVerdictAreNotWorkedOn(t *testing.T) {
	withheld := &Withheld{Limit: 1 << 20, Length: 5 << 20}
	s := &script{polls: 1, records: []*Record{
		{Offset: 0, Value: []byte("v"), Verdict: Verdict{Deaths: 2}},
		{Offset: 1, Value: []byte{}, Verdict: Verdict{Withheld: withheld}},
		{Offset: 2, Value: []byte{}, Verdict: Verdict{Deaths: 2, Withheld: withheld}},
		{Offset: 3, Key: []byte("k"), Verdict: Verdict{Deaths: 2}},
		{Offset: 4, Value: []byte("v")},
	}}
	p := new(plain)
	_ = play(t, s, p)
	var got []string
	for _, o := range s.outputs {
		got = append(got, o.Topic)
	}
	if want := []string{"dead crash 1", "dead too_large 1", "dead crash 1", "dead crash 1", "out"}; !slices.Equal(got, want) {
		t.Errorf("the outputs are %q: want %q", got, want)
	}
	if len(p.seen) != 1 || len(p.seen[0]) != 1 || p.seen[0][0].Record.Offset != 4 {
		t.Errorf("the step saw %d times rows: want once, and only the record without a verdict", len(p.seen))
	}
}
