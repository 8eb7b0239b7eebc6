package schemas

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"nearline/pipeline"
)

func encoder(t testing.TB, out OutputConfig, in InputConfig) Encoder {
	t.Helper()
	e, err := NewEncoder(out, in)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// columns are of these names, with nothing known of what they hold.
func columns(names ...string) (list []pipeline.Field) {
	for _, name := range names {
		list = append(list, pipeline.Field{Name: name})
	}
	return list
}

func scoredRow() *pipeline.Row {
	return &pipeline.Row{
		Record: &pipeline.Record{Topic: "reviews.raw", Partition: 3, Offset: 42},
		ID:     "r-1842",
		Text:   "Fits well.",
		Copied: []pipeline.Field{{Name: "item_id", Value: pipeline.StringValue("B00A1")}, {Name: "user_id", Value: pipeline.StringValue("u-77")}},
		Predictions: []pipeline.Prediction{{
			Model: "sentiment", Version: 3, At: time.Date(2026, 5, 6, 7, 8, 9, 123456789, time.UTC),
			Columns: []pipeline.Field{
				{Name: "sentiment", Value: pipeline.ObjectValue(
					pipeline.Field{Name: "label", Value: pipeline.StringValue("positive")},
					pipeline.Field{Name: "score", Value: pipeline.FloatValue(float64(float32(0.9871)))})},
				{Name: "helpfulness", Value: pipeline.FloatValue(float64(float32(0.41)))},
			},
		}},
	}
}

func TestJSONResultHasIdsPredictionsAndModel(t *testing.T) {
	got, fault := encoder(t, OutputConfig{}, InputConfig{}).Append([]byte("before"), scoredRow())
	want := `before{"review_id":"r-1842","item_id":"B00A1","user_id":"u-77","sentiment":{"label":"positive","score":0.9871},` +
		`"helpfulness":0.41,"model":"sentiment","model_version":3,"scored_at":"2026-05-06T07:08:09.123Z"}`
	if fault != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, fault, want)
	}
}

func TestJSONResultOfEventWithoutIDHasItsCoordinates(t *testing.T) {
	row := scoredRow()
	row.ID, row.Copied = "", nil
	got, _ := encoder(t, OutputConfig{}, InputConfig{}).Append(nil, row)
	want := `{"source":{"topic":"reviews.raw","partition":3,"offset":42},"sentiment":`
	if !strings.HasPrefix(string(got), want) {
		t.Errorf("got %s, want it to begin with %s", got, want)
	}
}

func TestJSONResultOfSeveralStepsNamesEveryModel(t *testing.T) {
	row := scoredRow()
	row.Predictions = append(row.Predictions, pipeline.Prediction{
		Model: "ranker", Version: 2, At: time.Date(2026, 1, 1, 1, 1, 1, 0, time.FixedZone("", 3600)),
		Columns: []pipeline.Field{{Name: "rank", Value: pipeline.IntValue(-4)}},
	})
	got, _ := encoder(t, OutputConfig{}, InputConfig{}).Append(nil, row)
	want := `"helpfulness":0.41,"rank":-4,"model":"ranker","model_version":2,"models":[{"model":"sentiment","model_version":3},` +
		`{"model":"ranker","model_version":2}],"scored_at":"2026-01-01T00:01:01.000Z"}`
	if !strings.HasSuffix(string(got), want) {
		t.Errorf("got %s, want it to end with %s", got, want)
	}
}

func TestJSONIdIsNamedAfterItsField(t *testing.T) {
	for _, c := range []struct {
		in   InputConfig
		out  OutputConfig
		want string
	}{
		{InputConfig{}, OutputConfig{}, `{"review_id":"r-1842"`},
		{InputConfig{Map: &Mapping{ID: "meta.uuid", Text: "t"}}, OutputConfig{}, `{"uuid":"r-1842"`},
		{InputConfig{Map: &Mapping{ID: "ids.0", Text: "t"}}, OutputConfig{}, `{"id":"r-1842"`},
		{InputConfig{Map: &Mapping{ID: "meta.uuid", Text: "t"}}, OutputConfig{ID: "key"}, `{"key":"r-1842"`},
	} {
		got, fault := encoder(t, c.out, c.in).Append(nil, scoredRow())
		if fault != nil || !strings.HasPrefix(string(got), c.want) {
			t.Errorf("got %s, %v; want it to begin with %s", got, fault, c.want)
		}
	}
}

