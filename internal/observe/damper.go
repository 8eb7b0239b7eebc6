package observe

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// maxWindows bounds the faults that are told apart at a time. Beyond it new faults are logged undamped: a guess,
// thousands of times the number of different messages in this repository.
const maxWindows = 4096

// Damper is a slog.Handler that does not repeat a fault a thousand times a second.
//
// The first record of a fault is logged at once. From then on the same fault is counted and held back, and at the end
// of each period its last record is logged with two attributes more, repeated (how many were held back) and period.
// A period without a repetition ends it, so the next one is logged at once again.
//
// Two records are the same fault when level, message, the logger's own attributes and the "error" attribute agree,
// numbers in message and error apart: offsets, ports and attempt counters do not make a new fault. Records below
// slog.LevelWarn are no faults and pass.
//
// The alternative, a rate limit per second, hides rare faults behind frequent ones, and says nothing about how many
// there were.
type Damper struct {
	next   slog.Handler
	scope  string // attributes and groups of the logger, as a part of the fault's identity
	faults *faults
}

// faults is shared by a Damper and all that were derived from it.
type faults struct {
	period time.Duration

	mu      sync.Mutex // guards windows, and the fields of each
	windows map[string]*window
}

// window is one fault that was logged less than a period ago.
type window struct {
	timer *time.Timer
	// held counts the records held back in this period; last is the latest of them, and next where it belongs.
	held int
	last slog.Record
	next slog.Handler
}

// Dampen puts a Damper before next.
func Dampen(next slog.Handler, period time.Duration) *Damper {
	return &Damper{next: next, faults: &faults{period: period, windows: map[string]*window{}}}
}

// Enabled reports what the next handler reports.
func (d *Damper) Enabled(ctx context.Context, level slog.Level) bool {
	return d.next.Enabled(ctx, level)
}

// WithAttrs derives a handler that shares the memory of what was logged.
func (d *Damper) WithAttrs(attrs []slog.Attr) slog.Handler {
	var scope strings.Builder
	scope.WriteString(d.scope)
	for _, a := range attrs {
		scope.WriteByte(0)
		scope.WriteString(a.String())
	}
	return &Damper{next: d.next.WithAttrs(attrs), scope: scope.String(), faults: d.faults}
}

// WithGroup derives a handler that shares the memory of what was logged.
func (d *Damper) WithGroup(name string) slog.Handler {
	return &Damper{next: d.next.WithGroup(name), scope: d.scope + "\x00" + name, faults: d.faults}
}

// Handle logs the record, or counts it.
func (d *Damper) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= slog.LevelWarn {
		if held := d.faults.hold(d.identity(record), record, d.next); held {
			return nil
		}
	}
	return d.next.Handle(ctx, record)
}

// Flush logs at once what is held back, and forgets all faults.
func (d *Damper) Flush() {
	d.faults.mu.Lock()
	windows := d.faults.windows
	d.faults.windows = map[string]*window{}
	d.faults.mu.Unlock()
	for _, w := range windows {
		w.timer.Stop()
		// Nobody else reaches the window any more: its timer's function looks it up first.
		if w.held > 0 {
			d.faults.summarise(w.next, w.last, w.held)
		}
	}
}

// hold says whether the record repeats a fault and was counted; otherwise it is to be logged, and opens a window.
func (f *faults) hold(id string, record slog.Record, next slog.Handler) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w, ok := f.windows[id]; ok {
		w.held++
		w.last, w.next = record.Clone(), next
		return true
	}
	if len(f.windows) >= maxWindows {
		return false
	}
	w := &window{}
	w.timer = time.AfterFunc(f.period, func() { f.endPeriod(id, w) })
	f.windows[id] = w
	return false
}

// endPeriod tells what was held back and begins the next period, or forgets the fault when there was nothing.
func (f *faults) endPeriod(id string, w *window) {
	f.mu.Lock()
	if f.windows[id] != w {
		f.mu.Unlock()
		return
	}
	held, last, next := w.held, w.last, w.next
	if held == 0 {
		delete(f.windows, id)
	} else {
		w.held = 0
		w.timer.Reset(f.period)
	}
	f.mu.Unlock()
	if held > 0 {
		f.summarise(next, last, held)
	}
}

func (f *faults) summarise(next slog.Handler, record slog.Record, held int) {
	record.AddAttrs(slog.Int("repeated", held), slog.String("period", f.period.String()))
	// A log that cannot be written has nowhere to say so.
	_ = next.Handle(context.Background(), record)
}

// identity is the same for two records of the same fault.
func (d *Damper) identity(record slog.Record) string {
	var b strings.Builder
	b.WriteString(record.Level.String())
	b.WriteByte(0)
	writeWithoutDigits(&b, record.Message)
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" {
			b.WriteByte(0)
			writeWithoutDigits(&b, a.Value.String())
		}
		return true
	})
	b.WriteString(d.scope)
	return b.String()
}

// writeWithoutDigits writes s with each run of digits as one '#'.
func writeWithoutDigits(b *strings.Builder, s string) {
	inNumber := false
	for _, r := range s {
		digit := r >= '0' && r <= '9'
		switch {
		case !digit:
			b.WriteRune(r)
		case !inNumber:
			b.WriteByte('#')
		}
		inNumber = digit
	}
}
