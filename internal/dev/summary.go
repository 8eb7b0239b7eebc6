package dev

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Summary is what a run came to.
type Summary struct {
	Scored int64
	Labels map[string]int64
	// Agreement with the stars of those who gave some, in a line; "" where nobody did.
	Agreement   string
	Tombstones  int64
	DeadLetters map[string]int64 // by class
	Duration    time.Duration
	// Rate is effects a second, from the first to the last of them.
	Rate float64
	// Live is of results as events came, Backlog of those that came while a backlog was worked off.
	Live, Backlog Latency
}

// Latency of the last 65,536 results whose input was seen; Measured says how many there were.
type Latency struct {
	Median, P99 time.Duration
	Measured    int
}

func latencyOf(took []time.Duration) Latency {
	l := Latency{Measured: len(took)}
	l.Median, l.P99, _ = percentiles(slices.Clone(took))
	return l
}

// Summary of everything so far.
func (b *Board) Summary(now time.Time) Summary {
	s := Summary{Scored: b.scored, Labels: b.labels, Agreement: b.agreement.line(plainly), Tombstones: b.tombstones, DeadLetters: b.dead, Duration: now.Sub(b.begin)}
	s.Live, s.Backlog = latencyOf(b.live.kept), latencyOf(b.late.kept)
	s.Rate = b.average()
	return s
}

func plainly(s ...string) string { return strings.Join(s, " ") }

// Write prints the summary, a few lines for a person.
func (s Summary) Write(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s reviews scored in %s", thousands(s.Scored), s.Duration.Round(100*time.Millisecond))
	if s.Rate > 0 {
		fmt.Fprintf(&out, " (%.0f/s)", s.Rate)
	}
	fmt.Fprintf(&out, "%s\ndead letters: %s%s\n", counts(s.Labels, ": ", ""), thousands(sum(s.DeadLetters)), counts(s.DeadLetters, " (", ")"))
	if s.Agreement != "" {
		fmt.Fprintln(&out, s.Agreement)
	}
	if s.Tombstones > 0 {
		fmt.Fprintf(&out, "tombstones passed on: %s\n", thousands(s.Tombstones))
	}
	if s.Live.Measured > 0 {
		fmt.Fprintf(&out, "latency from the input's timestamp to the committed result: median %s, 99th percentile %s\n", short(s.Live.Median), short(s.Live.P99))
	}
	if s.Backlog.Measured > 0 {
		fmt.Fprintf(&out, "%s results of a backlog had waited: median %s, 99th percentile %s\n", thousands(int64(s.Backlog.Measured)), short(s.Backlog.Median), short(s.Backlog.P99))
	}
	_, err := io.WriteString(w, out.String())
	return err
}
