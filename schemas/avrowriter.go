package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"nearline/pipeline"
)

// appendAvro appends a value as the type's binary form. What would lose something is an error: a fraction into an int,
// an integer of more digits than the type has. Depth is how deep the value nests so far.
func appendAvro(dst []byte, t *avroType, v pipeline.Value, depth int) ([]byte, error) {
	if depth > maxMaxDepth {
		return dst, errors.New("nests too deep")
	}
	switch t.kind {
	case avroNull:
		if v.Kind == pipeline.Null {
			return dst, nil
		}
	case avroBoolean:
		if v.Kind == pipeline.Bool {
			if v.Bool {
				return append(dst, 1), nil
			}
			return append(dst, 0), nil
		}
	case avroInt, avroLong:
		return appendInteger(dst, t, v)
	case avroFloat, avroDouble:
		return appendReal(dst, t, v)
	case avroBytes, avroString:
		// The digits of a decimal are no decimal.
		if text, ok := textOf(v); ok && t.logical != "decimal" {
			return appendBytes(dst, text), nil
		}
		if t.kind == avroBytes && packed(v.Kind) && t.logical == "" {
			return appendBytes(dst, v.Str), nil
		}
	case avroFixed:
		if (v.Kind == pipeline.String || packed(v.Kind)) && len(v.Str) == t.size && t.logical == "" {
			return append(dst, v.Str...), nil
		}
	case avroEnum:
		if v.Kind == pipeline.String {
			if i := slices.Index(t.symbols, v.Str); i >= 0 {
				return binary.AppendVarint(dst, int64(i)), nil
			}
			return dst, fmt.Errorf("%s is not a symbol of the enum", excerpt(v.Str))
		}
	case avroUnion:
		return appendUnion(dst, t, v, depth)
	case avroArray:
		return appendArray(dst, t, v, depth)
	case avroMap:
		if v.Kind == pipeline.Object {
			return appendMap(dst, t, v, depth)
		}
	case avroRecord:
		if v.Kind == pipeline.Object {
			return appendRecord(dst, t, v, depth)
		}
	}
	return dst, mismatch(t, v)
}

func mismatch(t *avroType, v pipeline.Value) error {
	want := string(t.kind)
	if t.logical != "" {
		want += " (" + t.logical + ")"
	}
	return fmt.Errorf("the result has %s, and the schema wants %s", kindName(v.Kind), want)
}

// packed says that values of the kind are numbers of a byte each.
func packed(kind pipeline.Kind) bool { return kind == pipeline.Int8s || kind == pipeline.Uint8s }

// isList says that values of the kind are an array.
func isList(kind pipeline.Kind) bool {
	return kind == pipeline.List || kind == pipeline.Floats || kind == pipeline.Strings || kind == pipeline.Table || packed(kind)
}

func textOf(v pipeline.Value) (string, bool) {
	switch v.Kind {
	case pipeline.String, pipeline.Number:
		return v.Str, true
	case pipeline.Int:
		return strconv.FormatInt(v.Int, 10), true
	default:
		return "", false
	}
}

func appendBytes(dst []byte, s string) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

func appendInteger(dst []byte, t *avroType, v pipeline.Value) ([]byte, error) {
	i := v.Int
	switch v.Kind {
	case pipeline.Int:
	case pipeline.String:
		var err error
		if i, err = instant(t.logical, v.Str); err != nil {
			return dst, err
		}
	case pipeline.Number:
		var err error
		if i, err = strconv.ParseInt(v.Str, 10, 64); err != nil {
			return dst, fmt.Errorf("%s is not an integer of 64 bits", excerpt(v.Str))
		}
	default:
		return dst, mismatch(t, v)
	}
	if t.kind == avroInt && (i < math.MinInt32 || i > math.MaxInt32) {
		return dst, fmt.Errorf("%d takes more than the 32 bits of an int", i)
	}
	return binary.AppendVarint(dst, i), nil
}

// instant is a text as an integer: of the logical types of time from ISO 8601, of any other from its digits.
func instant(logical, text string) (int64, error) {
	layout := time.RFC3339Nano
	switch logical {
	case "timestamp-millis", "timestamp-micros":
	case "date":
		layout = time.DateOnly
	default:
		i, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s is a string and not an integer", excerpt(text))
		}
		return i, nil
	}
	at, err := time.Parse(layout, text)
	if err != nil {
		return 0, fmt.Errorf("%s is not a time such as %s", excerpt(text), layout)
	}
	switch logical {
	case "timestamp-millis":
		return at.UnixMilli(), nil
	case "timestamp-micros":
		return at.UnixMicro(), nil
	default:
		days := at.Unix() / (24 * 60 * 60)
		return days, nil
	}
}

