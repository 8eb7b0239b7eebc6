package pipeline

import "encoding/json"

// Kind is the type of a Value.
type Kind uint8

// The kinds of values that events carry and models answer with.
const (
	Null Kind = iota
	Bool
	Int    // 64-bit signed
	Float  // 64-bit
	Number // a decimal literal kept as it was written, so that copying loses no digit
	String
	Floats // a vector of 32-bit floats
	Int8s  // a vector of 8-bit integers, a byte each in Str
	Uint8s // the same, without a sign
	List
	Object
	Strings // a vector of strings
	Table   // a list of objects that have the same fields, kept column by column: Fields are vectors of one length
)

// Value is one typed value. The zero Value is Null.
//
// It is a struct rather than an interface so that a prediction of a label and a score allocates one slice of fields
// and nothing else.
type Value struct {
	Kind   Kind
	Bool   bool
	Int    int64
	Float  float64
	Str    string    // String, the literal of a Number, or the bytes of Int8s and Uint8s
	Floats []float32 // Floats
	List   []Value   // List
	Fields []Field   // Object, in order; the columns of a Table
	// Strings of a vector, in an eighth of the memory that they take as Values.
	Strings []string
}

// Field is a named value: a column of a prediction, a field of an event.
type Field struct {
	Name  string
	Value Value
}

// StringValue makes a String.
func StringValue(s string) Value { return Value{Kind: String, Str: s} }

// FloatValue makes a Float.
func FloatValue(f float64) Value { return Value{Kind: Float, Float: f} }

// IntValue makes an Int.
func IntValue(i int64) Value { return Value{Kind: Int, Int: i} }

// ObjectValue makes an Object of the fields, in order.
func ObjectValue(fields ...Field) Value { return Value{Kind: Object, Fields: fields} }

// FloatsValue makes a vector.
func FloatsValue(v []float32) Value { return Value{Kind: Floats, Floats: v} }

// StringsValue makes a vector.
func StringsValue(v []string) Value { return Value{Kind: Strings, Strings: v} }

// TableValue makes a Table of columns, which are Floats or Strings of one length.
func TableValue(columns ...Field) Value { return Value{Kind: Table, Fields: columns} }

// Len is how many elements a list, a vector or a table has, and 0 for all else.
func (v *Value) Len() int {
	switch v.Kind {
	case List:
		return len(v.List)
	case Floats:
		return len(v.Floats)
	case Strings:
		return len(v.Strings)
	case Int8s, Uint8s:
		return len(v.Str)
	case Table:
		if len(v.Fields) > 0 {
			return v.Fields[0].Value.Len()
		}
	}
	return 0
}

// At is an element of a list, a vector or a table, from 0.
func (v *Value) At(i int) Value {
	switch v.Kind {
	case Floats:
		return FloatValue(float64(v.Floats[i]))
	case Strings:
		return StringValue(v.Strings[i])
	case Int8s:
		return IntValue(int64(int8(v.Str[i])))
	case Uint8s:
		return IntValue(int64(v.Str[i]))
	case Table:
		row := make([]Field, len(v.Fields))
		for n := range v.Fields {
			row[n] = Field{Name: v.Fields[n].Name, Value: v.Fields[n].Value.At(i)}
		}
		return ObjectValue(row...)
	default:
		return v.List[i]
	}
}

// Lookup finds the field of an Object by name.
func (v Value) Lookup(name string) (Value, bool) {
	for _, f := range v.Fields {
		if f.Name == name {
			return f.Value, true
		}
	}
	return Value{}, false
}

// Any is the value as encoding/json takes it. A Number keeps its digits.
func (v Value) Any() any {
	switch v.Kind {
	case Bool:
		return v.Bool
	case Int:
		return v.Int
	case Float:
		return v.Float
	case Number:
		return json.Number(v.Str)
	case String:
		return v.Str
	case Floats:
		return v.Floats
	case Strings:
		return v.Strings
	case List, Int8s, Uint8s, Table:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = v.At(i).Any()
		}
		return list
	case Object:
		object := make(map[string]any, len(v.Fields))
		for _, f := range v.Fields {
			object[f.Name] = f.Value.Any()
		}
		return object
	default:
		return nil
	}
}
