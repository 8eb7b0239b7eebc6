package schemas

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"nearline/pipeline"
)

func TestAvroResultFollowsTheDefaultSchema(t *testing.T) {
	e := encoder(t, OutputConfig{Format: FormatAvro}, InputConfig{})
	if err := e.Check(columns("sentiment", "helpfulness")); err != nil {
		t.Fatal(err)
	}
	row := scoredRow()
	row.Copied[0].Value = num("77") // an item's id that came as a number
	value, fault := e.Append([]byte("before"), row)
	if fault != nil {
		t.Fatal(fault)
	}
	got, rest, err := codec(t, DefaultResultSchema).NativeFromBinary(value[len("before"):])
	if err != nil || len(rest) > 0 {
		t.Fatalf("goavro cannot read the result: %v, %d bytes left", err, len(rest))
	}
	want := native{
		"review_id": native{"string": "r-1842"}, "source": nil, "item_id": native{"string": "77"}, "user_id": native{"string": "u-77"},
		"sentiment":   native{"label": "positive", "score": float64(float32(0.9871))},
		"helpfulness": native{"double": float64(float32(0.41))},
		"model":       "sentiment", "model_version": int32(3), "scored_at": time.Date(2026, 5, 6, 7, 8, 9, 123e6, time.UTC),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	row.ID = ""
	if value, fault = e.Append(nil, row); fault != nil {
		t.Fatal(fault)
	}
	got, _, err = codec(t, DefaultResultSchema).NativeFromBinary(value)
	if err != nil {
		t.Fatal(err)
	}
	source := native{"nearline.Source": native{"topic": "reviews.raw", "partition": int32(3), "offset": int64(42)}}
	if fields := got.(native); fields["review_id"] != nil || !reflect.DeepEqual(fields["source"], source) {
		t.Errorf("got %v, want no review_id and source %v", fields, source)
	}
}

// wideSchema takes copied fields of every type, and defaults where the result has nothing.
const wideSchema = `{"type":"record","name":"Out","fields":[
  {"name":"v","type":%TYPE%},
  {"name":"preset","type":"string","default":"p"},
  {"name":"raw","type":"bytes","default":"\u00ff"},
  {"name":"list","type":{"type":"array","items":"int"},"default":[1,2]},
  {"name":"nested","type":{"type":"record","name":"N","fields":[{"name":"a","type":["null","int"],"default":null}]},"default":{}},
  {"name":"maybe","type":["string","null"]}
]}`

func TestAvroWritesWhatGoavroReads(t *testing.T) {
	for _, c := range []struct {
		name, typ string
		value     pipeline.Value
		want      any
	}{
		{"null", `"null"`, pipeline.Value{}, nil},
		{"boolean", `"boolean"`, pipeline.Value{Kind: pipeline.Bool, Bool: true}, true},
		{"int from digits", `"int"`, num("-2147483648"), int32(math.MinInt32)},
		{"long from text", `"long"`, pipeline.StringValue("9223372036854775807"), int64(math.MaxInt64)},
		{"float", `"float"`, pipeline.FloatValue(0.5), float32(0.5)},
		{"double from digits", `"double"`, num("1e300"), 1e300},
		{"double from an int", `"double"`, pipeline.IntValue(3), 3.0},
		{"string", `"string"`, pipeline.StringValue("ü"), "ü"},
		{"string from an int", `"string"`, pipeline.IntValue(-3), "-3"},
		{"bytes", `"bytes"`, pipeline.StringValue("a"), []byte("a")},
		{"enum", `{"type":"enum","name":"E","symbols":["x","y"]}`, pipeline.StringValue("y"), "y"},
		{"fixed", `{"type":"fixed","name":"F","size":2}`, pipeline.StringValue("ab"), []byte("ab")},
		{"array of floats", `{"type":"array","items":"float"}`, pipeline.FloatsValue([]float32{1, 2}), []any{float32(1), float32(2)}},
		{"empty array", `{"type":"array","items":"float"}`, pipeline.Value{Kind: pipeline.List}, []any{}},
		{"map", `{"type":"map","values":"long"}`, pipeline.ObjectValue(pipeline.Field{Name: "k", Value: pipeline.IntValue(5)}), native{"k": int64(5)}},
		{"millis", `{"type":"long","logicalType":"timestamp-millis"}`, pipeline.StringValue("2024-05-06T07:08:09.5+02:00"), time.Date(2024, 5, 6, 5, 8, 9, 5e8, time.UTC)},
		{"micros", `{"type":"long","logicalType":"timestamp-micros"}`, pipeline.StringValue("2024-05-06T07:08:09.000001Z"), time.Date(2024, 5, 6, 7, 8, 9, 1000, time.UTC)},
		{"date", `{"type":"int","logicalType":"date"}`, pipeline.StringValue("1960-02-29"), time.Date(1960, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"union takes the own kind first", `["null","long","string"]`, pipeline.StringValue("12"), native{"string": "12"}},
		{"union takes what can", `["null","string"]`, num("12"), native{"string": "12"}},
		{"union takes what fits", `["int","long"]`, pipeline.IntValue(1 << 40), native{"long": int64(1 << 40)}},
		{"union takes null", `["string","null"]`, pipeline.Value{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			schema := strings.Replace(wideSchema, "%TYPE%", c.typ, 1)
			e := encoder(t, OutputConfig{Format: FormatAvro, Schema: schemaFile(t, schema)}, InputConfig{})
			row := &pipeline.Row{Record: &pipeline.Record{}, ID: "1", Copied: []pipeline.Field{{Name: "v", Value: c.value}, str("elsewhere", "left out")}}
			value, fault := e.Append(nil, row)
			if fault != nil {
				t.Fatal(fault)
			}
			got, rest, err := codec(t, schema).NativeFromBinary(value)
			if err != nil || len(rest) > 0 {
				t.Fatalf("goavro cannot read the result: %v, %d bytes left", err, len(rest))
			}
			want := native{"v": c.want, "preset": "p", "raw": []byte{0xff}, "list": []any{int32(1), int32(2)}, "nested": native{"a": nil}, "maybe": nil}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %#v\nwant %#v", got, want)
			}
		})
	}
}

func TestWhatDoesNotFitTheAvroSchemaIsTheRecordsFault(t *testing.T) {
	for _, c := range []struct {
		name, typ string
		value     pipeline.Value
		want      string
	}{
		{"fraction", `"int"`, num("1.5"), `field "v": "1.5" is not an integer of 64 bits`},
		{"too large", `"int"`, pipeline.IntValue(1 << 31), `field "v": 2147483648 takes more than the 32 bits of an int`},
		{"too long", `"long"`, num("9223372036854775808"), `field "v": "9223372036854775808" is not an integer of 64 bits`},
		{"text", `"long"`, pipeline.StringValue("abc"), `field "v": "abc" is a string and not an integer`},
		{"NaN", `"double"`, pipeline.FloatValue(math.NaN()), `field "v": the number is NaN: want a finite one`},
		{"float range", `"float"`, pipeline.FloatValue(1e300), `field "v": 1e+300 is out of the range of a float`},
		{"symbol", `{"type":"enum","name":"E","symbols":["x"]}`, pipeline.StringValue("z"), `field "v": "z" is not a symbol of the enum`},
		{"kind", `"string"`, pipeline.Value{Kind: pipeline.Object}, `field "v": the result has an object, and the schema wants string`},
		{"null", `"string"`, pipeline.Value{}, `field "v": the result has null, and the schema wants string`},
		{"time", `{"type":"long","logicalType":"timestamp-millis"}`, pipeline.StringValue("yesterday"), `field "v": "yesterday" is not a time such as 2006-01-02T15:04:05.999999999Z07:00`},
		{"item", `{"type":"array","items":"int"}`, pipeline.Value{Kind: pipeline.List, List: []pipeline.Value{{}}}, `field "v": item 0: the result has null, and the schema wants int`},
		{"decimal", `{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, num("1.25"), `field "v": the result has a number, and the schema wants bytes (decimal)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := encoder(t, OutputConfig{Format: FormatAvro, Schema: schemaFile(t, strings.Replace(wideSchema, "%TYPE%", c.typ, 1))}, InputConfig{})
			row := &pipeline.Row{Record: &pipeline.Record{}, ID: "1", Copied: []pipeline.Field{{Name: "v", Value: c.value}}}
			_, fault := e.Append(nil, row)
			if want := "the result does not fit output.schema: " + c.want; fault == nil || fault.Class != pipeline.ClassEncode || fault.Cause != want {
				t.Errorf("got %v, want encode: %s", fault, want)
			}
		})
	}
}

func TestAvroSchemaThatCannotBeFilledIsRefusedAtStart(t *testing.T) {
	file := schemaFile(t, `{"type":"record","name":"R","fields":[
		{"name":"review_id","type":"boolean"},{"name":"model_version","type":"boolean"},{"name":"scored_at","type":"string"}]}`)
	_, err := NewEncoder(OutputConfig{Format: FormatAvro, Schema: file}, InputConfig{})
	want := `output.schema cannot take a result: field "review_id": the result has a string, and the schema wants boolean
output.schema cannot take a result: field "model_version": the result has a number, and the schema wants boolean`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}

	file = schemaFile(t, `{"type":"record","name":"R","fields":[
		{"name":"rank","type":"double"},{"name":"mood","type":["null","string"]},{"name":"item_id","type":["null","string"]},{"name":"sentiment","type":{"type":"map","values":"string"}}]}`)
	e := encoder(t, OutputConfig{Format: FormatAvro, Schema: file}, InputConfig{})
	err = e.Check(columns("sentiment"))
	want = `output.schema has a field "rank" that no prediction and no copied field fills: copy a field under that name, or give it a default`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
