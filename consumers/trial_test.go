package consumers

import (
	"log/slog"
	"testing"
)

// Once a record was survived and committed, the deaths that it was suspected of say nothing of the next: that one would be condemned after one death.
func TestDeathsCountForTheRecordThatWasAloneAndNoOther(t *testing.T) {
	q := &quarantine{logger: slog.New(slog.DiscardHandler), doubts: map[int32]doubt{3: {end: 20, size: 1, deaths: 1}}}
	(&work{quarantine: q, until: 7}).committed()
	if _, now, on := q.current(); !on || now.deaths != 0 {
		t.Errorf("after the commit of the record in doubt, the rest has %d deaths, in doubt %t: want none, and still in doubt", now.deaths, on)
	}
}

// Others may have held a partition that is given: what they left marked is looked at again.
func TestPartitionThatIsGivenIsLookedAtAgain(t *testing.T) {
	q := newQuarantine(Config{Attempts: &Attempts{}, MaxRecords: 10})
	q.looked[3], q.marked[3], q.looked[4], q.marked[4] = true, 10, true, 10
	q.renew(3)
	if q.looked[3] || q.marked[3] != 0 {
		t.Errorf("partition 3 was given: want its last mark unread and its first cycles unmarked, got %t and %d", !q.looked[3], q.marked[3])
	}
	if !q.looked[4] || q.marked[4] != 10 {
		t.Error("partition 4 was not given, and is begun anew")
	}
}
