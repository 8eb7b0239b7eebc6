package torture

import (
	"encoding/json"
	"fmt"
	"time"
)

// Report is what a run has found.
type Report struct {
	Counts
	Faults  int     `json:"faults"`
	Seed    uint64  `json:"seed"`
	Longest Seconds `json:"longest_stall_seconds"`
	Written int64   `json:"written"` // by the load
	Unread  int64   `json:"unread"`  // records of the input, or updates of the view, that no group had committed when patience ended
	Deaths  int     `json:"deaths"`  // replicas that ended by themselves, and were started again
	// Kinds of faults, and how long the records then waited.
	Kinds map[string]Kind `json:"stalls"`
	// Notes are the first of the things that are wrong.
	Notes []string `json:"notes,omitempty"`
	// Failures are processes that ended although no fault was to end them, and faults that could not be made or undone.
	Failures []string `json:"failures,omitempty"`

	stalls []faultStall
}

// Seconds is a time that is written in seconds.
type Seconds time.Duration

// MarshalJSON writes seconds.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(s).Round(time.Millisecond).Seconds())
}

// Err is nil where the promise was kept and there was something to keep.
func (r Report) Err() error {
	switch {
	case r.Records == 0:
		return fmt.Errorf("no record was written: nothing was shown")
	case r.wrong() > 0:
		return fmt.Errorf("the promise was broken: %d lost, %d doubled, %d out of order, %d dead letters without a cause, %d misplaced, %d of no input, "+
			"features of %d of %d items wrong (seed %d)",
			r.Lost, r.Doubled, r.OutOfOrder, r.Uncaused, r.Misplaced, r.Unknown, r.Miscounted, r.Aggregates, r.Seed)
	case r.Misstamped > 0:
		return fmt.Errorf("the promise was broken: %d results have a timestamp that is neither their input's nor that of writing (seed %d)", r.Misstamped, r.Seed)
	case r.Unread != 0:
		return fmt.Errorf("the replicas made no progress for %v after the last fault: %d records are uncommitted, and the counts are those of an unfinished run (seed %d)",
			patience, r.Unread, r.Seed)
	case int64(r.Records) < r.Written:
		return fmt.Errorf("%d of the %d records of the load are not in the input: the cluster lost them, or they could not be read (seed %d)",
			r.Written-int64(r.Records), r.Written, r.Seed)
	case len(r.Failures) > 0:
		return fmt.Errorf("%s", r.Failures[0])
	}
	return nil
}
