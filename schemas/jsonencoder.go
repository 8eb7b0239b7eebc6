package schemas

import (
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"nearline/pipeline"
)

// jsonEncoder writes a result as an object: the id, or `source` with the coordinates of an event that has none; the
// copied fields; every prediction's columns; then `model`, `model_version` and `scored_at` of the last prediction, and
// with more than one prediction `models`, a list of every model and version in order.
//
// A number keeps its digits when it was copied. A float is written as the shortest text that reads back as the same
// 64-bit float, or as the same 32-bit float where it came from one, as a model's scores do.
type jsonEncoder struct{ names }

var _ Encoder = (*jsonEncoder)(nil)

func (e *jsonEncoder) Append(dst []byte, row *pipeline.Row) ([]byte, *pipeline.Fault) {
	if name, clash := e.clash(row); clash {
		return dst, encodeFault("the result would have two fields %q: copy the field, or name the prediction, otherwise", name)
	}
	dst = append(dst, '{')
	if row.ID != "" && e.id != "" {
		dst = append(appendString(dst, e.id), ':')
		dst = appendString(dst, row.ID)
	} else {
		dst = appendSource(dst, row.Record)
	}
	var fault *pipeline.Fault
	if dst, fault = appendFields(dst, row.Copied); fault != nil {
		return dst, fault
	}
	if dst, fault = appendFields(dst, row.Features); fault != nil {
		return dst, fault
	}
	for _, p := range row.Predictions {
		if dst, fault = appendFields(dst, p.Columns); fault != nil {
			return dst, fault
		}
	}
	return append(appendModels(dst, row.Predictions), '}'), nil
}

func appendSource(dst []byte, record *pipeline.Record) []byte {
	dst = append(dst, `"source":{"topic":`...)
	dst = appendString(dst, record.Topic)
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(record.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, record.Offset, 10)
	return append(dst, '}')
}

func appendModels(dst []byte, predictions []pipeline.Prediction) []byte {
	if len(predictions) == 0 {
		return dst
	}
	last := predictions[len(predictions)-1]
	dst = append(dst, `,"model":`...)
	dst = appendString(dst, last.Model)
	dst = append(dst, `,"model_version":`...)
	dst = strconv.AppendInt(dst, int64(last.Version), 10)
	if len(predictions) > 1 {
		dst = append(dst, `,"models":[`...)
		for i, p := range predictions {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"model":`...)
			dst = appendString(dst, p.Model)
			dst = append(dst, `,"model_version":`...)
			dst = strconv.AppendInt(dst, int64(p.Version), 10)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	dst = append(dst, `,"scored_at":"`...)
	return append(appendTime(dst, last.At), '"')
}

// appendTime appends RFC 3339 in UTC with milliseconds, by way of the layout that package time has a fast path for.
func appendTime(dst []byte, at time.Time) []byte {
	at = at.UTC()
	dst = at.AppendFormat(dst, time.RFC3339)
	millis := at.Nanosecond() / int(time.Millisecond)
	return append(dst[:len(dst)-len("Z")], '.', byte('0'+millis/100), byte('0'+millis/10%10), byte('0'+millis%10), 'Z')
}

// appendFields appends members, each with a comma before it: the id always comes first.
func appendFields(dst []byte, fields []pipeline.Field) ([]byte, *pipeline.Fault) {
	for i := range fields {
		dst = append(dst, ',')
		dst = append(appendString(dst, fields[i].Name), ':')
		var fault *pipeline.Fault
		if dst, fault = appendValue(dst, fields[i].Name, &fields[i].Value); fault != nil {
			return dst, fault
		}
	}
	return dst, nil
}

// appendValue appends one value. Name is the field that it is part of, for the fault.
func appendValue(dst []byte, name string, v *pipeline.Value) ([]byte, *pipeline.Fault) {
	var fault *pipeline.Fault
	switch v.Kind {
	case pipeline.Null:
		return append(dst, "null"...), nil
	case pipeline.Bool:
		return strconv.AppendBool(dst, v.Bool), nil
	case pipeline.Int:
		return strconv.AppendInt(dst, v.Int, 10), nil
	case pipeline.Number:
		if !numeric(v.Str) {
			return dst, encodeFault("%s is no number: %s", name, excerpt(v.Str))
		}
		return append(dst, v.Str...), nil
	case pipeline.String:
		return appendString(dst, v.Str), nil
	case pipeline.Float:
		return appendFloat(dst, name, v.Float)
	case pipeline.Floats:
		dst = append(dst, '[')
		for i, f := range v.Floats {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, fault = appendFloat(dst, name, float64(f)); fault != nil {
				return dst, fault
			}
		}
		return append(dst, ']'), nil
	case pipeline.List:
		dst = append(dst, '[')
		for i := range v.List {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, fault = appendValue(dst, name, &v.List[i]); fault != nil {
				return dst, fault
			}
		}
		return append(dst, ']'), nil
	case pipeline.Strings, pipeline.Int8s, pipeline.Uint8s:
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, fault = appendElement(dst, name, v, i); fault != nil {
				return dst, fault
			}
		}
		return append(dst, ']'), nil
	case pipeline.Table:
		return appendTable(dst, name, v)
	case pipeline.Object:
		dst = append(dst, '{')
		for i := range v.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, v.Fields[i].Name), ':')
			if dst, fault = appendValue(dst, name, &v.Fields[i].Value); fault != nil {
				return dst, fault
			}
		}
		return append(dst, '}'), nil
	default:
		return dst, encodeFault("%s is of a kind that has no form in JSON: %d", name, v.Kind)
	}
}

// appendElement appends an element of a vector.
func appendElement(dst []byte, name string, v *pipeline.Value, i int) ([]byte, *pipeline.Fault) {
	switch v.Kind {
	case pipeline.Strings:
		return appendString(dst, v.Strings[i]), nil
	case pipeline.Floats:
		return appendFloat(dst, name, float64(v.Floats[i]))
	default:
		return strconv.AppendInt(dst, v.At(i).Int, 10), nil
	}
}

// appendTable appends a list of objects, the members of which have their names quoted once.
func appendTable(dst []byte, name string, v *pipeline.Value) ([]byte, *pipeline.Fault) {
	heads := make([][]byte, len(v.Fields)) // `{"first":`, `,"second":`
	for c := range v.Fields {
		heads[c] = append(appendString([]byte{"{,"[min(c, 1)]}, v.Fields[c].Name), ':')
	}
	dst = append(dst, '[')
	for i := range v.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		for c := range v.Fields {
			var fault *pipeline.Fault
			if dst, fault = appendElement(append(dst, heads[c]...), name, &v.Fields[c].Value, i); fault != nil {
				return dst, fault
			}
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

func appendFloat(dst []byte, name string, f float64) ([]byte, *pipeline.Fault) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, encodeFault("%s is %v: JSON has no such number", name, f)
	}
	if float64(float32(f)) == f {
		return jsontext.AppendFloat(dst, f, 32), nil
	}
	return jsontext.AppendFloat(dst, f, 64), nil
}

// appendString appends a quoted string. Invalid UTF-8 becomes U+FFFD, which only a model's label could hold.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// numeric says that a literal follows JSON's grammar of numbers.
func numeric(s string) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	accept := func(chars ...byte) bool {
		for _, c := range chars {
			if s != "" && s[0] == c {
				s = s[1:]
				return true
			}
		}
		return false
	}
	accept('-')
	if !accept('0') && !digits() {
		return false
	}
	if accept('.') && !digits() {
		return false
	}
	if accept('e', 'E') {
		accept('+', '-')
		if !digits() {
			return false
		}
	}
	return s == ""
}
