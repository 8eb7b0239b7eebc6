// Package export makes training rows: label rows, each with what lookups would have answered at its time. It replays the updates that views were
// told of, by the views' own code, so that training and serving see the same values.
//
// An update counts for a row only if it is strictly earlier than the row: neither the row's own event nor anything later is seen.
//
// Memory: each row is held as text, with its values as text, some hundred bytes a view. Of the updates only those of the rows' keys that are earlier
// than the last row of their key are held, of one view and one partition at a time, as their bytes and 60 more. So memory
// grows with the rows, and with what their keys were told in one partition; more rows than fit are exported in several runs.
package export

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"nearline/features"
	"nearline/internal/committed"
	"nearline/kafka"
	"nearline/pipeline"
)

// Options of an export.
type Options struct {
	Connection kafka.Connection
	Views      []View
	// In has the rows, a JSON object a line. Nil means that Topic has them.
	In io.Reader
	// Topic has the rows as its records, from Since on and before Until by their timestamps, or by their own times where those are implausible, up to where
	// it ends at the beginning.
	Topic        string
	Since, Until time.Time
	By           By
	// SkipBad leaves out rows that cannot be read, and counts them. Without it the first one ends the export.
	SkipBad bool
	Out     io.Writer
	// Progress is called now and then. Nil means never.
	Progress func(Progress)
}

// View is a view whose values rows get, and where in the rows its key and their time are.
type View struct {
	*features.View
	// Updates is the topic of what the view was told.
	Updates string
	// As is the name of the values in the rows that are written.
	As  string
	Key string
	// Time is a path; "" is the record's timestamp.
	Time string
	// OrWritten says that a record without the time is of its timestamp, as it is for the view.
	OrWritten bool
}

// The names of what is written for a view.
func (v *View) names() []string { return []string{v.As, v.As + "_at", v.As + "_age_seconds"} }

// By says what makes an update earlier than a row.
type By uint8

const (
	// ByEvent compares the times of events: what lookups would have answered had every event come in at once.
	ByEvent By = iota
	// ByArrival compares when an event was written to its topic with the row's time: what lookups can have answered, late events or not.
	ByArrival
)

// Progress of an export.
type Progress struct {
	Rows    int   // that were read
	Updates int64 // that were read
	Written int   // rows
}

// every so many rows or updates there is a progress.
const every = 10_000

// Report says what an export did.
type Report struct {
	Rows int
	// Tombstones are records of the topic without a value, which are no rows.
	Tombstones int
	// Bad are the rows that were left out, the most frequent reason first.
	Bad   []Bad
	Views []ViewReport
}

// Bad are rows that were left out for one reason.
type Bad struct {
	What string
	Rows int
	// First of them.
	First *BadRow
}

// ViewReport says what an export found of one view.
type ViewReport struct {
	View    string
	Updates int64 // that were read
	Counted int64 // of them, for one row or more
	// Unreadable records are no updates of the view.
	Unreadable int64
	Keys       int // of the rows
	Unknown    int // rows that have the view's defaults
	// Cut says that retention has removed updates. What is left of every partition begins at Since, at the latest; that is zero where nothing is
	// left. Of the rows whose partition is cut, Blind ones are not later than where it begins, and Short ones are.
	Cut          bool
	Since        time.Time
	Blind, Short int
}

// BadRow is a row that cannot be read.
type BadRow struct {
	// Place is a line, or a record's coordinates.
	Place fmt.Stringer
	what  string // the same for all rows with the same trouble
	Err   error
}

func (b *BadRow) Error() string { return fmt.Sprintf("%v: %v", b.Place, b.Err) }

func (b *BadRow) Unwrap() error { return b.Err }

// Run an export. Nothing is written before all is known.
func Run(ctx context.Context, o Options) (Report, error) {
	reader, err := committed.NewReader(o.Connection, "nearline-export")
	if err != nil {
		return Report{}, err
	}
	defer reader.Close()
	e, err := newExport(o, reader)
	if err == nil {
		err = e.run(ctx)
	}
	e.report.Bad = slices.SortedFunc(maps.Values(e.bad), func(a, b Bad) int { return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.What, b.What)) })
	return e.report, err
}

// export is one run.
type export struct {
	Options
	reader   *committed.Reader
	rows     *rows
	texts    [][]byte // of the rows, in their order
	asked    []*asked // by view
	bad      map[string]Bad
	report   Report
	progress Progress
}

func newExport(o Options, reader *committed.Reader) (e *export, err error) {
	e = &export{Options: o, reader: reader, bad: make(map[string]Bad)}
	for i := range o.Views {
		e.asked = append(e.asked, &asked{view: &e.Views[i], keys: make(map[string]*history)})
	}
	e.rows, err = newRows(e.Views, o.In != nil)
	return e, err
}

func (e *export) run(ctx context.Context) error {
	if err := e.reader.Reach(ctx); err != nil {
		return err
	}
	if err := e.take(ctx); err != nil {
		return err
	}
	for _, asked := range e.asked {
		report, err := e.replay(ctx, asked)
		if err != nil {
			return err
		}
		e.report.Views = append(e.report.Views, report)
	}
	return e.write()
}

