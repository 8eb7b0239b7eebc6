package redis

import (
	"fmt"
	"slices"

	"nearline/features"
)

// reader of one view's hashes, for one call.
type reader struct {
	view  *features.View
	names []string
	// want is HMGET, a place for the key, the view's fields, @at and @deleted.
	want []any
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
func (r *reader) entry(key string, texts []any, unread func(view, key, name string, err error)) (*features.Entry, error) {
	n := len(r.names)
	if len(texts) != n+2 {
		return nil, fmt.Errorf("the server answers with %d fields: want %d", len(texts), n+2)
	}
	if texts[n+1] != nil {
		return nil, nil
	}
	at, _ := texts[n].(string)
	return r.view.Stored(key, at, func(i int) (string, bool) {
		text, ok := texts[i].(string)
		return text, ok
	}, func(name string, err error) { unread(r.view.Name(), key, name, err) }), nil
}
