package features

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nearline/pipeline"
)

// Into is a step that puts a list of a result into a view that others fill, by the row's key: what a daily job has computed for everybody.
type Into struct {
	view   *View
	store  Store
	key    source
	column string
	field  int
	began  int64
	rows   int64
}

var _ pipeline.Step = (*Into)(nil)

// NewInto makes the step. Column is that of a ranking, or of a list of texts, which becomes the view's field; the view has no other, since an entry is put whole.
// reads is what earlier steps want the decoder to read, and is returned with the view's key added. Not safe for concurrent use.
func NewInto(view *View, store Store, field, column string, columns []pipeline.Field, reads []string) (*Into, []string, error) {
	into := &Into{view: view, store: store, column: column, field: slices.Index(view.Fields(), field), began: time.Now().UnixNano()}
	switch {
	case !view.OfStore():
		return nil, nil, fmt.Errorf("view %s is filled by its topic: want one with source: %s", view.name, SourceStore)
	case into.field < 0 || !view.listsTexts(into.field) || len(view.fields) != 1:
		return nil, nil, fmt.Errorf("%s.%s: want a view with one field, of type: %s, as an entry is put whole; view %s has %s",
			view.name, field, TypeTexts, view.name, strings.Join(view.Fields(), ", "))
	}
	names := fieldNames(columns)
	if !slices.Contains(names, column) {
		return nil, nil, fmt.Errorf("results have no column %s: want one of %s", column, strings.Join(names, ", "))
	}
	into.key, reads = find(view.key, names, reads)
	return into, reads, nil
}

// Name of the step.
func (i *Into) Name() string { return "put into " + i.view.name }

// Run puts the lists of all rows without a fault. A row without a key gets one.
func (i *Into) Run(ctx context.Context, rows []*pipeline.Row) error {
	var entries []Entry
	now := time.Now().UnixMilli()
	for _, row := range rows {
		if row.Fault != nil {
			continue
		}
		key, err := i.view.KeyOf(i.key.value(row), i.key.path)
		if err == nil && key == "" {
			err = fmt.Errorf("there is no %s, the key of view %s", i.key.path, i.view.name)
		}
		texts, listErr := textsOf((&source{column: i.column, read: -1}).value(row))
		if err = errors.Join(err, listErr); err != nil {
			row.Fault = pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageAggregate, "%v", err)
			continue
		}
		i.rows++
		entries = append(entries, Entry{
			View: i.view.name, Key: key, At: now, Source: "bulk", Offset: i.began + i.rows, // the last of a key counts, and a later job before an earlier one
			Values: []pipeline.Field{{Name: i.view.fields[i.field].name, Value: listValue(texts, pipeline.StringValue)}},
		})
	}
	if len(entries) == 0 {
		return nil
	}
	// The last of each key: a store takes each key of a call once.
	last := map[string]int{}
	for n, e := range entries {
		last[e.Key] = n
	}
	kept := entries[:0]
	for n, e := range entries {
		if last[e.Key] == n {
			kept = append(kept, e)
		}
	}
	if _, err := i.store.Put(ctx, kept); err != nil {
		return fmt.Errorf("put %d lists into view %s: %w", len(kept), i.view.name, err)
	}
	return nil
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
		if id, ok := entry.Lookup(CandidateID); ok {
			entry = id
		}
		text, ok := textOf(entry)
		if !ok {
			return nil, errors.New("the result's list has neither texts nor items")
		}
		texts[i] = text
	}
	return texts, nil
}
