package redis

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"nearline/features"
	"nearline/pipeline"
)

// reader of one view's hashes, for one call.
type reader struct {
	view  *features.View
	names []string
	// want is HMGET, a place for the key, the view's fields, @at and @deleted.
	want     []any
	defaults []pipeline.Field // once a field is missing
}

func newReader(view *features.View) *reader {
	r := &reader{view: view, names: view.Fields()}
	r.want = append(make([]any, 0, len(r.names)+4), "hmget", nil)
	for _, name := range r.names {
		r.want = append(r.want, name)
	}
	r.want = append(r.want, atField, deletedField)
	return r
}

func (r *reader) command(key string) []any {
	command := slices.Clone(r.want)
	command[1] = key
	return command
}

// entry that the server's texts are of, nil where it has none.
// A feature that cannot be read is told of, and has its default: it was declared otherwise, or somebody else wrote it.
func (r *reader) entry(key string, texts []any, unread func(view, key, name string, err error)) (*features.Entry, error) {
	n := len(r.names)
	if len(texts) != n+2 {
		return nil, fmt.Errorf("the server answers with %d fields: want %d", len(texts), n+2)
	}
	e := &features.Entry{View: r.view.Name(), Key: key, Values: make([]pipeline.Field, n)}
	var err error
	switch at, ok := texts[n].(string); {
	case texts[n+1] != nil:
		return nil, nil
	case ok:
		if e.At, err = strconv.ParseInt(at, 10, 64); err != nil || time.UnixMilli(e.At).Year() > 9999 {
			return nil, fmt.Errorf("field %s is %q: want milliseconds since 1970", atField, at)
		}
	case r.view.OfStore() && slices.ContainsFunc(texts[:n], func(text any) bool { return text != nil }):
		e.At = time.Now().UnixMilli() // who fills it need not say
	default:
		return nil, nil
	}
	for i, name := range r.names {
		e.Values[i].Name = name
		text, ok := texts[i].(string)
		if ok {
			if e.Values[i].Value, err = r.view.Parse(i, text); err == nil {
				continue
			}
			unread(r.view.Name(), key, name, err)
		}
		e.Values[i].Value = r.fallback(i)
	}
	return e, nil
}

func (r *reader) fallback(i int) pipeline.Value {
	if r.defaults == nil {
		r.defaults = r.view.Defaults()
	}
	return r.defaults[i].Value
}
