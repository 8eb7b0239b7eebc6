//go:build !nocloud

package bigtable

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigtable"

	"nearline/features"
)

// Families of the table: what remembers a deleted key is of another than features, since a family is what Bigtable has a rule for, of when to
// remove what is in it.
const (
	valueFamily   = "features"
	deletedFamily = "deleted"
)

// Columns that are not features: no feature's name has an @.
const (
	atColumn      = "@at" // in milliseconds since 1970; a row without it is no entry
	versionColumn = "@version"
	nameColumn    = "@filling"
	jobColumn     = "@job"
)

const (
	// maxKey is how many bytes a row's key may have.
	maxKey = 4096
	// maxValue is how many bytes a cell may have, and all of one change together: Bigtable takes 100 MB, and 200 MB.
	maxValue = 90 << 20
	// maxAsked is how many bytes the keys of one request may have together. It is a guess on the safe side of what Bigtable takes.
	maxAsked = 256 << 10
)

// rowKey of an entry. No view's name has a # or an @.
func rowKey(view, key string) string { return view + "#" + key }

// unfit says why no row may have the entry; nil is that one may.
func unfit(e *features.Entry) error {
	if k := rowKey(e.View, e.Key); len(k) > maxKey {
		return fmt.Errorf("the row's key would have %d bytes: Bigtable takes at most %d", len(k), maxKey)
	}
	size := 0
	for _, f := range e.Values {
		size += len(features.FormatValue(f.Value))
	}
	if size > maxValue {
		return fmt.Errorf("the values have %d bytes: a row has room for %d", size, maxValue)
	}
	return nil
}

// versionOf an entry is LENGTH:SOURCE@OFFSET, with twenty digits of offset: of the same source, the younger one is the larger text, and no
// version of another source is between two of one, whatever sources are called.
func versionOf(e *features.Entry) []byte {
	return fmt.Appendf(nil, "%d:%s@%020d", len(e.Source), e.Source, e.Offset)
}

// asYoung passes something of a row that has an entry of the same source, as young as e or younger.
func asYoung(e *features.Entry) bigtable.Filter {
	return bigtable.ChainFilters(
		bigtable.ColumnFilter(versionColumn),
		bigtable.LatestNFilter(1),
		bigtable.ValueRangeFilter(versionOf(e), fmt.Appendf(nil, "%d:%s@~", len(e.Source), e.Source)),
	)
}

// replacement of all that a row has, by what is put now.
func replacement(e *features.Entry, now time.Time) *bigtable.Mutation {
	at := bigtable.Time(now).TruncateToMilliseconds()
	if e.ForGood {
		at = forever
	}
	m := bigtable.NewMutation()
	m.DeleteRow()
	if e.Deleted {
		m.Set(deletedFamily, versionColumn, at, versionOf(e))
		return m
	}
	m.Set(valueFamily, versionColumn, at, versionOf(e))
	m.Set(valueFamily, atColumn, at, strconv.AppendInt(nil, e.At, 10))
	for _, f := range e.Values {
		m.Set(valueFamily, f.Name, at, []byte(features.FormatValue(f.Value)))
	}
	return m
}

// seen are the cells of a row that a lookup wants.
func (s *Store) seen(now time.Time) bigtable.Filter {
	filters := []bigtable.Filter{bigtable.FamilyFilter(valueFamily), bigtable.LatestNFilter(1)}
	if s.config.TTL > 0 {
		filters = append(filters, bigtable.TimestampRangeFilter(now.Add(-s.config.TTL), time.Time{}))
	}
	return bigtable.ChainFilters(filters...)
}

// textsOf a row, by their columns.
func textsOf(row bigtable.Row) map[string]string {
	texts := make(map[string]string, len(row[valueFamily]))
	for _, cell := range row[valueFamily] {
		texts[strings.TrimPrefix(cell.Column, valueFamily+":")] = string(cell.Value)
	}
	return texts
}

// entryOf a row's texts, nil where it has none.
// A feature that cannot be read is told of, and has its default: it was declared otherwise, or somebody else wrote it.
func (s *Store) entryOf(view *features.View, names []string, key string, texts map[string]string) *features.Entry {
	e := view.Stored(key, texts[atColumn], func(i int) (string, bool) {
		text, there := texts[names[i]]
		return text, there
	}, func(name string, err error) {
		s.strange.Unread("Bigtable", view.Name(), rowKey(view.Name(), key), name, err)
	})
	if e != nil && e.Bad != nil {
		s.strange.Foreign("Bigtable", view.Name(), rowKey(view.Name(), key), features.ForeignFound, e.Bad)
	}
	return e
}
