package schemas

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/linkedin/goavro/v2"

	"nearline/pipeline"
)

// richSchema has every type that Avro has.
const richSchema = `{"type":"record","name":"Event","namespace":"shop","fields":[
  {"name":"review_id","type":["null","string","long"],"default":null},
  {"name":"text","type":["string","null",{"type":"record","name":"Body","fields":[{"name":"content","type":"bytes"}]}]},
  {"name":"title","type":["null","string"]},
  {"name":"item_id","type":[
    "null","boolean","int","long","float","double","string","bytes",
    {"type":"enum","name":"Kind","symbols":["A","B"]},
    {"type":"fixed","name":"Hash","size":4},
    {"type":"array","items":"Body"},
    {"type":"map","values":["null","Event"]}]},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
  {"name":"day","type":{"type":"int","logicalType":"date"}},
  {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
  {"name":"nothings","type":{"type":"array","items":"null"}}
]}`

func schemaFile(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "schema.avsc")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func codec(t testing.TB, text string) *goavro.Codec {
	t.Helper()
	c, err := goavro.NewCodec(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type native = map[string]any

// event is a native event that goavro can write, with some fields set otherwise.
func event(set native) native {
	e := native{
		"review_id": native{"string": "r1"}, "text": native{"string": "good"}, "title": nil, "item_id": nil,
		"at": time.UnixMilli(1700000000123).UTC(), "day": time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		"price": big.NewRat(-12345, 100), "nothings": []any{nil, nil},
	}
	maps.Copy(e, set)
	return e
}

func binaryOf(t testing.TB, c *goavro.Codec, datum any) []byte {
	t.Helper()
	b, err := c.BinaryFromNative(nil, datum)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func richDecoder(t testing.TB) pipeline.Decoder {
	return decoder(t, InputConfig{Format: FormatAvro, Schema: schemaFile(t, richSchema)},
		OutputConfig{Copy: []CopyField{{"item_id", "item_id"}, {"at", "at"}, {"day", "day"}, {"price", "price"}}})
}

func TestAvroReviewBecomesARow(t *testing.T) {
	c := codec(t, richSchema)
	d := richDecoder(t)
	fixed := []pipeline.Field{str("at", "2023-11-14T22:13:20.123Z"), str("day", "2024-02-29"), {Name: "price", Value: num("-123.45")}}
	for _, test := range []struct {
		name     string
		set      native
		id, text string
		item     pipeline.Value
	}{
		{"plain", nil, "r1", "good", pipeline.Value{}},
		{"null id", native{"review_id": nil}, "", "good", pipeline.Value{}},
		{"long id", native{"review_id": native{"long": int64(math.MinInt64)}}, "-9223372036854775808", "good", pipeline.Value{}},
		{"title", native{"title": native{"string": "Nice"}}, "r1", "Nice. good", pipeline.Value{}},
		{"boolean", native{"item_id": native{"boolean": true}}, "r1", "good", pipeline.Value{Kind: pipeline.Bool, Bool: true}},
		{"int", native{"item_id": native{"int": int32(-7)}}, "r1", "good", num("-7")},
		{"float", native{"item_id": native{"float": float32(0.5)}}, "r1", "good", pipeline.FloatValue(0.5)},
		{"double", native{"item_id": native{"double": 0.1}}, "r1", "good", pipeline.FloatValue(0.1)},
		{"bytes are text", native{"item_id": native{"bytes": []byte("ü")}}, "r1", "good", pipeline.StringValue("ü")},
		{"enum", native{"item_id": native{"shop.Kind": "B"}}, "r1", "good", pipeline.StringValue("B")},
		{"fixed is base64", native{"item_id": native{"shop.Hash": []byte{0xff, 0, 1, 2}}}, "r1", "good", pipeline.StringValue("/wABAg==")},
		{"array", native{"item_id": native{"array": []any{native{"content": []byte("a")}}}}, "r1", "good",
			pipeline.Value{Kind: pipeline.List, List: []pipeline.Value{pipeline.ObjectValue(str("content", "a"))}}},
		{"map", native{"item_id": native{"map": native{"k": nil}}}, "r1", "good", pipeline.ObjectValue(pipeline.Field{Name: "k"})},
	} {
		t.Run(test.name, func(t *testing.T) {
			record := &pipeline.Record{Value: binaryOf(t, c, event(test.set))}
			row, fault := d.Decode(record)
			if fault != nil {
				t.Fatal(fault)
			}
			want := &pipeline.Row{Record: record, ID: test.id, Text: test.text, Copied: append([]pipeline.Field{{Name: "item_id", Value: test.item}}, fixed...)}
			if !reflect.DeepEqual(row, want) {
				t.Errorf("got  %+v\nwant %+v", row, want)
			}
		})
	}
}

func TestAvroMappingFollowsPathsThroughUnionsArraysAndMaps(t *testing.T) {
	d := decoder(t, InputConfig{Format: FormatAvro, Schema: schemaFile(t, richSchema), Map: &Mapping{ID: "item_id.1.content", Text: "text.content"}},
		OutputConfig{Copy: []CopyField{}})
	value := binaryOf(t, codec(t, richSchema), event(native{
		"text":    native{"shop.Body": native{"content": []byte("inner")}},
		"item_id": native{"array": []any{native{"content": []byte("a")}, native{"content": []byte("b")}}},
	}))
	row, fault := d.Decode(&pipeline.Record{Value: value})
	if fault != nil || row.Text != "inner" || row.ID != "b" {
		t.Errorf("got %+v, %v; want text inner and id b", row, fault)
	}
}

func TestAvroDepthIsNotLength(t *testing.T) {
	var items []any
	for range 3 * defaultMaxDepth {
		items = append(items, native{"content": []byte("a")})
	}
	value := binaryOf(t, codec(t, richSchema), event(native{"item_id": native{"array": items}}))
	row, fault := richDecoder(t).Decode(&pipeline.Record{Value: value})
	if fault != nil || len(row.Copied[0].Value.List) != len(items) {
		t.Errorf("got %v, want a row with %d records side by side", fault, len(items))
	}
}

func TestAvroFaultSaysWhatIsWrongAndWhere(t *testing.T) {
	c := codec(t, richSchema)
	d := richDecoder(t)
	good := binaryOf(t, c, event(nil))
	long := func(n int64) []byte { return binary.AppendVarint(nil, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	head := join(long(0), long(0), long(4), []byte("good"), long(0)) // up to item_id
	nested := join(bytes.Repeat(join(head, long(11), long(1), long(1), []byte("k"), long(1)), 5000))
	for _, test := range []struct {
		name  string
		value []byte
		class pipeline.Class
		cause string
	}{
		{"empty", []byte{}, pipeline.ClassDecode, "not of the Avro schema at byte 0: the value ends too early"},
		{"cut", good[:7], pipeline.ClassDecode, "not of the Avro schema at byte 6: a length of 4, and 1 bytes are left"},
		{"trailing", append(bytes.Clone(good), 1, 2), pipeline.ClassDecode, "not of the Avro schema at byte 26: 2 bytes follow the record"},
		{"no such branch", []byte{40}, pipeline.ClassDecode, "not of the Avro schema at byte 1: a union of 3 types has no branch 20"},
		{"hostile length", join(long(0), long(0), long(math.MaxInt64), []byte("x")), pipeline.ClassDecode, "not of the Avro schema at byte 12: a length of 9223372036854775807, and 1 bytes are left"},
		{"negative length", join(long(0), long(0), long(-5), []byte("x")), pipeline.ClassDecode, "not of the Avro schema at byte 3: a length of -5, and 1 bytes are left"},
		{"hostile count", join(head, long(10), long(1<<40)), pipeline.ClassDecode, "not of the Avro schema at byte 15: an array or map claims more items than the value has bytes"},
		{"least count", join(head, long(10), long(math.MinInt64), long(0)), pipeline.ClassDecode, "not of the Avro schema at byte 20: an array or map claims more items than the value has bytes"},
		{"items without bytes", join(good[:len(good)-2], bytes.Repeat(long(20), 1000)), pipeline.ClassDecode, "not of the Avro schema at byte 76: an array or map claims more items than the value has bytes"},
		{"too long a number", bytes.Repeat([]byte{0xff}, 20), pipeline.ClassDecode, "not of the Avro schema at byte 0: a number takes more than 64 bits"},
		{"deep", nested, pipeline.ClassDecode, "the value nests deeper than input.max_depth, which is 100"},
		{"invalid utf-8", join(long(0), long(0), long(1), []byte("\xff")), pipeline.ClassDecode, "not of the Avro schema at byte 4: the string before it is not valid UTF-8"},
		{"text null", binaryOf(t, c, event(native{"text": nil})), pipeline.ClassInvalid, `text at "text" is null: want a string`},
		{"text object", binaryOf(t, c, event(native{"text": native{"shop.Body": native{"content": []byte("a")}}})), pipeline.ClassInvalid, `text at "text" is an object: want a string`},
		{"text empty", binaryOf(t, c, event(native{"text": native{"string": " "}})), pipeline.ClassInvalid, `text at "text" is only white space: want some text`},
		{"NaN", binaryOf(t, c, event(native{"item_id": native{"double": math.NaN()}})), pipeline.ClassInvalid, "a field that the config reads is NaN: want a number"},
		{"over the limit", make([]byte, 2<<20), pipeline.ClassTooLarge, "the value is 2097152 bytes: input.max_value_bytes is 1048576"},
	} {
		t.Run(test.name, func(t *testing.T) {
			row, fault := d.Decode(&pipeline.Record{Value: test.value})
			if fault == nil {
				t.Fatalf("got %+v, want %s", row, test.cause)
			}
			if fault.Class != test.class || fault.Cause != test.cause {
				t.Errorf("got  %s: %s\nwant %s: %s", fault.Class, fault.Cause, test.class, test.cause)
			}
		})
	}
}

func TestAvroConfigIsHeldAgainstTheSchema(t *testing.T) {
	in := InputConfig{Format: FormatAvro, Schema: schemaFile(t, richSchema), Map: &Mapping{ID: "id", Text: "text.body"}}
	_, err := NewDecoder(in, OutputConfig{Copy: []CopyField{{"k", "item_id.any.text"}, {"x", "at.x"}}}, Wanted{})
	want := `input.schema has no field "id", which the config takes for id: map it to a field of the schema
input.schema has no field "text.body", which the config takes for text: map it to a field of the schema
input.schema has no field "at.x", which the config takes for x: map it to a field of the schema`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	for _, text := range []string{`{"type":"record"`, `"string"`, `{"type":"record","name":"R","fields":[{"name":"a","type":"Missing"}]}`} {
		if _, err := NewDecoder(InputConfig{Format: FormatAvro, Schema: schemaFile(t, text)}, OutputConfig{}, Wanted{}); err == nil {
			t.Errorf("%s: got nil, want it refused", text)
		}
	}
	if _, err := NewDecoder(InputConfig{Format: FormatAvro, Schema: "missing.avsc"}, OutputConfig{}, Wanted{}); err == nil || !strings.Contains(err.Error(), "missing.avsc") {
		t.Errorf("got %v, want the file named", err)
	}
}

// FuzzAvroDecode holds the decoder against goavro: what ours accepts is of the schema there too, with the same text.
func FuzzAvroDecode(f *testing.F) {
	c := codec(f, richSchema)
	d := richDecoder(f)
	e := encoder(f, OutputConfig{}, InputConfig{})
	inner := event(native{"item_id": native{"map": native{"k": nil}}})
	for _, set := range []native{
		nil, {"review_id": nil}, {"review_id": native{"long": int64(-1)}}, {"title": native{"string": "T"}},
		{"item_id": native{"array": []any{native{"content": []byte("a")}}}},
		{"item_id": native{"map": native{"k": native{"shop.Event": inner}}}},
		{"item_id": native{"double": math.Inf(1)}}, {"item_id": native{"shop.Hash": []byte("abcd")}},
	} {
		f.Add(binaryOf(f, c, event(set)))
	}
	f.Add(binary.AppendVarint([]byte{0, 0}, math.MaxInt64))
	f.Add(bytes.Repeat([]byte{0xff}, 20))
	f.Fuzz(func(t *testing.T, value []byte) {
		record := &pipeline.Record{Value: value}
		row, fault := d.Decode(record)
		if (row == nil) == (fault == nil) {
			t.Fatalf("got row %v and fault %v, want one of them", row, fault)
		}
		if fault != nil {
			if fault.Cause == "" || len(fault.Cause) > 300 || !utf8.ValidString(fault.Cause) {
				t.Fatalf("got cause %q, want a short sentence", fault.Cause)
			}
			return
		}
		if strings.TrimSpace(row.Text) == "" || !utf8.ValidString(row.Text) {
			t.Fatalf("got text %q, want some in UTF-8", row.Text)
		}
		if _, fault := e.Append(nil, row); fault != nil {
			t.Fatal(fault)
		}
		datum, rest, err := c.NativeFromBinary(value)
		if err != nil {
			if strings.Contains(err.Error(), "duplicate key") {
				return // a map's affair, and nobody's text
			}
			t.Fatalf("accepted what goavro does not: %v", err)
		}
		if len(rest) > 0 {
			t.Fatalf("goavro leaves %d bytes", len(rest))
		}
		fields := datum.(native)
		text := fields["text"].(native)["string"].(string)
		title := ""
		if union, ok := fields["title"].(native); ok {
			title = union["string"].(string)
		}
		if want := Heading(title) + text; row.Text != want {
			t.Fatalf("got text %q, goavro has %q", row.Text, want)
		}
	})
}

func BenchmarkAvroDecode(b *testing.B) {
	const schema = `{"type":"record","name":"Review","fields":[{"name":"review_id","type":"string"},{"name":"item_id","type":["null","string"]},
		{"name":"user_id","type":["null","string"]},{"name":"title","type":["null","string"]},{"name":"rating","type":"int"},{"name":"text","type":"string"}]}`
	c := codec(b, schema)
	value := binaryOf(b, c, native{"review_id": "r-1842", "item_id": native{"string": "B00A1"}, "user_id": native{"string": "u-77"}, "title": nil,
		"rating": 5, "text": "Fits well and feels soft. Would buy it again."})
	b.Run("nearline", func(b *testing.B) {
		d := decoder(b, InputConfig{Format: FormatAvro, Schema: schemaFile(b, schema)}, OutputConfig{})
		record := &pipeline.Record{Value: value}
		b.ReportAllocs()
		for b.Loop() {
			if _, fault := d.Decode(record); fault != nil {
				b.Fatal(fault)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reviews/s")
	})
	b.Run("goavro", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := c.NativeFromBinary(value); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reviews/s")
	})
}
