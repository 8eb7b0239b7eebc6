package torture

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// aReport has one of everything.
func aReport() Report {
	kill := event{At: 4 * time.Second, Fault: Kill, Target: 1, Lasts: time.Second}
	cut := event{At: 9500 * time.Millisecond, Fault: Hook, Lasts: 2 * time.Second, Made: "cut kafka-2"}
	freeze := event{At: 5 * time.Second, Fault: Freeze, Target: 0, Lasts: time.Second}
	stalls := []faultStall{{kill, 6400 * time.Millisecond, nil}, {freeze, 0, &kill}, {cut, time.Second, nil}}
	return Report{
		Counts:  Counts{Records: 1234567, Results: 1234000, DeadLetters: 567},
		Faults:  3,
		Seed:    7,
		Longest: Seconds(6400 * time.Millisecond),
		Written: 1234567,
		Kinds:   summarize(stalls),
		stalls:  stalls,
	}
}

func TestReportSaysWhatWasFound(t *testing.T) {
	var out bytes.Buffer
	r := aReport()
	r.Notes, r.Failures = []string{"input [0]@1 has no effect"}, []string{"replica-0 ended by itself"}
	(&teller{out: &out}).report(r)
	for _, want := range []string{
		"4.0s  6.4s            kill replica 1 for 1s\n", "9.5s  1.0s            cut kafka-2 for 2s\n", // the schedule
		"5.0s  (that of 4.0s)  freeze replica 0 for 1s\n",
		"freeze  1      0         0.0s          0.0s\n", "kill    1      1         6.4s          6.4s\n", // the kinds
		"1,234,567 records in, 1,234,000 results and 567 dead letters out, 3 faults, seed 7\n",
		"lost 0, doubled 0, out of order 0, dead letters without a cause 0, misplaced 0, unknown 0; longest stall 6.4 s\n",
		"  input [0]@1 has no effect\n  replica-0 ended by itself\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
}

func TestLastLineOfJSONIsTheResult(t *testing.T) {
	var out bytes.Buffer
	teller := &teller{out: &out, json: true, began: time.Now()}
	teller.start(Options{Seed: 7, Records: 10})
	teller.fault(event{Fault: Kill, Target: 1, Lasts: time.Second})
	teller.progress(10, 5, 5)
	teller.report(aReport())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("not an object: %s", line)
		}
	}
	var last struct {
		Records      *int     `json:"records"`
		Faults       *int     `json:"faults"`
		Lost         *int     `json:"lost"`
		Doubled      *int     `json:"doubled"`
		OutOfOrder   *int     `json:"out_of_order"`
		Seed         *int     `json:"seed"`
		LongestStall *float64 `json:"longest_stall_seconds"`
		Stalls       map[string]struct {
			Count   int     `json:"count"`
			Median  float64 `json:"median_seconds"`
			Longest float64 `json:"longest_seconds"`
		} `json:"stalls"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if last.Records == nil || last.Faults == nil || last.Lost == nil || last.Doubled == nil || last.OutOfOrder == nil || last.Seed == nil ||
		last.LongestStall == nil || *last.LongestStall != 6.4 || *last.Records != 1234567 {
		t.Errorf("the last line lacks what it promises: %s", lines[len(lines)-1])
	}
	if k := last.Stalls["kill"]; k.Count != 1 || k.Median != 6.4 || k.Longest != 6.4 {
		t.Errorf("stalls at kills are %+v, want one of 6.4 s", k)
	}
}

func TestReportIsAnErrorWhereSomethingIsWrong(t *testing.T) {
	if err := aReport().Err(); err != nil {
		t.Errorf("all is well, and it says %v", err)
	}
	for want, spoil := range map[string]func(*Report){
		"no record was written":       func(r *Report) { r.Records = 0 },
		"1 lost":                      func(r *Report) { r.Lost = 1 },
		"2 dead letters without":      func(r *Report) { r.Uncaused = 2 },
		"3 records are uncommitted":   func(r *Report) { r.Unread = 3 },
		"are not in the input":        func(r *Report) { r.Written++ },
		"replica-0 ended by itself":   func(r *Report) { r.Failures = []string{"replica-0 ended by itself"} },
		"hook, fault 3 (cut): exit 1": func(r *Report) { r.Failures = []string{"hook, fault 3 (cut): exit 1"} },
	} {
		r := aReport()
		spoil(&r)
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
