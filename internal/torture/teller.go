package torture

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"nearline/internal/tables"
)

// teller prints what happens as it happens: lines for people, or objects for programs.
type teller struct {
	json  bool
	began time.Time

	mu  sync.Mutex // guards out
	out io.Writer
}

// happened is one object of --json; the report is the last.
type happened struct {
	Event   string   `json:"event"`
	At      float64  `json:"at_seconds"`
	Fault   string   `json:"fault,omitempty"`
	Replica *int     `json:"replica,omitempty"`
	Lasts   float64  `json:"lasts_seconds,omitempty"`
	Stall   *Seconds `json:"stall_seconds,omitempty"`
	StallOf string   `json:"in_the_stall_of,omitempty"`
	Written *int64   `json:"written,omitempty"`
	Results *int64   `json:"results,omitempty"`
	Behind  *int64   `json:"behind,omitempty"`
	Text    string   `json:"text,omitempty"`
}

func (t *teller) at() float64 { return time.Since(t.began).Round(time.Millisecond).Seconds() }

// say tells lines, or objects with the line as their text.
func (t *teller) say(format string, args ...any) {
	t.tell(happened{Event: "note", At: t.at(), Text: fmt.Sprintf(format, args...)})
}

func (t *teller) tell(h happened) {
	if t.json {
		t.object(h)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%8.1fs  %s\n", h.At, h.Text)
}

func (t *teller) start(o Options) {
	end := "until " + grouped(int64(o.Records)) + " records are written"
	switch {
	case o.Records == 0:
		end = fmt.Sprintf("for %v", o.Lasts)
	case o.Lasts > 0:
		end += fmt.Sprintf(", or for %v", o.Lasts)
	}
	t.say("seed %d, %s: a fault every %v or so, %d replicas, %d partitions, up to %g records a second; logs in %s",
		o.Seed, end, o.Every, o.Replicas, o.Partitions, o.Rate, o.Folder)
}

func (t *teller) fault(e event) {
	h := describe("fault", e, t.at())
	h.Text = e.String()
	t.tell(h)
}

func (t *teller) progress(written, results, behind int64) {
	t.tell(happened{Event: "progress", At: t.at(), Written: &written, Results: &results, Behind: &behind,
		Text: fmt.Sprintf("    %s written, %s came out, %s behind", grouped(written), grouped(results), grouped(behind))})
}

func describe(name string, e event, at float64) happened {
	h := happened{Event: name, At: at, Fault: e.kind(), Lasts: e.Lasts.Seconds()}
	if _, hook := e.Fault.asked(); !hook && e.Fault != Refuse && words[e.Fault] == "" {
		h.Replica = &e.Target
	}
	return h
}

func (t *teller) report(r Report) {
	if t.json {
		for _, s := range r.stalls {
			h := describe("stall", s.event, s.event.At.Seconds())
			stall := Seconds(s.stall)
			h.Stall, h.Text = &stall, s.event.String()
			if s.of != nil {
				h.StallOf = s.of.String()
			}
			t.object(h)
		}
		t.object(r)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stalls(r.stalls)
	t.kinds(r.Kinds)
	fmt.Fprint(t.out, "\nA stall is a time in which some partition of the input had no result. It is the first fault's that struck in it, or\n"+
		"the last one's before it; what a fault costs that strikes in another one's stall is not known.\n\n")
	fmt.Fprintf(t.out, "%s records in, %s results and %s dead letters out, %d faults, seed %d\n",
		grouped(int64(r.Records)), grouped(int64(r.Results)), grouped(int64(r.DeadLetters)), r.Faults, r.Seed)
	if r.Refused > 0 {
		fmt.Fprintf(t.out, "%s of the dead letters are results that the output topic refused, as it was told to\n", grouped(int64(r.Refused)))
	}
	if r.Deaths > 0 {
		fmt.Fprintf(t.out, "%d times a replica ended by itself, and was started again\n", r.Deaths)
	}
	fmt.Fprintf(t.out, "lost %d, doubled %d, out of order %d, dead letters without a cause %d, misplaced %d, unknown %d; longest stall %.1f s\n",
		r.Lost, r.Doubled, r.OutOfOrder, r.Uncaused, r.Misplaced, r.Unknown, time.Duration(r.Longest).Seconds())
	if r.Aggregates > 0 {
		fmt.Fprintf(t.out, "features of %s items compared with what the input says: %d wrong\n", grouped(int64(r.Aggregates)), r.Miscounted)
	}
	for _, note := range slices.Concat(r.Notes, r.Failures) {
		fmt.Fprintln(t.out, "  "+note)
	}
}

// stalls that were seen, each with the fault that it is put down to.
func (t *teller) stalls(seen []faultStall) {
	if len(seen) == 0 {
		return
	}
	table := tables.New(2, "at", "stall", "fault")
	for _, s := range seen {
		stall := fmt.Sprintf("%.1fs", s.stall.Seconds())
		if s.of != nil {
			stall = fmt.Sprintf("(that of %.1fs)", s.of.At.Seconds())
		}
		table.Row(fmt.Sprintf("%.1fs", s.event.At.Seconds()), stall, s.event.String())
	}
	t.table(table)
}

// kinds of faults, and what they cost.
func (t *teller) kinds(all map[string]Kind) {
	if len(all) == 0 {
		return
	}
	table := tables.New(2, "fault", "count", "measured", "median stall", "longest")
	seconds := func(s Seconds) string { return fmt.Sprintf("%.1fs", time.Duration(s).Seconds()) }
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		k := all[kind]
		table.Row(kind, strconv.Itoa(k.Count), strconv.Itoa(k.Measured), seconds(k.Median), seconds(k.Longest))
	}
	t.table(table)
}

func (t *teller) table(table *tables.Table) {
	fmt.Fprintln(t.out)
	_ = table.Write(t.out) // which is printed to like that everywhere
}

func (t *teller) object(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types always marshal
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%s\n", data)
}

// grouped writes a number in groups of three digits.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
