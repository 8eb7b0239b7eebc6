package schemas

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nearline/pipeline"
)

// topics is what a model answers with several labels, every score, three vectors, and a ranking.
func topics() *pipeline.Row {
	label := func(name string, score float32) pipeline.Value {
		return pipeline.ObjectValue(str("label", name), pipeline.Field{Name: "score", Value: pipeline.FloatValue(float64(score))})
	}
	scores := func(a, b float32) pipeline.Value {
		return pipeline.ObjectValue(
			pipeline.Field{Name: "größe & fit", Value: pipeline.FloatValue(float64(a))},
			pipeline.Field{Name: "price", Value: pipeline.FloatValue(float64(b))})
	}
	return &pipeline.Row{
		Record: &pipeline.Record{Topic: "reviews.raw"}, ID: "r-1",
		Predictions: []pipeline.Prediction{{Model: "m", Version: 1, At: time.UnixMilli(0), Columns: []pipeline.Field{
			{Name: "topics", Value: pipeline.ObjectValue(
				pipeline.Field{Name: "labels", Value: pipeline.Value{Kind: pipeline.List, List: []pipeline.Value{label("größe & fit", 0.75)}}},
				pipeline.Field{Name: "scores", Value: scores(0.75, 0.1)})},
			{Name: "none", Value: pipeline.ObjectValue(pipeline.Field{Name: "labels", Value: pipeline.Value{Kind: pipeline.List}})},
			{Name: "ratings", Value: pipeline.ObjectValue(
				pipeline.Field{Name: "warmth", Value: pipeline.FloatValue(1.5)}, pipeline.Field{Name: "skill", Value: pipeline.FloatValue(-2)})},
			{Name: "vector", Value: pipeline.FloatsValue([]float32{0.1, -0, 1e-8, -1.5})},
			{Name: "small", Value: pipeline.Value{Kind: pipeline.Int8s, Str: "\x7f\x00\x81\x80"}},
			{Name: "bits", Value: pipeline.Value{Kind: pipeline.Uint8s, Str: "\x7f\xff\x00"}},
			{Name: "words", Value: pipeline.StringsValue([]string{"a\"b", ""})},
			{Name: "ranking", Value: pipeline.TableValue(
				pipeline.Field{Name: "item \"id\"", Value: pipeline.StringsValue([]string{"é", "b"})},
				pipeline.Field{Name: "score", Value: pipeline.FloatsValue([]float32{0.1, -3})})},
		}}},
	}
}

func TestJSONHasLabelsAndVectors(t *testing.T) {
	e := encoder(t, OutputConfig{}, InputConfig{})
	if err := e.Check(topics().Predictions[0].Columns); err != nil {
		t.Fatal(err)
	}
	got, fault := e.Append(nil, topics())
	want := `{"review_id":"r-1","topics":{"labels":[{"label":"größe & fit","score":0.75}],"scores":{"größe & fit":0.75,"price":0.1}},` +
		`"none":{"labels":[]},"ratings":{"warmth":1.5,"skill":-2},"vector":[0.1,0,1e-8,-1.5],"small":[127,0,-127,-128],"bits":[127,255,0],` +
		`"words":["a\"b",""],"ranking":[{"item \"id\"":"é","score":0.1},{"item \"id\"":"b","score":-3}],"model":"m","model_version":1,"scored_at":"1970-01-01T00:00:00.000Z"}`
	if fault != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, fault, want)
	}
}