// take all rows.
func (e *export) take(ctx context.Context) error {
	each := func(l label) error {
		row, bad := e.rows.read(l)
		if bad != nil {
			return e.leaveOut(bad)
		}
		if l.unstamped && !e.wants(time.UnixMilli(slices.Max(row.times))) {
			return nil
		}
		if len(e.texts) == math.MaxInt32 {
			return fmt.Errorf("%v: more than %d rows: export them in several runs", l.place, math.MaxInt32)
		}
		for i, asked := range e.asked {
			asked.add(int32(len(e.texts)), row.keys[i], row.times[i]) //nolint:gosec // bounded above
		}
		e.texts = append(e.texts, row.text)
		if e.progress.Rows++; e.progress.Rows%every == 0 {
			e.show()
		}
		return nil
	}
	if e.In != nil {
		return eachLine(ctx, e.In, each)
	}
	tombstones, err := eachRecord(ctx, e.reader, e.Topic, e.Since, e.Until, each)
	e.report.Tombstones = tombstones
	return err
}

// wants says that rows of that time are asked for.
func (e *export) wants(t time.Time) bool {
	return !t.Before(e.Since) && (e.Until.IsZero() || t.Before(e.Until))
}

func (e *export) leaveOut(b *BadRow) error {
	if !e.SkipBad {
		return b
	}
	known := e.bad[b.what]
	if known.First == nil {
		known = Bad{What: b.what, First: b}
	}
	known.Rows++
	e.bad[b.what] = known
	return nil
}

func (e *export) show() {
	if e.Progress != nil {
		e.Progress(e.progress)
	}
}

// replay a view's updates for all rows.
func (e *export) replay(ctx context.Context, asked *asked) (ViewReport, error) {
	report := ViewReport{View: asked.view.Name(), Keys: len(asked.keys)}
	asked.begin(len(e.texts))
	parts, err := e.reader.Parts(ctx, asked.view.Updates, time.Time{})
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return report, fmt.Errorf("view %s: %w: the service makes the topic when it first runs with the view; is this its configuration?", report.View, err)
	case err != nil:
		return report, fmt.Errorf("view %s: %w", report.View, err)
	}
	begins := make(map[int32]int64) // of partitions that retention has cut
	for _, part := range parts {
		asked.first = math.MaxInt64
		err := e.reader.Scan(ctx, part, func(r *pipeline.Record) error {
			report.Updates++
			if e.progress.Updates++; e.progress.Updates%every == 0 {
				e.show()
			}
			return e.hear(asked, r, &report)
		})
		if err == nil {
			var counted int64
			counted, err = asked.answerPartition(part.Partition)
			report.Counted += counted
		}
		if err != nil {
			return report, err
		}
		if part.From > 0 {
			begins[part.Partition] = asked.first
		}
	}
	asked.answerRest()
	report.Unknown = asked.unknown
	asked.judge(begins, len(parts), &report)
	return report, nil
}

// hear of an update, of which what the rows need is kept.
func (e *export) hear(asked *asked, r *pipeline.Record, report *ViewReport) error {
	h := asked.keys[string(r.Key)]
	// What is forgotten by arrival depends on the times of all keys of the partition.
	timed := e.By == ByArrival && asked.view.Expires()
	if h == nil && !timed && asked.first < math.MaxInt64 {
		return nil
	}
	update, fault := asked.view.DecodeUpdate(r)
	if verdict := r.Verdict.Fault(); verdict != nil {
		fault = verdict
	}
	if fault != nil {
		if h != nil {
			report.Unreadable++
		}
		return nil // a dead letter online, which counts nowhere
	}
	at := e.when(update, r)
	if asked.first == math.MaxInt64 {
		asked.first = at
	}
	if timed {
		asked.now = max(asked.now, update.At)
	}
	if h == nil {
		return nil
	}
	if h.partition != r.Partition && h.partition != nowhere {
		return fmt.Errorf("key %q of view %s has updates in partitions %d and %d of %s: somebody has changed how many there are, or writes there",
			r.Key, asked.view.Name(), h.partition, r.Partition, r.Topic)
	}
	h.partition = r.Partition
	asked.hear(h, told{at: at, value: r.Value, now: asked.now})
	return nil
}

// when an update was, in milliseconds since 1970.
func (e *export) when(u *features.Update, r *pipeline.Record) int64 {
	switch {
	case e.By == ByArrival && pipeline.Plausible(r.Timestamp):
		return r.Timestamp.UnixMilli()
	case e.By == ByArrival: // an older build wrote it
		return u.At
	case e.In == nil && !u.Alone: // or else such a row has the time that its event claims, too
		return u.At
	default:
		// Lines have the time that their events have, be it later than they were written; a row must not see its own event for that.
		return max(u.At, u.Said)
	}
}

func (e *export) write() error {
	out := bufio.NewWriterSize(e.Out, 256<<10)
	for i, text := range e.texts {
		// bufio keeps the error for Flush.
		_, _ = out.Write(text)
		for _, asked := range e.asked {
			_ = out.WriteByte(',')
			_, _ = out.Write(asked.answers[i])
		}
		_, _ = out.WriteString("}\n")
		e.report.Rows++
		if e.progress.Written++; e.progress.Written%every == 0 {
			e.show()
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the rows: %w", err)
	}
	return nil
}
