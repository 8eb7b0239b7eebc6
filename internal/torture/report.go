package torture

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Report is what a run has found.
type Report struct {
	Counts
	Faults  int    `json:"faults"`
	Seed    uint64 `json:"seed"`
	Longest Stall  `json:"longest_stall_seconds"`
	Written int    `json:"written"` // by the load; the broker may have taken some twice
	Unread  int    `json:"unread"`  // input records that no group had committed when patience ended
	// Notes are the first of the things that are wrong.
	Notes []string `json:"notes,omitempty"`
	// Processes are replicas and brokers that ended without being asked to.
	Processes []string `json:"processes,omitempty"`
}

// Stall is a time in seconds.
type Stall time.Duration

// MarshalJSON writes seconds.
func (s Stall) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(s).Round(time.Millisecond).Seconds())
}

// Err is nil where the promise was kept and there was something to keep.
func (r Report) Err() error {
	switch {
	case r.Records == 0:
		return fmt.Errorf("no record was written: nothing was shown")
	case r.Unread != 0:
		return fmt.Errorf("the replicas did not finish within %v of the last fault: %d records are uncommitted, and the counts are those of an unfinished run (seed %d)",
			patience, r.Unread, r.Seed)
	case r.wrong() > 0:
		return fmt.Errorf("the promise was broken: %d lost, %d doubled, %d out of order, %d misplaced, %d of no input (seed %d)",
			r.Lost, r.Doubled, r.OutOfOrder, r.Misplaced, r.Unknown, r.Seed)
	case len(r.Processes) > 0:
		return fmt.Errorf("%s", r.Processes[0])
	}
	return nil
}

// teller prints what happens as it happens: lines for people, or objects for programs.
type teller struct {
	out   io.Writer
	json  bool
	began time.Time
}

// happened is one object of --json; the report is the last.
type happened struct {
	Event   string  `json:"event"`
	At      float64 `json:"at_seconds"`
	Fault   Fault   `json:"fault,omitempty"`
	Replica *int    `json:"replica,omitempty"`
	Lasts   float64 `json:"lasts_seconds,omitempty"`
	Stall   float64 `json:"stall_seconds,omitempty"`
	Text    string  `json:"text,omitempty"`
}

func (t *teller) at() float64 { return time.Since(t.began).Round(time.Millisecond).Seconds() }

func (t *teller) say(format string, args ...any) {
	if t.json {
		t.object(happened{Event: "note", At: t.at(), Text: fmt.Sprintf(format, args...)})
		return
	}
	fmt.Fprintf(t.out, "%7.1fs  %s\n", t.at(), fmt.Sprintf(format, args...))
}

func (t *teller) fault(e event) {
	if t.json {
		t.object(describe("fault", e, t.at()))
		return
	}
	fmt.Fprintf(t.out, "%7.1fs  %s\n", t.at(), e)
}

// stalls lists, for each fault, the longest time without a result until the next.
func (t *teller) stalls(events []event, stall []time.Duration) {
	if !t.json {
		fmt.Fprintf(t.out, "\n%9s  %-44s  %s\n", "at", "fault", "longest stall until the next one")
	}
	for i, e := range events {
		if t.json {
			o := describe("stall", e, e.At.Seconds())
			o.Stall = stall[i].Round(time.Millisecond).Seconds()
			t.object(o)
			continue
		}
		fmt.Fprintf(t.out, "%8.1fs  %-44s  %6.2fs\n", e.At.Seconds(), e, stall[i].Seconds())
	}
}

func describe(name string, e event, at float64) happened {
	o := happened{Event: name, At: at, Fault: e.Fault, Lasts: e.Lasts.Seconds()}
	if e.Fault != Hook {
		o.Replica = &e.Target
	}
	return o
}

func (t *teller) report(r Report) {
	if t.json {
		t.object(r)
		return
	}
	fmt.Fprintf(t.out, "\n%d records in, %d results and dead letters out, %d faults, seed %d\n", r.Records, r.Results+r.DeadLetters, r.Faults, r.Seed)
	fmt.Fprintf(t.out, "lost %d, doubled %d, out of order %d, misplaced %d, unknown %d; longest stall %.2f s\n",
		r.Lost, r.Doubled, r.OutOfOrder, r.Misplaced, r.Unknown, time.Duration(r.Longest).Seconds())
	for _, note := range r.Notes {
		fmt.Fprintln(t.out, "  "+note)
	}
	for _, note := range r.Processes {
		fmt.Fprintln(t.out, "  "+note)
	}
}

func (t *teller) object(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types always marshal
	}
	fmt.Fprintf(t.out, "%s\n", data)
}
