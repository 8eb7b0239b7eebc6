package schemas

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"nearline/pipeline"
)

const smallReview = `{"review_id":"r-1842","item_id":"B00A1","user_id":"u-77","rating":5,"text":"Fits well and feels soft. Would buy it again."}`

var longReview = `{"review_id":"r-1843","item_id":"1078","user_id":"u-78","title":"Some major design flaws","rating":3,"language":"en","created_at":"2024-05-06T07:08:09Z","text":"` +
	strings.Repeat(`I had such high hopes for this dress and really wanted it to work for me. `, 4) + `The zipper didn\u2019t hold.","age":60,"department":"Dresses","class":"Dresses","recommended":false,"feedback":0}`

func decoder(t testing.TB, in InputConfig, out OutputConfig) pipeline.Decoder {
	t.Helper()
	d, err := NewDecoder(in, out, Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func str(name, value string) pipeline.Field {
	return pipeline.Field{Name: name, Value: pipeline.StringValue(value)}
}

func num(literal string) pipeline.Value { return pipeline.Value{Kind: pipeline.Number, Str: literal} }

func TestJSONReviewBecomesARow(t *testing.T) {
	for _, c := range []struct {
		name, value string
		id, text    string
		copied      []pipeline.Field
	}{
		{"small", smallReview, "r-1842", "Fits well and feels soft. Would buy it again.", []pipeline.Field{str("item_id", "B00A1"), str("user_id", "u-77")}},
		{"only text", `{"text":"good"}`, "", "good", nil},
		{"empty id is none", `{"review_id":"","text":"good"}`, "", "good", nil},
		{"null id is none", `{"review_id":null,"text":"good"}`, "", "good", nil},
		{"integer id keeps its digits", `{"review_id":12345678901234567890123,"text":"good"}`, "12345678901234567890123", "good", nil},
		{"title is joined", `{"title":"Nice","text":"good"}`, "", "Nice. good", nil},
		{"title after the text", `{"text":"good","title":" Nice! "}`, "", "Nice! good", nil},
		{"null title is none", `{"text":"good","title":null}`, "", "good", nil},
		{"copied number keeps its digits", `{"text":"good","item_id":9007199254740993.10}`, "", "good", []pipeline.Field{{Name: "item_id", Value: num("9007199254740993.10")}}},
		{"copied null stays null", `{"text":"good","user_id":null}`, "", "good", []pipeline.Field{{Name: "user_id"}}},
		{"copied object as it is", `{"text":"good","item_id":{"a":[1,"x",true,null],"b":{}}}`, "", "good", []pipeline.Field{{Name: "item_id", Value: pipeline.ObjectValue(
			pipeline.Field{Name: "a", Value: pipeline.Value{Kind: pipeline.List, List: []pipeline.Value{num("1"), pipeline.StringValue("x"), {Kind: pipeline.Bool, Bool: true}, {}}}},
			pipeline.Field{Name: "b", Value: pipeline.Value{Kind: pipeline.Object}})}}},
		{"copied strings", `{"text":"good","item_id":["a","\u00fc\"",""]}`, "", "good", []pipeline.Field{{Name: "item_id", Value: pipeline.StringsValue([]string{"a", "ü\"", ""})}}},
		{"copied strings and a number", `{"text":"good","item_id":["a","b",7,"c"]}`, "", "good", []pipeline.Field{{Name: "item_id", Value: pipeline.Value{Kind: pipeline.List,
			List: []pipeline.Value{pipeline.StringValue("a"), pipeline.StringValue("b"), num("7"), pipeline.StringValue("c")}}}}},
		{"copied empty list", `{"text":"good","item_id":[]}`, "", "good", []pipeline.Field{{Name: "item_id", Value: pipeline.Value{Kind: pipeline.List}}}},
		{"escapes", `{"te\u0078t":"a\n\u00fc\ud83d\ude00\"\/"}`, "", "a\nü😀\"/", nil},
		{"half a surrogate pair becomes the replacement character", `{"text":"ok \ud83d broken"}`, "", "ok \ufffd broken", nil},
		{"the other half", `{"text":"\udc00x"}`, "", "\ufffdx", nil},
		{"byte order mark", "\ufeff" + `{"text":"good"}`, "", "good", nil},
		{"white space around", " \n{\"text\":\"good\"}\t\r\n", "", "good", nil},
		{"unknown fields of all kinds", `{"a":{"text":[{"b":1e999}]},"c":[[]],"d":-0.1e-9,"text":"good"}`, "", "good", nil},
		{"text keeps its white space", `{"text":" good\n"}`, "", " good\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			record := &pipeline.Record{Topic: "t", Value: []byte(c.value)}
			row, fault := decoder(t, InputConfig{}, OutputConfig{}).Decode(record)
			if fault != nil {
				t.Fatal(fault)
			}
			want := &pipeline.Row{Record: record, ID: c.id, Text: c.text, Copied: c.copied}
			if !reflect.DeepEqual(row, want) {
				t.Errorf("got  %+v\nwant %+v", row, want)
			}
		})
	}
}

func TestJSONMappingFollowsPaths(t *testing.T) {
	in := InputConfig{Map: &Mapping{ID: "meta.uuid", Text: "body.parts.1.content", Title: "body.title"}}
	out := OutputConfig{Copy: []CopyField{{As: "meta", Path: "meta"}, {As: "tag", Path: "tags.0"}, {As: "again", Path: "meta.uuid"}, {As: "absent", Path: "a.b"}, {As: "tags", Path: "tags"}}}
	value := `{"body":{"parts":["x",{"content":"good"}],"title":"T"},"meta":{"uuid":7,"n":{"text":1}},"tags":["first","second"],"a":3}`
	row, fault := decoder(t, in, out).Decode(&pipeline.Record{Value: []byte(value)})
	if fault != nil {
		t.Fatal(fault)
	}
	want := []pipeline.Field{
		{Name: "meta", Value: pipeline.ObjectValue(
			pipeline.Field{Name: "uuid", Value: num("7")},
			pipeline.Field{Name: "n", Value: pipeline.ObjectValue(pipeline.Field{Name: "text", Value: num("1")})})},
		str("tag", "first"),
		{Name: "again", Value: num("7")},
		{Name: "tags", Value: pipeline.StringsValue([]string{"first", "second"})},
	}
	if row.ID != "7" || row.Text != "T. good" || !reflect.DeepEqual(row.Copied, want) {
		t.Errorf("got %+v, want id 7, text %q and copied %+v", row, "T. good", want)
	}
}

// hostile are values that must cost little and harm nobody, with so deep a nesting.
func hostile(depth int) map[string]string {
	return map[string]string{
		"empty":             "",
		"white space":       " \n",
		"null":              "null",
		"array":             `["text"]`,
		"string":            `"text"`,
		"cut":               smallReview[:40],
		"cut escape":        `{"text":"\u00`,
		"trailing":          `{"text":"a"}{}`,
		"trailing brace":    `{"text":"a"}}`,
		"duplicate":         `{"text":"a","text":"b"}`,
		"duplicate inside":  `{"text":"a","x":[{"y":1,"y":2}]}`,
		"duplicate quoted":  `{"text":"a","te\u0078t":"b"}`,
		"invalid utf-8":     "{\"text\":\"a\xffb\"}",
		"invalid elsewhere": "{\"text\":\"a\",\"x\":\"\xc0\x80\"}",
		"deep arrays":       `{"text":"a","x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}",
		"deep objects":      strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth),
		"deep copied":       `{"text":"a","item_id":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}",
		"wide copied":       `{"text":"a","item_id":[` + strings.Repeat("0,", 20_000) + "0]}",
		"wide strings":      `{"text":"a","item_id":[` + strings.Repeat(`"",`, 20_000) + `""]}`,
		"cut strings":       `{"text":"a","item_id":["a","b`,
		"strings and colon": `{"text":"a","item_id":["a":"b"]}`,
		"huge number":       `{"text":"a","item_id":1e999}`,
		"huge inside":       `{"text":"a","item_id":[-1e999]}`,
		"huge id":           `{"text":"a","review_id":` + strings.Repeat("9", 400) + `}`,
		"text number":       `{"text":12}`,
		"text null":         `{"text":null}`,
		"text object":       `{"text":{"en":"a"}}`,
		"text array":        `{"text":["a"]}`,
		"text boolean":      `{"text":true}`,
		"text missing":      `{"review_id":"1"}`,
		"text empty":        `{"text":""}`,
		"text white":        `{"text":" \n\t\u00a0"}`,
		"id fraction":       `{"review_id":1.5,"text":"a"}`,
		"id boolean":        `{"review_id":false,"text":"a"}`,
		"title number":      `{"title":1,"text":"a"}`,
		"bad number":        `{"text":"a","x":01}`,
		"single quotes":     `{'text':'a'}`,
		"NaN":               `{"text":"a","x":NaN}`,
		"control":           "{\"text\":\"a\x01\"}",
		"two marks":         "\ufeff\ufeff{}",
		"utf-16":            "{\x00\"\x00t\x00\"\x00",
		"prose like null":   "not JSON at all",
		"long name":         `{"text":"a","` + strings.Repeat("n", 5000) + `":1,"` + strings.Repeat("n", 5000) + `":1}`,
	}
}

func TestJSONFaultSaysWhatIsWrongAndWhere(t *testing.T) {
	const decode, invalid, large = pipeline.ClassDecode, pipeline.ClassInvalid, pipeline.ClassTooLarge
	want := map[string]struct {
		class pipeline.Class
		cause string
	}{
		"empty":             {decode, "the value is empty: want a JSON object"},
		"white space":       {decode, "the value is empty: want a JSON object"},
		"null":              {decode, "the value is null: want a JSON object"},
		"array":             {decode, "the value is an array: want a JSON object"},
		"string":            {decode, "the value is a string: want a JSON object"},
		"cut":               {decode, "not JSON at byte 40: the value ends too early"},
		"cut escape":        {decode, "not JSON at byte 13: the value ends too early"},
		"trailing":          {decode, "something follows the JSON object that ends at byte 12"},
		"trailing brace":    {decode, "something follows the JSON object that ends at byte 12"},
		"duplicate":         {decode, `not JSON at byte 12: the name "text" occurs twice in one object`},
		"duplicate inside":  {decode, `not JSON at byte 24: the name "y" occurs twice in one object`},
		"duplicate quoted":  {decode, `not JSON at byte 12: the name "text" occurs twice in one object`},
		"invalid utf-8":     {decode, "not valid UTF-8 at byte 10"},
		"invalid elsewhere": {decode, "not valid UTF-8 at byte 17"},
		"deep arrays":       {decode, "the value nests deeper than input.max_depth, which is 100"},
		"deep objects":      {decode, "the value nests deeper than input.max_depth, which is 100"},
		"deep copied":       {decode, "the value nests deeper than input.max_depth, which is 100"},
		"wide copied":       {large, "the fields that are copied or read hold more than 20000 values"},
		"wide strings":      {large, "the fields that are copied or read hold more than 20000 values"},
		"cut strings":       {decode, "not JSON at byte 29: the value ends too early"},
		"strings and colon": {decode, "not JSON at byte 26: invalid character ':' after array element (expecting ',' or ']')"},
		"huge number":       {invalid, `item_id at "item_id" is a number out of the range of a 64-bit float: want a smaller one`},
		"huge inside":       {invalid, `the number "-1e999" in a copied field is out of the range of a 64-bit float`},
		"huge id":           {invalid, `id at "review_id" is a number out of the range of a 64-bit float: want a smaller one`},
		"text number":       {invalid, `text at "text" is a number: want a string`},
		"text null":         {invalid, `text at "text" is null: want a string`},
		"text object":       {invalid, `text at "text" is an object: want a string`},
		"text array":        {invalid, `text at "text" is an array: want a string`},
		"text boolean":      {invalid, `text at "text" is a boolean: want a string`},
		"text missing":      {invalid, `text is missing: the input maps text to "text"`},
		"text empty":        {invalid, `text at "text" is empty: want some text`},
		"text white":        {invalid, `text at "text" is only white space: want some text`},
		"id fraction":       {invalid, `id at "review_id" is a number that is no integer: want a string or an integer`},
		"id boolean":        {invalid, `id at "review_id" is a boolean: want a string or an integer`},
		"title number":      {invalid, `title at "title" is a number: want a string or null`},
		"bad number":        {decode, "not JSON at byte 17: invalid character '1' after object value (expecting ',' or '}')"},
		"single quotes":     {decode, `not JSON at byte 1: invalid character '\'' at start of value`},
		"NaN":               {decode, "not JSON at byte 16: invalid character 'N' at start of value"},
		"control":           {decode, `not JSON at byte 10: invalid character '\x01' in string (expecting non-control character)`},
		"two marks":         {decode, `not JSON at byte 3: invalid character '\ufeff' at start of value`},
		"utf-16":            {decode, `not JSON at byte 1: invalid character '\x00' at start of value`},
		"prose like null":   {decode, "not JSON at byte 1: invalid character 'o' in literal null (expecting 'u')"},
		"long name":         {decode, `not JSON at byte 5017: the name "` + strings.Repeat("n", 40) + `…" occurs twice in one object`},
	}
	d := decoder(t, InputConfig{}, OutputConfig{})
	for name, value := range hostile(100_000) {
		t.Run(name, func(t *testing.T) {
			_, fault := d.Decode(&pipeline.Record{Value: []byte(value)})
			if fault == nil {
				t.Fatalf("got a row, want %+v", want[name])
			}
			if fault.Class != want[name].class || fault.Cause != want[name].cause || fault.Stage != pipeline.StageDecode {
				t.Errorf("got  %s at %s: %s\nwant %s: %s", fault.Class, fault.Stage, fault.Cause, want[name].class, want[name].cause)
			}
		})
	}
}

func TestJSONMissingTextNamesItsPath(t *testing.T) {
	d := decoder(t, InputConfig{Map: &Mapping{Text: "body.content"}}, OutputConfig{})
	_, fault := d.Decode(&pipeline.Record{Value: []byte(`{"body":"flat"}`)})
	if want := `text is missing: the input maps text to "body.content"`; fault == nil || fault.Cause != want {
		t.Errorf("got %v, want %s", fault, want)
	}
}

func TestValueOverTheLimitIsNotRead(t *testing.T) {
	value := make([]byte, 20<<20) // not JSON: reading it would be a decode fault
	_, fault := decoder(t, InputConfig{}, OutputConfig{}).Decode(&pipeline.Record{Value: value})
	want := "the value is 20971520 bytes: input.max_value_bytes is 1048576"
	if fault == nil || fault.Class != pipeline.ClassTooLarge || fault.Cause != want {
		t.Errorf("got %v, want too_large: %s", fault, want)
	}
}

func TestMaxDepthCountsTheOutermostObject(t *testing.T) {
	d := decoder(t, InputConfig{MaxDepth: 3}, OutputConfig{})
	for value, ok := range map[string]bool{
		`{"text":"a","x":[[]]}`:            true,
		`{"text":"a","x":[[[]]]}`:          false,
		`{"text":"a","item_id":[[1]]}`:     true,
		`{"text":"a","item_id":[[[1]]]}`:   false,
		`{"text":"a","x":{"y":{"z":[]}}}`:  false,
		`{"text":"a","x":{"y":{"z":"v"}}}`: true,
	} {
		if _, fault := d.Decode(&pipeline.Record{Value: []byte(value)}); (fault == nil) != ok {
			t.Errorf("%s: got %v, want accepted %v", value, fault, ok)
		}
	}
}

func TestRowsDoNotAliasTheRecord(t *testing.T) {
	record := &pipeline.Record{Value: []byte(smallReview)}
	row, fault := decoder(t, InputConfig{}, OutputConfig{}).Decode(record)
	if fault != nil {
		t.Fatal(fault)
	}
	text, id := strings.Clone(row.Text), strings.Clone(row.ID)
	clear(record.Value)
	if row.Text != text || row.ID != id {
		t.Errorf("got %q and %q after the record changed, want %q and %q", row.ID, row.Text, id, text)
	}
}

func TestAFaultLeavesNothingForTheNextRecord(t *testing.T) {
	d := decoder(t, InputConfig{}, OutputConfig{})
	for range 100 {
		if _, fault := d.Decode(&pipeline.Record{Value: []byte(`{"review_id":"old","item_id":"old","title":"old","text":"old"`)}); fault == nil {
			t.Fatal("got a row of a cut value")
		}
		row, fault := d.Decode(&pipeline.Record{Value: []byte(`{"text":"new"}`)})
		if fault != nil || row.ID != "" || row.Text != "new" || row.Copied != nil {
			t.Fatalf("got %+v, %v; want only the new text", row, fault)
		}
	}
}

func TestBoundOfCopiedValuesIsEachRecordsOwn(t *testing.T) {
	d := decoder(t, InputConfig{}, OutputConfig{})
	value := []byte(`{"text":"a","item_id":[` + strings.Repeat("0,", 5000) + "0]}")
	for range 4 {
		if _, fault := d.Decode(&pipeline.Record{Value: value}); fault != nil {
			t.Fatalf("got %v, want a row each time", fault)
		}
	}
}

func TestTitleJoinsAsInTraining(t *testing.T) {
	for _, c := range []struct{ title, text, want string }{
		{"", "good", "good"},
		{"  ", "good", "good"},
		{"Nice", "good", "Nice. good"},
		{"Nice!", "good", "Nice! good"},
		{"Nice。", "good", "Nice。 good"},
		{"Nice 5", "good", "Nice 5. good"},
	} {
		if got := Heading(c.title) + c.text; got != c.want {
			t.Errorf("title %q, text %q: got %q, want %q", c.title, c.text, got, c.want)
		}
	}
}

// FuzzJSONDecode holds the decoder against encoding/json: what ours accepts is JSON there too, with the same text.
func FuzzJSONDecode(f *testing.F) {
	for _, value := range hostile(200) { // the engine mutates long seeds slowly
		f.Add([]byte(value))
	}
	f.Add([]byte(smallReview))
	f.Add([]byte(longReview))
	f.Add([]byte(`{"text":"\ud800\ud800\udc00\udfff\ud83dx","item_id":{"a":[1.0e+2,{}]}}`))
	d := decoder(f, InputConfig{}, OutputConfig{})
	e, err := NewEncoder(OutputConfig{}, InputConfig{})
	if err != nil {
		f.Fatal(err)
	}
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
		if strings.TrimSpace(row.Text) == "" || !utf8.ValidString(row.Text) || row.Record != record {
			t.Fatalf("got %+v, want text in UTF-8 and the record", row)
		}
		var rival struct{ Text, Title *string }
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(strings.TrimPrefix(string(value), "\ufeff")), &fields); err != nil {
			t.Fatalf("accepted what encoding/json does not: %v", err)
		}
		if err := json.Unmarshal(fields["text"], &rival.Text); err != nil {
			t.Fatal(err)
		}
		title := ""
		if raw, ok := fields["title"]; ok {
			if err := json.Unmarshal(raw, &rival.Title); err != nil {
				t.Fatal(err)
			}
			if rival.Title != nil {
				title = *rival.Title
			}
		}
		if want := Heading(title) + *rival.Text; row.Text != want {
			t.Fatalf("got text %q, encoding/json has %q", row.Text, want)
		}
		result, fault := e.Append(nil, row)
		if fault != nil || !json.Valid(result) {
			t.Fatalf("got result %s, %v; want JSON", result, fault)
		}
	})
}