func appendReal(dst []byte, t *avroType, v pipeline.Value) ([]byte, error) {
	f := v.Float
	switch v.Kind {
	case pipeline.Float:
	case pipeline.Int:
		f = float64(v.Int)
	case pipeline.Number:
		f, _ = strconv.ParseFloat(v.Str, 64)
	default:
		return dst, mismatch(t, v)
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, fmt.Errorf("the number is %v: want a finite one", f)
	}
	if t.kind == avroDouble {
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f)), nil
	}
	if math.Abs(f) > math.MaxFloat32 {
		return dst, fmt.Errorf("%v is out of the range of a float", f)
	}
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(f))), nil
}

// appendUnion takes the first branch that is of the value's own kind, else the first that can take it.
func appendUnion(dst []byte, t *avroType, v pipeline.Value, depth int) ([]byte, error) {
	start := len(dst)
	var last error
	for _, own := range []bool{true, false} {
		for i, branch := range t.branches {
			if own != branch.natural(v.Kind) {
				continue
			}
			extended, err := appendAvro(binary.AppendVarint(dst[:start], int64(i)), branch, v, depth)
			if err == nil {
				return extended, nil
			}
			if last == nil || branch.kind != avroNull {
				last = err
			}
		}
	}
	return dst[:start], last
}

// natural says that values of that kind are the type's own.
func (t *avroType) natural(kind pipeline.Kind) bool {
	switch t.kind {
	case avroNull:
		return kind == pipeline.Null
	case avroBoolean:
		return kind == pipeline.Bool
	case avroInt, avroLong:
		return kind == pipeline.Int || kind == pipeline.Number
	case avroFloat, avroDouble:
		return kind == pipeline.Float
	case avroString, avroEnum:
		return kind == pipeline.String
	case avroBytes, avroFixed:
		return kind == pipeline.String || packed(kind)
	case avroArray:
		return isList(kind)
	default:
		return kind == pipeline.Object
	}
}

func (t *avroType) nullable() bool {
	if t.kind == avroUnion {
		return slices.ContainsFunc(t.branches, (*avroType).nullable)
	}
	return t.kind == avroNull
}

func appendArray(dst []byte, t *avroType, v pipeline.Value, depth int) ([]byte, error) {
	if !isList(v.Kind) {
		return dst, mismatch(t, v)
	}
	n := v.Len()
	if n > 0 {
		dst = binary.AppendVarint(dst, int64(n))
	}
	for i := range n {
		var err error
		if dst, err = appendAvro(dst, t.items, v.At(i), depth+1); err != nil {
			return dst, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return append(dst, 0), nil
}

func appendMap(dst []byte, t *avroType, v pipeline.Value, depth int) ([]byte, error) {
	if len(v.Fields) > 0 {
		dst = binary.AppendVarint(dst, int64(len(v.Fields)))
	}
	for _, f := range v.Fields {
		var err error
		if dst, err = appendAvro(appendBytes(dst, f.Name), t.items, f.Value, depth+1); err != nil {
			return dst, fmt.Errorf("entry %s: %w", excerpt(f.Name), err)
		}
	}
	return append(dst, 0), nil
}

func appendRecord(dst []byte, t *avroType, v pipeline.Value, depth int) ([]byte, error) {
	for i := range t.fields {
		field := &t.fields[i]
		inner, found := v.Lookup(field.name)
		var err error
		if !found {
			dst, err = appendMissing(dst, field)
		} else {
			dst, err = appendAvro(dst, field.typ, inner, depth+1)
		}
		if err != nil {
			return dst, fmt.Errorf("field %q: %w", field.name, err)
		}
	}
	return dst, nil
}

// appendMissing appends what stands for a field that the result does not have.
func appendMissing(dst []byte, field *avroField) ([]byte, error) {
	if field.preset != nil {
		return append(dst, field.preset...), nil
	}
	if field.typ.nullable() {
		return appendAvro(dst, field.typ, pipeline.Value{}, 0)
	}
	return dst, fmt.Errorf("field %q: the result has no such field, and the schema gives it no default", field.name)
}
