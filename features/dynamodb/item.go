//go:build !nocloud

package dynamodb

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"nearline/features"
	"nearline/pipeline"
)

// Attributes of an item that are not features: no feature's name has an @, and one that is called pk is put as pk@.
const (
	keyAttribute     = "pk"
	atAttribute      = "@at" // in milliseconds since 1970; an item without it is no entry
	sourceAttribute  = "@source"
	offsetAttribute  = "@offset"
	deletedAttribute = "@deleted" // only beside source and offset
	expiresAttribute = "@expires" // in seconds since 1970, as DynamoDB's time to live wants it
	nameAttribute    = "@filling"
	jobAttribute     = "@job"
)

const (
	// maxKey is how many bytes a partition key may have.
	maxKey = 2048
	// maxItem is how many bytes the values of an item may have together. DynamoDB takes items of 400 KiB, the names of attributes and the key
	// counted too.
	maxItem = 380 << 10
)

// attribute is the name under which a feature is put.
func attribute(feature string) string {
	if feature == keyAttribute {
		return keyAttribute + "@"
	}
	return feature
}

type item = map[string]types.AttributeValue

// itemOf an entry that is put now. Numbers are numbers for whoever else reads the table. A list is its JSON as text rather than a list of
// DynamoDB's: the numbers in it come back to the last bit, whoever knows the other stores knows it, and it is smaller. An error is the entry's own.
func (s *Store) itemOf(e *features.Entry, now time.Time) (item, error) {
	switch k := key(e.View, e.Key); {
	case len(k) > maxKey:
		return nil, fmt.Errorf("the partition key would have %d bytes: DynamoDB takes at most %d", len(k), maxKey)
	case !utf8.ValidString(k):
		return nil, fmt.Errorf("the key %q is not UTF-8, which DynamoDB's texts are", e.Key)
	}
	kept := s.config.TTL
	switch {
	case e.Deleted:
		kept = features.DeletedFor
	case e.ForGood:
		kept = 0
	}
	of := item{
		keyAttribute: text(key(e.View, e.Key)), sourceAttribute: text(e.Source), offsetAttribute: number(strconv.FormatInt(e.Offset, 10)),
	}
	if kept > 0 {
		of[expiresAttribute] = number(strconv.FormatInt(now.Add(kept).Unix(), 10))
	}
	if e.Deleted {
		of[deletedAttribute] = &types.AttributeValueMemberBOOL{Value: true}
		return of, nil
	}
	of[atAttribute] = number(strconv.FormatInt(e.At, 10))
	texts := make([]string, len(e.Values))
	for i, f := range e.Values {
		texts[i] = features.FormatValue(f.Value)
	}
	for _, i := range features.Beyond(texts, maxItem) {
		if e.Others {
			return nil, fmt.Errorf("%s has %d bytes: an item of DynamoDB has room for %d", e.Values[i].Name, len(texts[i]), maxItem)
		}
		texts[i] = ""
		s.left(e, e.Values[i].Name)
	}
	for i, f := range e.Values {
		switch {
		case texts[i] == "":
		case isNumber(f.Value):
			of[attribute(f.Name)] = number(texts[i])
		default:
			of[attribute(f.Name)] = text(texts[i])
		}
	}
	return of, nil
}

// isNumber says that DynamoDB keeps the value exactly as a number: it has 38 decimal digits, exponents of up to three digits of which not
// all, and no minus zero.
func isNumber(v pipeline.Value) bool {
	switch v.Kind {
	case pipeline.Int:
		return true
	case pipeline.Float:
		x := math.Abs(v.Float)
		return x >= 1e-130 && x < 1e126 || v.Float == 0 && !math.Signbit(v.Float)
	default:
		return false
	}
}

func text(of string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: of} }
func number(of string) types.AttributeValue { return &types.AttributeValueMemberN{Value: of} }

// textOf an attribute, and whether it has one.
func textOf(v types.AttributeValue) (string, bool) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value, true
	case *types.AttributeValueMemberN:
		return v.Value, true
	default:
		return "", false
	}
}

func wholeNumber(v types.AttributeValue) (n int64, ok bool) {
	written, ok := textOf(v)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(written, 10, 64)
	return n, err == nil
}

// entryOf an item, nil where it has none any more.
// A feature that cannot be read is told of, and has its default: it was declared otherwise, or somebody else wrote it.
func (s *Store) entryOf(view *features.View, names []string, key string, of item, now time.Time) *features.Entry {
	// DynamoDB takes some days to remove what has expired.
	if expires, ok := wholeNumber(of[expiresAttribute]); ok && expires < now.Unix() {
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
	at, _ := written(atAttribute)
	e := view.Stored(key, at, func(i int) (string, bool) { return written(attribute(names[i])) },
		func(name string, err error) { s.unread(view.Name(), key, name, err) })
	if e != nil && e.Bad != nil {
		s.foreign(view.Name(), key, e.Bad)
	}
	return e
}
