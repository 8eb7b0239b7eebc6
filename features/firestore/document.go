//go:build !nocloud

package firestore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nearline/features"
	"nearline/pipeline"
)

// Fields of a document that are not features: no feature's name has an @.
const (
	keyField     = "@key" // only where the document's id is not the key's
	atField      = "@at"  // in milliseconds since 1970; a document without it is no entry
	sourceField  = "@source"
	offsetField  = "@offset"
	deletedField = "@deleted" // only beside source and offset
	expiresField = "@expires" // when Firestore may remove the document
	nameField    = "@filling"
	jobField     = "@job"
)

const (
	// maxID is how many bytes the id of a document may have.
	maxID = 1500
	// maxDocument is how many bytes the values of a document may have together. Firestore takes documents of 1 MiB, all names counted too.
	maxDocument = 1_000_000
)

// idOf a key is the key where Firestore takes it. What it does not, and the percent sign, is as in URLs; the empty key is a percent sign, and one that
// would be too long is %: and its SHA-256. No two keys have one id.
func idOf(key string) string {
	if key == "" {
		return "%"
	}
	var id strings.Builder
	// Ids that Firestore keeps to itself.
	reserved := key == "." || key == ".." || strings.HasPrefix(key, "__") && strings.HasSuffix(key, "__")
	for i, r := range key {
		switch size := utf8.RuneLen(r); {
		case r == utf8.RuneError && !strings.HasPrefix(key[i:], "\uFFFD"), r < ' ', r == 0x7f, r == '/', r == '%', reserved && i == 0:
			fmt.Fprintf(&id, "%%%02X", key[i])
		default:
			id.WriteString(key[i : i+size])
		}
	}
	if id.Len() > maxID {
		sum := sha256.Sum256([]byte(key))
		return "%:" + hex.EncodeToString(sum[:])
	}
	return id.String()
}

type fields = map[string]*firestorepb.Value

// fieldsOf an entry that is put now. Numbers are numbers for whoever else reads the database. A list is its JSON as text rather than a list of
// Firestore's, of which each element would be in an index of its own, and which is read by other code than that of the other stores.
// An error is the entry's own.
func (s *Store) fieldsOf(e *features.Entry, now time.Time) (fields, error) {
	kept := s.config.TTL
	switch {
	case e.Deleted:
		kept = features.DeletedFor
	case e.ForGood:
		kept = 0
	}
	of := fields{sourceField: text(e.Source), offsetField: integer(e.Offset)}
	if kept > 0 {
		of[expiresField] = &firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.New(now.Add(kept))}}
	}
	if strings.HasPrefix(idOf(e.Key), "%:") {
		of[keyField] = text(strings.ToValidUTF8(e.Key, "\uFFFD"))
	}
	if e.Deleted {
		of[deletedField] = &firestorepb.Value{ValueType: &firestorepb.Value_BooleanValue{BooleanValue: true}}
		return of, nil
	}
	of[atField] = integer(e.At)
	texts := make([]string, len(e.Values))
	for i, f := range e.Values {
		texts[i] = features.FormatValue(f.Value)
		of[f.Name] = valueOf(f.Value, texts[i])
	}
	for _, i := range features.Beyond(texts, maxDocument) {
		if e.Others {
			return nil, fmt.Errorf("%s has %d bytes: a document of Firestore has room for %d", e.Values[i].Name, len(texts[i]), maxDocument)
		}
		delete(of, e.Values[i].Name)
		s.left(e, e.Values[i].Name)
	}
	return of, nil
}

// valueOf a feature. Whether zero keeps its sign as a number is nowhere promised.
func valueOf(v pipeline.Value, written string) *firestorepb.Value {
	switch {
	case v.Kind == pipeline.Int:
		return integer(v.Int)
	case v.Kind == pipeline.Float && (v.Float != 0 || !math.Signbit(v.Float)):
		return &firestorepb.Value{ValueType: &firestorepb.Value_DoubleValue{DoubleValue: v.Float}}
	default:
		return text(written)
	}
}

func text(of string) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_StringValue{StringValue: of}}
}

func integer(of int64) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_IntegerValue{IntegerValue: of}}
}

// textOf a value, and whether it has one.
func textOf(v *firestorepb.Value) (string, bool) {
	switch v := v.GetValueType().(type) {
	case *firestorepb.Value_StringValue:
		return v.StringValue, true
	case *firestorepb.Value_IntegerValue:
		return strconv.FormatInt(v.IntegerValue, 10), true
	case *firestorepb.Value_DoubleValue:
		return features.FormatValue(pipeline.FloatValue(v.DoubleValue)), true
	default:
		return "", false
	}
}

// version of what is put: of the same source, the larger offset is the younger. None is of no source.
type version struct {
	source string
	offset int64
	known  bool
}

func versionOf(of fields) version {
	source, sourced := of[sourceField].GetValueType().(*firestorepb.Value_StringValue)
	offset, placed := of[offsetField].GetValueType().(*firestorepb.Value_IntegerValue)
	if !sourced || !placed {
		return version{}
	}
	return version{source.StringValue, offset.IntegerValue, true}
}

// youngest of a key's entries, in their order, that is to take the place of what is of version have, -1 for none; and how many are older than what there is
// by their turn.
func youngest(entries []features.Entry, places []int, have version) (last, newer int) {
	last = -1
	for _, i := range places {
		e := &entries[i]
		if have.known && have.source == e.Source && have.offset >= e.Offset {
			if have.offset > e.Offset {
				newer++
			}
			continue
		}
		last, have = i, version{e.Source, e.Offset, true}
	}
	return last, newer
}

// entryOf a document's fields, nil where it has none any more.
// A feature that cannot be read is told of, and has its default: it was declared otherwise, or somebody else wrote it.
func (s *Store) entryOf(view *features.View, names []string, key string, of fields, now time.Time) *features.Entry {
	// Firestore takes a day to remove what has expired.
	if expires := of[expiresField].GetTimestampValue(); expires != nil && expires.AsTime().Before(now) {
		return nil
	}
	written := func(name string) (string, bool) {
		v, there := of[name]
		if !there {
			return "", false
		}
		text, ok := textOf(v)
		if !ok {
			text = "neither a number nor a text"
		}
		return text, true
	}
	at, _ := written(atField)
	e := view.Stored(key, at, func(i int) (string, bool) { return written(names[i]) },
		func(name string, err error) {
			s.strange.Unread("Firestore", view.Name(), s.short(s.name(view.Name(), key)), name, err)
		})
	if e != nil && e.Bad != nil {
		s.strange.Foreign("Firestore", view.Name(), s.short(s.name(view.Name(), key)), features.ForeignFound, e.Bad)
	}
	return e
}
