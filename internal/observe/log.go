package observe

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/term"
)

// RepeatPeriod is how long a fault that was logged stays quiet while it repeats. A guess: long enough to read the log
// by eye during an outage, short enough to see that it is still going on.
const RepeatPeriod = 10 * time.Second

// NewLogger logs to w: as text when w, or the file that its Fd tells of, is a terminal, and as one JSON object a line
// otherwise. Faults that repeat are held back for RepeatPeriod; Flush of the damper, at the end of the process, tells what is
// still held back.
func NewLogger(w io.Writer, level slog.Leveler) (*slog.Logger, *Damper) {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if file, ok := w.(interface{ Fd() uintptr }); ok && term.IsTerminal(int(file.Fd())) { //nolint:gosec // a descriptor is small
		handler = slog.NewTextHandler(w, options)
	}
	damper := Dampen(handler, RepeatPeriod)
	return slog.New(damper), damper
}

// readable durations, which JSON would have in nanoseconds, and texts that do nothing to a terminal.
func readable(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().String())
	case slog.KindString:
		a.Value = slog.StringValue(Printable(a.Value.String()))
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.AnyValue(PrintableError(err))
		}
	}
	return a
}

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	var level slog.Level
	switch strings.ToLower(s) {
	case "debug", "info", "warn", "error":
		err := level.UnmarshalText([]byte(s))
		return level, err
	}
	return level, fmt.Errorf("%q is not a log level: want debug, info, warn or error", s)
}