type rivalReview struct {
	ReviewID string `json:"review_id"`
	ItemID   any    `json:"item_id"`
	UserID   any    `json:"user_id"`
	Title    string `json:"title"`
	Text     string `json:"text"`
}

func BenchmarkJSONDecode(b *testing.B) {
	for _, size := range []struct{ name, review string }{{"small", smallReview}, {"womens", longReview}} {
		value := []byte(size.review)
		b.Run(size.name+"/nearline", func(b *testing.B) {
			d, err := NewDecoder(InputConfig{}, OutputConfig{}, Wanted{})
			if err != nil {
				b.Fatal(err)
			}
			record := &pipeline.Record{Value: value}
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				if _, fault := d.Decode(record); fault != nil {
					b.Fatal(fault)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reviews/s")
		})
		b.Run(size.name+"/encoding-json", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				var r rivalReview
				if err := json.Unmarshal(value, &r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reviews/s")
		})
	}
}

// To JSON 318.0 and 3.18e2 are the number 318, and a digit more is another one, whatever a float of 64 bits makes of it.
func TestAnIDThatIsANumberIsTheSameHoweverItIsWritten(t *testing.T) {
	d := decoder(t, InputConfig{}, OutputConfig{})
	for literal, want := range map[string]string{
		"318": "318", "318.0": "318", "3.18e2": "318", "9007199254740993": "9007199254740993", "9007199254740993.0": "9007199254740993", `"318.0"`: "318.0",
	} {
		row, fault := d.Decode(&pipeline.Record{Value: []byte(`{"review_id":` + literal + `,"text":"a"}`)})
		if fault != nil || row.ID != want {
			t.Errorf("%s: got %+v, %v, want the id %s", literal, row, fault, want)
		}
	}
}
