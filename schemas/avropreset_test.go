package schemas

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nearline/pipeline"
)

// oddDefaults are fields whose defaults goavro refuses, or which are wrong; what reads events needs none of them.
const oddDefaults = `
  {"name":"amount","type":{"type":"bytes","scale":2,"precision":10,"connect.version":1,"connect.name":"org.apache.kafka.connect.data.Decimal","connect.default":"AA==","logicalType":"decimal"},"default":"\u0000"},
  {"name":"fee","type":["null",{"type":"fixed","name":"Fee","size":2,"logicalType":"decimal","precision":4,"scale":1}],"default":null},
  {"name":"most","type":"long","default":9223372036854775807},
  {"name":"least","type":"long","default":-9223372036854775808},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"default":0},
  {"name":"day","type":{"type":"int","logicalType":"date"},"default":0},
  {"name":"ratio","type":"double","default":1},
  {"name":"second","type":["null","string"],"default":"x"},
  {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"],"default":"A"},"default":"B"},
  {"name":"plain","type":{"type":"bytes","logicalType":"decimal"},"default":"\u00ff"},
  {"name":"inner","type":{"type":"record","name":"Inner","fields":[{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2},"default":"\u0001"}]},"default":{}},
  {"name":"list","type":{"type":"array","items":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},"default":["\u0001","\u0002\u0003"]}`

func TestSchemasToReadByNeedNoDefaults(t *testing.T) {
	schema := `{"type":"record","name":"Value","namespace":"server1.inventory.orders","fields":[{"name":"id","type":"string"},` + oddDefaults + `,
  {"name":"wrong","type":"int","default":"none"},{"name":"text","type":"string"}]}`
	value := "\x04id" + // id
		"\x04\xcf\xc7" + "\x02\x00\x7f" + // amount -123.45, fee 12.7
		"\x01" + "\x02" + "\x00" + "\x00" + // most, least, at, day
		"\x00\x00\x00\x00\x00\x00\xf8\x3f" + "\x00" + "\x02" + "\x02p" + "\x02\x7b" + "\x00" + // ratio 1.5, second, kind, plain, inner, list
		"\x00" + "\x08good"
	for _, read := range []string{"", "amount", "fee", "plain", "inner.a"} {
		in := InputConfig{Format: FormatAvro, Schema: schemaFile(t, schema), Map: &Mapping{ID: "id", Text: "text"}}
		out := OutputConfig{}
		if read != "" {
			out.Copy = []CopyField{{As: "read", Path: read}}
		}
		d, err := NewDecoder(in, out, Wanted{})
		if err != nil {
			t.Fatal(err)
		}
		row, fault := d.Decode(&pipeline.Record{Value: []byte(value)})
		if fault != nil || row.Text != "good" || row.ID != "id" {
			t.Fatalf("got %v, %v, want the text", row, fault)
		}
		want := map[string]string{"": "[]", "amount": "[{read -123.45}]", "fee": "[{read 12.7}]", "plain": "[{read p}]", "inner.a": "[{read 1.23}]"}[read]
		var got []string
		for _, f := range row.Copied {
			got = append(got, fmt.Sprintf("{%s %s}", f.Name, f.Value.Str))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: got %v, want %s", read, got, want)
		}
	}
}

func TestDefaultsAreWrittenToTheDigit(t *testing.T) {
	schema := `{"type":"record","name":"Value","fields":[` + oddDefaults + `]}`
	encoder, err := newAvroEncoder(schema, names{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"0200", "00", "feffffffffffffffff01", "ffffffffffffffffff01", "00", "00", "000000000000f03f", "020278", "02", "02ff", "0201", "0402010402" + "0300",
	}
	for i, field := range encoder.schema.fields {
		if got := hex.EncodeToString(field.preset); got != want[i] {
			t.Errorf("%s: got %s, want %s", field.name, got, want[i])
		}
	}
	for field, want := range map[string]string{
		`{"name":"x","type":"int","default":"none"}`:                             `default of field "x": it is "none", and the schema wants int`,
		`{"name":"x","type":"int","default":2147483648}`:                         `default of field "x": 2147483648 takes more than the 32 bits of an int`,
		`{"name":"x","type":"long","default":9223372036854775808}`:               `default of field "x": "9223372036854775808" is not an integer of 64 bits`,
		`{"name":"x","type":"bytes","default":"\u0100"}`:                         `default of field "x": "Ā" has 'Ā', and bytes are code points up to U+00FF`,
		`{"name":"x","type":{"type":"fixed","name":"F","size":2},"default":"a"}`: `default of field "x": `,
	} {
		if _, err := newAvroEncoder(`{"type":"record","name":"V","fields":[`+field+`]}`, names{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", field, err, want)
		}
	}
}

func TestAByteOrderMarkIsNoPartOfASchema(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schema.avsc")
	text := []byte(`{"type":"record","name":"V","fields":[{"name":"text","type":"string"}]}`)
	in := InputConfig{Format: FormatAvro, Schema: file, Map: &Mapping{Text: "text"}}
	for _, c := range []struct {
		text []byte
		want string
	}{
		{append([]byte("\xef\xbb\xbf"), text...), ""},
		{append([]byte("\xff\xfe"), bytes.ReplaceAll(text, []byte(""), []byte("\x00"))...), "is UTF-16: want it saved as UTF-8"},
		{append(text, '}'), "not an Avro schema"},
	} {
		if err := os.WriteFile(file, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewDecoder(in, OutputConfig{}, Wanted{}); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text[:8], err, c.want)
		}
	}
}
