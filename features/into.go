package features

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nearline/pipeline"
)

// Into is a step that puts a list of a result into a view that others fill, by the row's key: what a daily job has computed for everybody.
//
// Of a key's lists the last one counts: of a job that on the last line, and of several jobs that of the job which began last. So a list's place in the order is
// the job's number, which the store gives, and the line's. Clocks do not agree, and lines are scored several at a time.
type Into struct {
	view   *View
	store  Store
	key    pipeline.Path
	column pipeline.Path
	field  int

	mu  sync.Mutex // guards job
	job int64      // 0 before it has a number

	lists, refused atomic.Int64
}

var _ pipeline.Ordered = (*Into)(nil)

// ofJobs is the source of lists that jobs put. Earlier releases numbered theirs by the clock, under another name: the lists of a job take their place.
const ofJobs = "job"

// lineBits are those of a line's number; those above are the job's.
const lineBits = 63 - jobBits

// NewInto makes the step. Column is that of a ranking, or of a list of texts, which becomes the view's field; the view has no other, since an entry is put whole.
// reads is what earlier steps want the decoder to read, and is returned with the view's key added.
func NewInto(view *View, store Store, field, column string, columns []pipeline.Field, reads []string) (*Into, []string, error) {
	into := &Into{view: view, store: store, field: slices.Index(view.Fields(), field)}
	switch {
	case !view.OfStore():
		return nil, nil, fmt.Errorf("view %s is filled by its topic: want one with source: %s", view.name, SourceStore)
	case into.field < 0 || !view.ListsTexts(into.field) || len(view.fields) != 1:
		return nil, nil, fmt.Errorf("%s.%s: want a view with one field, of type: %s, as an entry is put whole; view %s has %s",
			view.name, field, TypeTexts, view.name, strings.Join(view.Fields(), ", "))
	}
	names := pipeline.FieldNames(columns)
	if !slices.Contains(names, column) {
		return nil, nil, fmt.Errorf("results have no column %s: want one of %s", column, strings.Join(names, ", "))
	}
	into.column = pipeline.ColumnPath(column)
	into.key, reads = pipeline.FindPath(view.key, names, reads)
	return into, reads, nil
}

// Name of the step.
func (i *Into) Name() string { return "put into " + i.view.name }

// Ordered says that rows come in their order, so that what is refused is older than another job's list, and not than a later line's.
func (i *Into) Ordered() {}

// Begin the job: its lists come after those of all jobs that began before. Run does it otherwise.
func (i *Into) Begin(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.job > 0 {
		return nil
	}
	var err error
	i.job, err = i.store.Job(ctx, i.view.name)
	return err
}

// Lists is how many lists were put, and how many of these the store refused, since it has those of a job that began later.
func (i *Into) Lists() (put, refused int64) { return i.lists.Load(), i.refused.Load() }

// Run puts the lists of all rows without a fault. A row without a key gets one, and so does one whose list the store cannot take. Rows are lines of a file: their
// records' offsets are the lines' numbers.
func (i *Into) Run(ctx context.Context, rows []*pipeline.Row) error {
	if err := i.Begin(ctx); err != nil {
		return err
	}
	var entries []Entry
	var of []*pipeline.Row
	now := time.Now().UnixMilli()
	for _, row := range rows {
		if row.Fault != nil {
			continue
		}
		if row.Record.Offset < 0 || row.Record.Offset >= 1<<lineBits {
			return fmt.Errorf("line %d: a job has at most %d lines, split the file", row.Record.Offset, int64(1)<<lineBits)
		}
		key, err := i.view.KeyOf(i.key.Value(row), i.key.String())
		if err == nil && key == "" {
			err = fmt.Errorf("there is no %s, the key of view %s", &i.key, i.view.name)
		}
		texts, listErr := textsOf(i.column.Value(row))
		if err = errors.Join(err, listErr); err != nil {
			row.Fault = pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageAggregate, "%v", err)
			continue
		}
		of = append(of, row)
		entries = append(entries, Entry{
			View: i.view.name, Key: key, At: now, Source: ofJobs, Offset: i.job<<lineBits | row.Record.Offset, Others: true,
			Values: []pipeline.Field{{Name: i.view.fields[i.field].name, Value: listValue(texts, pipeline.StringValue)}},
		})
	}
	for len(entries) > 0 {
		var err error
		if entries, of, err = i.put(ctx, entries, of); err != nil {
			return err
		}
	}
	return nil
}

// put the last entry of each key, and say whose turn it is then: the entries of keys whose last one the store refuses for its own sake.
func (i *Into) put(ctx context.Context, entries []Entry, of []*pipeline.Row) ([]Entry, []*pipeline.Row, error) {
	last := map[string]int{}
	for n := range entries {
		last[entries[n].Key] = n
	}
	places := slices.Sorted(maps.Values(last))
	lists := make([]Entry, len(places))
	for n, place := range places {
		lists[n] = entries[place]
	}
	outcome, err := i.store.Put(ctx, lists)
	if err != nil {
		return nil, nil, fmt.Errorf("put %d lists into view %s: %w", len(lists), i.view.name, err)
	}
	i.lists.Add(int64(len(lists) - len(outcome.Unfit)))
	i.refused.Add(int64(outcome.Newer))
	again := map[string]bool{}
	for _, unfit := range outcome.Unfit {
		place := places[unfit.Place]
		of[place].Fault = pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageAggregate, "view %s cannot have the list: %v", i.view.name, unfit.Err)
		again[entries[place].Key] = true
	}
	var left []Entry
	var rows []*pipeline.Row
	for n := range entries {
		if again[entries[n].Key] && of[n].Fault == nil {
			left, rows = append(left, entries[n]), append(rows, of[n])
		}
	}
	return left, rows, nil
}

// textsOf a list of texts, or of a ranking's items.
func textsOf(v pipeline.Value) ([]string, error) {
	switch v.Kind {
	case pipeline.List, pipeline.Strings, pipeline.Table:
	default:
		return nil, errors.New("the result has no list")
	}
	texts := make([]string, v.Len())
	for i := range texts {
		entry := v.At(i)
		if id, ok := entry.Lookup(pipeline.CandidateID); ok {
			entry = id
		}
		text, ok := entry.Text()
		if !ok {
			return nil, errors.New("the result's list has neither texts nor items")
		}
		texts[i] = text
	}
	return texts, nil
}
