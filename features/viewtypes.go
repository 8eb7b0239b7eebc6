package features

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nearline/pipeline"
)

// FormatValue writes a view's value as text that others read too: a number as the shortest decimal that reads back exactly, a list as JSON.
func FormatValue(v pipeline.Value) string {
	if text, ok := v.Text(); ok {
		return text
	}
	return string(appendJSON(nil, v))
}

// appendJSON writes what views list: texts, numbers and objects of them. All texts came of JSON, so they are UTF-8.
func appendJSON(dst []byte, v pipeline.Value) []byte {
	switch v.Kind {
	case pipeline.String:
		dst, _ = jsontext.AppendQuote(dst, v.Str)
	case pipeline.Float:
		dst = jsontext.AppendFloat(dst, v.Float, 64)
	case pipeline.List:
		dst = append(dst, '[')
		for i, e := range v.List {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		dst = append(dst, ']')
	case pipeline.Object:
		dst = append(dst, '{')
		for i, f := range v.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst, _ = jsontext.AppendQuote(dst, f.Name)
			dst = appendJSON(append(dst, ':'), f.Value)
		}
		dst = append(dst, '}')
	default:
		if text, ok := v.Text(); ok {
			return append(dst, text...)
		}
		dst = append(dst, "null"...)
	}
	return dst
}

// Parse reads what FormatValue wrote of the view's field i, as the kind of value that Values has there. The error names field and text.
func (v *View) Parse(i int, text string) (pipeline.Value, error) {
	f := &v.fields[i]
	value, want := f.parse(text)
	if want == "" {
		return value, nil
	}
	if len(text) > maxShown {
		text = text[:maxShown] + "…"
	}
	return pipeline.Value{}, fmt.Errorf("feature %s of view %s is %q: want %s; "+
		"a feature that is declared otherwise than it was needs another name", f.name, v.name, text, want)
}

// maxShown of a text in an error, in bytes: a list may have a megabyte.
const maxShown = 200

// parse says what it would want where the text is nothing of the field's.
func (f *field) parse(text string) (v pipeline.Value, want string) {
	switch {
	case f.kind == kindCount && f.halfLife == 0, f.kind == kindDistinct:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return v, "a whole number"
		}
		return pipeline.IntValue(n), ""
	case f.kind == kindText:
		return pipeline.StringValue(text), ""
	case f.kind == kindLast, f.kind == kindTexts:
		var texts []string
		if json.Unmarshal([]byte(text), &texts) != nil || texts == nil {
			return v, `a list of texts, such as ["a","b"]`
		}
		return listValue(texts, pipeline.StringValue), ""
	case f.kind == kindTop:
		var top []ranked
		if json.Unmarshal([]byte(text), &top) != nil || top == nil {
			return v, `a list of texts and their numbers, such as [{"of":"a","by":0.5}]`
		}
		return listValue(top, ranked.value), ""
	case text == "null": // as FormatValue writes what is missing; a default may have been declared since
		return f.byDefault(), ""
	default:
		number, err := strconv.ParseFloat(text, 64)
		if err != nil || !pipeline.Finite(number) {
			return v, "a number"
		}
		return pipeline.FloatValue(number), ""
	}
}

// ranked is one entry of a top.
type ranked struct {
	Of string  `json:"of"`
	By float64 `json:"by"`
}

func (r ranked) value() pipeline.Value {
	return pipeline.ObjectValue(
		pipeline.Field{Name: "of", Value: pipeline.StringValue(r.Of)},
		pipeline.Field{Name: "by", Value: pipeline.FloatValue(r.By)})
}

func listValue[T any](list []T, value func(T) pipeline.Value) pipeline.Value {
	v := pipeline.Value{Kind: pipeline.List, List: make([]pipeline.Value, len(list))}
	for i, e := range list {
		v.List[i] = value(e)
	}
	return v
}