func TestAvroHasLabelsAndVectors(t *testing.T) {
	schema := `{"type":"record","name":"Out","fields":[
	  {"name":"topics","type":{"type":"record","name":"Topics","fields":[
	    {"name":"labels","type":{"type":"array","items":{"type":"record","name":"Label","fields":[
	      {"name":"label","type":"string"},{"name":"score","type":"float"}]}}},
	    {"name":"scores","type":{"type":"map","values":"float"}}]}},
	  {"name":"none","type":{"type":"record","name":"None","fields":[{"name":"labels","type":{"type":"array","items":"Label"}}]}},
	  {"name":"ratings","type":{"type":"record","name":"Ratings","fields":[{"name":"warmth","type":"double"},{"name":"skill","type":"double"}]}},
	  {"name":"vector","type":{"type":"array","items":"float"}},
	  {"name":"small","type":{"type":"array","items":"int"}},
	  {"name":"bits","type":"bytes"},
	  {"name":"words","type":{"type":"array","items":"string"}},
	  {"name":"ranking","type":{"type":"array","items":{"type":"map","values":["string","float"]}}}
	]}`
	e := encoder(t, OutputConfig{Format: FormatAvro, Schema: schemaFile(t, schema)}, InputConfig{})
	if err := e.Check(topics().Predictions[0].Columns); err != nil {
		t.Fatal(err)
	}
	value, fault := e.Append(nil, topics())
	if fault != nil {
		t.Fatal(fault)
	}
	got, rest, err := codec(t, schema).NativeFromBinary(value)
	if err != nil || len(rest) > 0 {
		t.Fatalf("goavro cannot read the result: %v, %d bytes left", err, len(rest))
	}
	want := native{
		"topics": native{"labels": []any{native{"label": "größe & fit", "score": float32(0.75)}},
			"scores": native{"größe & fit": float32(0.75), "price": float32(0.1)}},
		"none": native{"labels": []any{}}, "ratings": native{"warmth": 1.5, "skill": -2.0},
		"vector": []any{float32(0.1), float32(0), float32(1e-8), float32(-1.5)},
		"small":  []any{int32(127), int32(0), int32(-127), int32(-128)}, "bits": []byte{127, 255, 0},
		"words": []any{`a"b`, ""},
		"ranking": []any{
			native{`item "id"`: native{"string": "é"}, "score": native{"float": float32(0.1)}},
			native{`item "id"`: native{"string": "b"}, "score": native{"float": float32(-3)}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func TestAvroTakesVectorsInEveryTypeThatHoldsThem(t *testing.T) {
	words := pipeline.StringsValue([]string{"a", "b"})
	floats, small, bits := pipeline.FloatsValue([]float32{1, -2}), pipeline.Value{Kind: pipeline.Int8s, Str: "\x01\xfe"}, pipeline.Value{Kind: pipeline.Uint8s, Str: "\x01\xfe"}
	for _, c := range []struct {
		typ   string
		value pipeline.Value
		want  any // nil: it does not fit
	}{
		{`{"type":"array","items":"double"}`, floats, []any{1.0, -2.0}},
		{`["null",{"type":"array","items":"float"}]`, floats, native{"array": []any{float32(1), float32(-2)}}},
		{`{"type":"array","items":["null","float"]}`, floats, []any{native{"float": float32(1)}, native{"float": float32(-2)}}},
		{`{"type":"array","items":"int"}`, floats, nil},
		{`"bytes"`, floats, nil},
		{`{"type":"array","items":"long"}`, small, []any{int64(1), int64(-2)}},
		{`{"type":"array","items":"float"}`, small, []any{float32(1), float32(-2)}},
		{`"bytes"`, small, []byte{1, 254}},
		{`["null","bytes"]`, small, native{"bytes": []byte{1, 254}}},
		{`{"type":"fixed","name":"F","size":2}`, small, []byte{1, 254}},
		{`{"type":"fixed","name":"F","size":3}`, small, nil},
		{`"string"`, small, nil},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, small, nil},
		{`{"type":"array","items":"int"}`, bits, []any{int32(1), int32(254)}},
		{`"bytes"`, bits, []byte{1, 254}},
		{`{"type":"array","items":"string"}`, words, []any{"a", "b"}},
		{`{"type":"array","items":"int"}`, words, nil},
		{`"string"`, words, nil},
	} {
		schema := `{"type":"record","name":"Out","fields":[{"name":"v","type":` + c.typ + `}]}`
		e := encoder(t, OutputConfig{Format: FormatAvro, Schema: schemaFile(t, schema)}, InputConfig{})
		row := &pipeline.Row{Record: &pipeline.Record{}, ID: "1", Copied: []pipeline.Field{{Name: "v", Value: c.value}}}
		value, fault := e.Append(nil, row)
		if (fault == nil) != (c.want != nil) {
			t.Errorf("%s of kind %d: got fault %v", c.typ, c.value.Kind, fault)
		}
		if fault != nil {
			continue
		}
		got, _, err := codec(t, schema).NativeFromBinary(value)
		if err != nil || !reflect.DeepEqual(got, native{"v": c.want}) {
			t.Errorf("%s of kind %d: got %#v, %v, want %#v", c.typ, c.value.Kind, got, err, c.want)
		}
	}
}

func TestAvroSchemaThatCannotHoldAColumnIsRefusedAtStart(t *testing.T) {
	file := schemaFile(t, `{"type":"record","name":"R","fields":[
		{"name":"vector","type":"bytes"},{"name":"small","type":["null",{"type":"array","items":"int"}],"default":null},
		{"name":"topics","type":{"type":"record","name":"T","fields":[{"name":"label","type":"string"}]}},{"name":"later","type":"int"}]}`)
	e := encoder(t, OutputConfig{Format: FormatAvro, Schema: file}, InputConfig{})
	err := e.Check(append(topics().Predictions[0].Columns, pipeline.Field{Name: "later"}))
	want := `output.schema has a field "vector" that cannot hold that column of a prediction: the result has an array, and the schema wants bytes: change its type, or name the column otherwise in its step
output.schema has a field "topics" that cannot hold that column of a prediction: field "label": field "label": the result has no such field, and the schema gives it no default: change its type, or name the column otherwise in its step`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestEncodingAVectorAllocatesNothing(t *testing.T) {
	schema := schemaFile(t, `{"type":"record","name":"Out","fields":[{"name":"vector","type":{"type":"array","items":"float"}}]}`)
	row := &pipeline.Row{Record: &pipeline.Record{}, ID: "1", Predictions: []pipeline.Prediction{{
		Columns: []pipeline.Field{{Name: "vector", Value: pipeline.FloatsValue(slices.Repeat([]float32{0.25, -1}, 192))}}}}}
	for name, e := range map[string]Encoder{
		"json": encoder(t, OutputConfig{}, InputConfig{}),
		"avro": encoder(t, OutputConfig{Format: FormatAvro, Schema: schema}, InputConfig{}),
	} {
		buffer := make([]byte, 0, 1<<14)
		if got := testing.AllocsPerRun(50, func() { _, _ = e.Append(buffer, row) }); got != 0 {
			t.Errorf("%s: got %v allocations, want none", name, got)
		}
	}
}

// A vector reads back as the same numbers, by encoding/json and by goavro, or is refused.
func FuzzVectors(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x80, 1, 0, 0, 0})
	f.Add([]byte{0, 0, 0xc0, 0x7f})
	f.Add([]byte{0xff, 0xff, 0x7f, 0x7f, 0, 0, 0x80, 0xff})
	schema := `{"type":"record","name":"Out","fields":[{"name":"f","type":{"type":"array","items":"float"}},
		{"name":"i","type":{"type":"array","items":"int"}},{"name":"u","type":"bytes"}]}`
	file := schemaFile(f, schema)
	asJSON, asAvro := encoder(f, OutputConfig{}, InputConfig{}), encoder(f, OutputConfig{Format: FormatAvro, Schema: file}, InputConfig{})
	reader := codec(f, schema)
	f.Fuzz(func(t *testing.T, data []byte) {
		floats := []float32{}
		finite := true
		for at := 0; at+4 <= len(data); at += 4 {
			v := math.Float32frombits(uint32(data[at]) | uint32(data[at+1])<<8 | uint32(data[at+2])<<16 | uint32(data[at+3])<<24)
			floats = append(floats, v)
			finite = finite && !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
		}
		row := &pipeline.Row{Record: &pipeline.Record{}, ID: "1", Predictions: []pipeline.Prediction{{Model: "m", Columns: []pipeline.Field{
			{Name: "f", Value: pipeline.FloatsValue(floats)},
			{Name: "i", Value: pipeline.Value{Kind: pipeline.Int8s, Str: string(data)}},
			{Name: "u", Value: pipeline.Value{Kind: pipeline.Uint8s, Str: string(data)}},
		}}}}
		text, fault := asJSON.Append(nil, row)
		value, other := asAvro.Append(nil, row)
		if (fault == nil) != finite || (other == nil) != finite {
			t.Fatalf("%v: got faults %v and %v", floats, fault, other)
		}
		if !finite {
			return
		}
		var back struct {
			F []float32
			I []int8
			U []uint16
		}
		if err := json.Unmarshal(text, &back); err != nil || !slices.Equal(back.F, floats) || len(back.I) != len(data) || len(back.U) != len(data) {
			t.Fatalf("%v: got %s, %v", floats, text, err)
		}
		got, rest, err := reader.NativeFromBinary(value)
		if err != nil || len(rest) > 0 {
			t.Fatalf("goavro: %v, %d bytes left", err, len(rest))
		}
		fields := got.(native)
		for i, v := range fields["f"].([]any) {
			if v.(float32) != floats[i] {
				t.Fatalf("goavro: number %d: got %v, want %v", i, v, floats[i])
			}
		}
		for i, v := range fields["i"].([]any) {
			if v.(int32) != int32(int8(data[i])) || int8(data[i]) != back.I[i] || uint16(data[i]) != back.U[i] {
				t.Fatalf("number %d: got %v and %d and %d, want %d", i, v, back.I[i], back.U[i], data[i])
			}
		}
		if !bytes.Equal(fields["u"].([]byte), data) || strings.Contains(string(text), "NaN") {
			t.Fatalf("goavro: got bytes %v, want %v", fields["u"], data)
		}
	})
}
