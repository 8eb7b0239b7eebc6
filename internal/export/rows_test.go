package export

import (
	"errors"
	"strings"
	"testing"
	"time"

	"nearline/features"
	"nearline/pipeline"
	"nearline/schemas"
)

func user() features.ViewConfig {
	return features.ViewConfig{Name: "user", Key: "visitor.id", Time: "seen", Fields: []features.FieldConfig{{Name: "visits", Count: &features.CountConfig{}}}}
}

func TestRowsStayAsTheyAre(t *testing.T) {
	r, err := newRows([]View{*viewOf(item()), *viewOf(user())}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, want string }{
		{`{"item_id":"a","created_at":5,"visitor":{"id":7.0},"seen":"1970-01-01T00:00:06Z","b":1e400,"é":"\u00e9"}`,
			`{"item_id":"a","created_at":5,"visitor":{"id":7.0},"seen":"1970-01-01T00:00:06Z","b":1e400,"é":"\u00e9"`},
		{" { \"z\" : [1, 2] , \"item_id\":\"a\",\"created_at\":5,\"visitor\":{\"id\":\"7.0\"},\"seen\":6.0004  }\r ",
			`{ "z" : [1, 2] , "item_id":"a","created_at":5,"visitor":{"id":"7.0"},"seen":6.0004`},
		{"\xef\xbb\xbf{\n \"item_id\": \"a\",\n \"text\": \"one\\n two\", \"created_at\": 5000.0, \"visitor\": {\"id\": \"7.0\"}, \"seen\": 6\n}\n",
			`{"item_id":"a","text":"one\n two","created_at":5000.0,"visitor":{"id":"7.0"},"seen":6`},
	} {
		row, bad := r.read(label{place: line(1), text: []byte(c.in)})
		if bad != nil {
			t.Errorf("%s: %v", c.in, bad)
			continue
		}
		if string(row.text) != c.want {
			t.Errorf("got %s, want %s", row.text, c.want)
		}
		key := "7.0" // a text is itself
		if strings.Contains(c.in, `"id":7.0`) {
			key = "7" // a number is the number, however it is written
		}
		if row.keys[0] != "a" || row.keys[1] != key || row.times[0] != 5000 && row.times[0] != 5_000_000 || row.times[1] != 6000 {
			t.Errorf("%s: got keys %q and times %v", c.in, row.keys, row.times)
		}
	}
}

func TestRowsOfRecordsAreOfTheTimeThatTheViewTakesThemToBeOf(t *testing.T) {
	lenient, strict, written := *viewOf(item()), *viewOf(item()), *viewOf(item())
	lenient.OrWritten = true
	strict.As, written.As, written.Time = "strict", "written", ""
	for _, c := range []struct {
		name string
		view View
		in   string
		at   time.Time
		want int64 // 0 for none
	}{
		{"its own", lenient, `{"item_id":"a","created_at":"1970-01-01T00:00:05.0009Z"}`, time.UnixMilli(9000), 5000},
		{"the record's, where it is of a future", lenient, `{"item_id":"a","created_at":12}`, time.UnixMilli(9000), 9000},
		{"the record's, where it has none", lenient, `{"item_id":"a"}`, time.UnixMilli(9000), 9000},
		{"the record's, where it has null", lenient, `{"item_id":"a","created_at":null}`, time.UnixMilli(9000), 9000},
		{"none, where it is said to have one", strict, `{"item_id":"a"}`, time.UnixMilli(9000), 0},
		{"the record's, where none is named", written, `{"item_id":"a","created_at":5}`, time.UnixMilli(9000), 9000},
		{"its own, where it is a line", lenient, `{"item_id":"a","created_at":12}`, time.Time{}, 12_000},
		{"none, where it is a line without", lenient, `{"item_id":"a"}`, time.Time{}, 0},
	} {
		r, err := newRows([]View{c.view}, false)
		if err != nil {
			t.Fatal(err)
		}
		row, bad := r.read(label{place: line(1), text: []byte(c.in), at: c.at})
		switch {
		case bad != nil && c.want != 0:
			t.Errorf("%s: got %v, want %d", c.name, bad, c.want)
		case bad == nil && row.times[0] != c.want:
			t.Errorf("%s: got %d, want %d", c.name, row.times[0], c.want)
		}
	}
}