func TestJSONValuesOfEveryKind(t *testing.T) {
	for _, c := range []struct {
		value pipeline.Value
		want  string
	}{
		{pipeline.Value{}, `null`},
		{pipeline.Value{Kind: pipeline.Bool, Bool: true}, `true`},
		{pipeline.IntValue(math.MinInt64), `-9223372036854775808`},
		{num("-0.10e+5"), `-0.10e+5`},
		{num("12345678901234567890"), `12345678901234567890`},
		{pipeline.StringValue("a\"\n\x01<ü😀\u2028"), `"a\"\n\u0001<ü😀` + "\u2028" + `"`},
		{pipeline.FloatValue(0.1), `0.1`},
		{pipeline.FloatValue(1.0 / 3), `0.3333333333333333`},
		{pipeline.FloatValue(float64(float32(1) / 3)), `0.33333334`},
		{pipeline.FloatValue(16777217), `16777217`},
		{pipeline.FloatsValue([]float32{0.5, 1e-8}), `[0.5,1e-8]`},
		{pipeline.Value{Kind: pipeline.List, List: []pipeline.Value{{}, pipeline.IntValue(1)}}, `[null,1]`},
		{pipeline.ObjectValue(str("a", "b"), str("c\"", "d")), `{"a":"b","c\"":"d"}`},
	} {
		row := &pipeline.Row{Record: &pipeline.Record{}, ID: "1", Copied: []pipeline.Field{{Name: "v", Value: c.value}}}
		got, fault := encoder(t, OutputConfig{}, InputConfig{}).Append(nil, row)
		if want := `{"review_id":"1","v":` + c.want + `}`; fault != nil || string(got) != want || !json.Valid(got) {
			t.Errorf("got %s, %v; want %s", got, fault, want)
		}
	}
}

func TestWhatHasNoFormInJSONIsTheRecordsFault(t *testing.T) {
	for _, c := range []struct {
		value pipeline.Value
		want  string
	}{
		{pipeline.FloatValue(math.NaN()), "helpfulness is NaN: JSON has no such number"},
		{pipeline.ObjectValue(pipeline.Field{Name: "score", Value: pipeline.FloatValue(math.Inf(-1))}), "helpfulness is -Inf: JSON has no such number"},
		{pipeline.FloatsValue([]float32{float32(math.Inf(1))}), "helpfulness is +Inf: JSON has no such number"},
		{num("1x"), `helpfulness is no number: "1x"`},
		{num(""), `helpfulness is no number: ""`},
		{num("01"), `helpfulness is no number: "01"`},
		{num("1."), `helpfulness is no number: "1."`},
		{num("1e"), `helpfulness is no number: "1e"`},
		{pipeline.Value{Kind: 99}, "helpfulness is of a kind that has no form in JSON: 99"},
	} {
		row := scoredRow()
		row.Predictions[0].Columns[1].Value = c.value
		_, fault := encoder(t, OutputConfig{}, InputConfig{}).Append(nil, row)
		if fault == nil || fault.Class != pipeline.ClassEncode || fault.Stage != pipeline.StageEncode || fault.Cause != c.want {
			t.Errorf("got %+v, want encode: %s", fault, c.want)
		}
	}
}

func TestNameTakenTwiceIsFoundBeforeAnyRecord(t *testing.T) {
	e := encoder(t, OutputConfig{}, InputConfig{})
	if err := e.Check(columns("sentiment", "helpfulness")); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	err := e.Check(columns("item_id", "model", "rank", "rank"))
	want := `the column "item_id" of a prediction and a field of output have one name: copy the field under another
the column "model" of a prediction and a field of output have one name: copy the field under another
two predictions have a column "rank": name one of them otherwise in its step`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	for _, format := range []string{FormatJSON, FormatAvro} {
		row := scoredRow()
		row.Predictions = append(row.Predictions, row.Predictions[0])
		if _, fault := encoder(t, OutputConfig{Format: format}, InputConfig{}).Append(nil, row); fault == nil || fault.Class != pipeline.ClassEncode {
			t.Errorf("%s: got %v, want a fault for a name twice", format, fault)
		}
	}
}

func BenchmarkJSONEncode(b *testing.B) {
	row := scoredRow()
	b.Run("nearline", func(b *testing.B) {
		e, err := NewEncoder(OutputConfig{}, InputConfig{})
		if err != nil {
			b.Fatal(err)
		}
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			var fault *pipeline.Fault
			if buf, fault = e.Append(buf[:0], row); fault != nil {
				b.Fatal(fault)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reviews/s")
	})
	b.Run("encoding-json", func(b *testing.B) {
		type sentiment struct {
			Label string  `json:"label"`
			Score float32 `json:"score"`
		}
		type result struct {
			ReviewID    string    `json:"review_id"`
			ItemID      string    `json:"item_id"`
			UserID      string    `json:"user_id"`
			Sentiment   sentiment `json:"sentiment"`
			Helpfulness float32   `json:"helpfulness"`
			Model       string    `json:"model"`
			Version     int       `json:"model_version"`
			ScoredAt    time.Time `json:"scored_at"`
		}
		r := result{row.ID, "B00A1", "u-77", sentiment{"positive", 0.9871}, 0.41, "sentiment", 3, row.Predictions[0].At}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(&r); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reviews/s")
	})
}