func TestBadRowsSayWhatIsWrongWithThem(t *testing.T) {
	r, err := newRows([]View{*viewOf(item()), *viewOf(user())}, true)
	if err != nil {
		t.Fatal(err)
	}
	const good = `"item_id":"a","created_at":5,"visitor":{"id":7},"seen":6`
	for _, c := range []struct{ in, what, want string }{
		{`no JSON`, "no JSON object", "line 8: not JSON at byte"},
		{`[1]`, "no JSON object", "an array"},
		{`{` + good + `,"item_id":"b"}`, "no JSON object", `"item_id" occurs twice`},
		{`{"created_at":5,"visitor":{"id":7},"seen":6}`, "item_id is missing", "line 8: item_id is missing: it is the key of view item"},
		{`{"item_id":"","created_at":5,"visitor":{"id":7},"seen":6}`, "item_id is missing", "item_id is missing"},
		{`{"item_id":"a","created_at":5,"visitor":7,"seen":6}`, "visitor.id is missing", "visitor.id is missing: it is the key of view user"},
		{`{"item_id":{"a":1},"created_at":5,"visitor":{"id":7},"seen":6}`, "item_id is no key", "item_id is neither a text nor a number"},
		{`{"item_id":"` + strings.Repeat("a", 1025) + `","created_at":5,"visitor":{"id":7},"seen":6}`, "item_id is no key", "item_id has 1025 bytes"},
		{`{"item_id":"a","visitor":{"id":7},"seen":6}`, "created_at is missing", "created_at is missing: it is the row's time for view item"},
		{`{"item_id":"a","created_at":"yesterday","visitor":{"id":7},"seen":6}`, "created_at is no time", "created_at is no time: want one as in RFC 3339"},
		{`{"item_id":"a","created_at":5,"visitor":{"id":7},"seen":true}`, "seen is no time", "seen is no time"},
		{`{` + good + `,"item":1}`, "item is there", "item is there, which view item would write"},
		{`{` + good + `,"user_\u0061t":null}`, "user_at is there", "user_at is there, which view user would write"},
	} {
		_, bad := r.read(label{place: line(8), text: []byte(c.in)})
		if bad == nil {
			t.Errorf("%s: got no error, want %q", c.in, c.want)
			continue
		}
		if bad.what != c.what || !strings.Contains(bad.Error(), c.want) {
			t.Errorf("%s: got %q, %v; want %q, %q", c.in, bad.what, bad, c.what, c.want)
		}
	}
	if _, bad := r.read(label{place: line(8), text: []byte("{" + good), fault: errors.New("half of it")}); bad == nil || bad.what != "too large" {
		t.Errorf("half a row: got %v, want it refused", bad)
	}
}

func TestViewsThatDoNotGoTogetherAreNamed(t *testing.T) {
	again, odd, timeless := viewOf(user()), viewOf(user()), viewOf(user())
	again.As, odd.Key, timeless.Time = "item_at", "a..b", ""
	for _, c := range []struct {
		view *View
		want string
	}{
		{again, `views item and user would both write "item_at"`},
		{odd, `"a..b" is no path`},
		{timeless, "view user takes the time from records, and lines have none"},
	} {
		if _, err := newRows([]View{*viewOf(item()), *c.view}, true); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// A row's key and time are those that the same event's update has, digit for digit: other digits would be another key.
func TestRowsHaveTheKeysAndTimesThatUpdatesHave(t *testing.T) {
	view := viewOf(item())
	emit, reads, err := features.NewEmit(view.View, "updates", nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := schemas.NewDecoder(schemas.InputConfig{Map: &schemas.Mapping{}, MaxValueBytes: 1 << 20}, schemas.OutputConfig{}, schemas.Wanted{Paths: reads, Textless: true})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := newRows([]View{*view}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"a"`, `"007"`, `7`, `-0`, `7.0`, `7.50`, `1e3`, `1E+3`, `12345678901234567890`, `0.1`, `1e-7`, `1e21`, `"é"`, `true`} {
		for _, at := range []string{`5`, `1700000000`, `1700000000.25`, `1700000000123`, `1.7e9`, `1700000000123.9`, `"2026-01-31T12:00:00Z"`, `"2026-01-31T12:00:00.1239+02:00"`, `-1`} {
			event := `{"item_id":` + key + `,"created_at":` + at + `}`
			decoded, fault := decoder.Decode(&pipeline.Record{Value: []byte(event)})
			if fault != nil {
				t.Fatalf("%s: %v", event, fault)
			}
			decoded.Record = &pipeline.Record{Value: []byte(event), Timestamp: time.Now()}
			if err := emit.Run(t.Context(), []*pipeline.Row{decoded}); err != nil {
				t.Fatal(err)
			}
			row, bad := rows.read(label{place: line(1), text: []byte(event)})
			if (bad != nil) != (decoded.Fault != nil) {
				t.Errorf("%s: its row has the error %v, its update %v: want both or none", event, bad, decoded.Fault)
				continue
			}
			if bad != nil {
				continue
			}
			update, fault := view.DecodeUpdate(&pipeline.Record{Key: decoded.Beside[0].Key, Value: decoded.Beside[0].Value})
			if fault != nil {
				t.Fatalf("%s: %v", event, fault)
			}
			if row.keys[0] != string(decoded.Beside[0].Key) || row.times[0] != update.At {
				t.Errorf("%s: its row is of %q at %d, its update of %q at %d", event, row.keys[0], row.times[0], decoded.Beside[0].Key, update.At)
			}
		}
	}
}
