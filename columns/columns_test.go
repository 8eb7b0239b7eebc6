package columns

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"nearline/features"
	"nearline/pipeline"
)

// eventOf is a row of an event whose values are at the paths, by reads, with a lookup and a prediction before it.
func eventOf(reads []string, values map[string]pipeline.Value) *pipeline.Row {
	row := &pipeline.Row{
		Record: &pipeline.Record{Timestamp: time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)},
		Features: []pipeline.Field{{Name: "item", Value: pipeline.ObjectValue(
			pipeline.Field{Name: "reviews", Value: pipeline.IntValue(7)},
			pipeline.Field{Name: "latest", Value: pipeline.Value{Kind: pipeline.List, List: make([]pipeline.Value, 3)}},
		)}},
		Predictions: []pipeline.Prediction{{Columns: []pipeline.Field{{Name: "sentiment", Value: pipeline.ObjectValue(
			pipeline.Field{Name: "label", Value: pipeline.StringValue("negative")},
			pipeline.Field{Name: "score", Value: pipeline.FloatValue(0.75)},
		)}}}},
	}
	for _, path := range reads {
		row.Read = append(row.Read, values[path])
	}
	return row
}

func columnsBefore() []pipeline.Field {
	row := eventOf(nil, nil)
	return append(row.Predictions[0].Columns, row.Features...)
}

func declared(t *testing.T, text string) map[string]Config {
	t.Helper()
	var c map[string]Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &c, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

// Wanted values are what numpy, scikit-learn, Keras and pandas make of the same: log1p, digitize, StandardScaler, murmurhash3_32(positive=True) % N, get_dummies.
func TestColumnsAreMadeAsTheirLibrariesMakeThem(t *testing.T) {
	number := func(f float64) pipeline.Value { return pipeline.FloatValue(f) }
	text := pipeline.StringValue
	values := map[string]pipeline.Value{
		"rating": number(4), "price": number(1000), "zero": number(0), "half": number(0.5), "ten": number(10), "low": number(-3),
		"text": text("grün und naïve 日本"), "spaced": text("  grün\u00a0und\tnaïve\n日本 "), "brand": text("shoes"), "colour": text("grün"),
		"literal": {Kind: pipeline.Number, Str: "12.50"}, "yes": {Kind: pipeline.Bool, Bool: true}, "red": text("red"), "two": pipeline.IntValue(2),
		"made": text("2026-03-07T00:00:00Z"), "sent": text("2026-03-08T12:00:00Z"), "later": text("2027-01-01T00:00:00Z"),
	}
	for _, c := range []struct{ yaml, want string }{
		{"c: rating", "4"},
		{"c: {of: literal}", "12.5"},
		{"c: {of: yes}", "1"},
		{"c: absent", "NaN"},
		{"c: {of: absent, default: -1}", "-1"},
		{"c: {of: price, scale: {log: true}}", "6.90875477931522"},
		{"c: {of: low, scale: {log: true}}", "0"},
		{"c: {of: rating, scale: {mean: 3, deviation: 2}}", "0.5"},
		{"c: {of: rating, scale: {min: 1, max: 5}}", "0.75"},
		{"c: {of: price, scale: {log: true, mean: 6, deviation: 0.5}}", "1.81750955863044"},
		{"c: {of: half, buckets: [1, 10, 100]}", "0"},
		{"c: {of: ten, buckets: [1, 10, 100]}", "2"},
		{"c: {of: price, buckets: [1, 10, 100]}", "3"},
		{"c: {of: text, length: characters}", "17"},
		{"c: {of: spaced, length: words}", "4"},
		{"c: {of: item.latest, length: items}", "3"},
		{"c: item.reviews", "7"},
		{"c: sentiment.score", "0.75"},
		{"c: {of: sentiment, label: positive}", "0.25"},
		{"c: {of: brand, values: {boots: 1, shoes: 2}}", "2"},
		{"c: {of: colour, values: {boots: 1, shoes: 2}}", "NaN"},
		{"c: {of: brand, values: {shoes: 2}, scale: {min: 0, max: 4}}", "0.5"},
		{"c: {of: made, since: {}}", "3.5"},
		{"c: {of: made, since: {unit: 1h, until: sent}}", "36"},
		{"c: {of: later, since: {}}", "0"},
		{"c: {of: absent, since: {}, default: 1000}", "1000"},
		{"c: {of: brand, hash: 1024}", "1005"},
		{"c: {of: colour, hash: 1024}", "198"},
		{"c: {cross: [{of: red}, {of: two}], hash: 1024}", "554"},
		{"c: {cross: [red, {of: ten, buckets: [1, 10, 100]}], hash: 1024}", "554"},
		{"c: {cross: [absent, nothing], hash: 1024}", "NaN"},
	} {
		columns, reads, err := New("m", []pipeline.Column{{Name: "c"}}, declared(t, c.yaml), columnsBefore(), nil)
		if err != nil {
			t.Errorf("%s: %v", c.yaml, err)
			continue
		}
		numbers, texts, fault := columns.Append(eventOf(reads, values), nil, nil)
		if fault != nil || len(numbers) != 1 || len(texts) != 0 {
			t.Errorf("%s: got %v, %v, %v, want %s", c.yaml, numbers, texts, fault, c.want)
			continue
		}
		if got := fmt.Sprintf("%.15g", numbers[0]); got != c.want {
			t.Errorf("%s: got %s, want %s", c.yaml, got, c.want)
		}
	}
}

func TestColumnsComeInTheModelsOrder(t *testing.T) {
	wanted := []pipeline.Column{{Name: "colour_red"}, {Name: "note", Text: true}, {Name: "visits", Whole: true}, {Name: "colour_blue"}, {Name: "who", Text: true}, {Name: "f"}}
	columns, reads, err := New("m", wanted, declared(t, `
colour: {one_hot: [blue, red]}
visits: {default: 0}
note: {of: rating}
who: {default: nobody}
f: rating
`), columnsBefore(), []string{"earlier"})
	if err != nil {
		t.Fatal(err)
	}
	if reads[0] != "earlier" || len(reads) != 5 {
		t.Errorf("got reads %v, want earlier and four more", reads)
	}
	row := eventOf(reads, map[string]pipeline.Value{"colour": pipeline.StringValue("red"), "rating": pipeline.FloatValue(2.5)})
	numbers, texts, fault := columns.Append(row, []float64{9}, []string{"x"})
	if fault != nil || fmt.Sprint(numbers, texts) != "[9 1 0 0 2.5] [x 2.5 nobody]" {
		t.Errorf("got %v, %v, %v, want [9 1 0 0 2.5], [x 2.5 nobody]", numbers, texts, fault)
	}
}

func TestColumnsWithoutDeclarationAreTakenByName(t *testing.T) {
	columns, reads, err := New("m", []pipeline.Column{{Name: "price"}, {Name: "kind", Text: true}}, nil, nil, nil)
	if err != nil || strings.Join(reads, " ") != "kind price" {
		t.Fatalf("got %v, %v, want kind and price to be read", reads, err)
	}
	numbers, texts, fault := columns.Append(eventOf(reads, map[string]pipeline.Value{"price": pipeline.IntValue(3)}), nil, nil)
	if fault != nil || fmt.Sprint(numbers, texts) != "[3] []" {
		t.Errorf("got %v, %q, %v, want 3 and an empty text", numbers, texts, fault)
	}
}

func TestColumnsSayWhatDoesNotFitTheModel(t *testing.T) {
	wanted := []pipeline.Column{{Name: "price"}, {Name: "kind", Text: true}, {Name: "visits", Whole: true}}
	const good = "price: p\nkind: k\nvisits: v\n"
	for _, c := range []struct{ yaml, want string }{
		{good, ""},
		{"price: p\nkind: k\n", "inputs has nothing for visits, which model m reads: say what they are made of"},
		{good + "colour: c\n", "inputs has colour: model m reads no such column, want price, kind, visits"},
		{good + "size: {one_hot: [s, l]}\n", "inputs has size_l: model m reads no such column, want price, kind, visits\ninputs has size_s"},
		{"price: item.revievs\nkind: k\nvisits: v\n", "inputs has item.revievs: item has reviews, latest"},
		{"price: p\nkind: {of: k, hash: 10}\nvisits: v\n", "inputs.kind makes a number, and the model reads texts there"},
		{"price: {cross: [a, b]}\nkind: k\nvisits: v\n", "inputs.price makes a text, and the model reads numbers there: want hash or one_hot"},
		{"price: p\nkind: k\nvisits: {of: v, scale: {log: true}}\n", "inputs.visits makes fractions, and the model reads whole numbers there"},
		{"price: {of: p, default: much}\nkind: k\nvisits: v\n", `inputs.price.default is "much": want a number`},
		{"price: p\nkind: {of: k, default: 5}\nvisits: {of: v, default: 1}\n", ""},
		{"price: p\nkind: k\nvisits: {of: v, default: 1.5}\n", `inputs.visits.default is "1.5": want a whole number`},
	} {
		_, _, err := New("m", wanted, declared(t, c.yaml), columnsBefore(), nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s got %v, want %q", c.yaml, err, c.want)
		}
	}
}

func TestAValueThatDoesNotFitIsTheEventsFault(t *testing.T) {
	wanted := []pipeline.Column{{Name: "c", Whole: true}}
	for _, c := range []struct {
		yaml  string
		value pipeline.Value
		want  string
	}{
		{"c: v", pipeline.Value{}, "column c: there is no v, and whole numbers cannot be missing; give inputs.c a default"},
		{"c: v", pipeline.StringValue("many"), `column c: "many" is a text, and model m reads a number`},
		{"c: v", pipeline.Value{Kind: pipeline.List}, "column c: v is neither a text nor a number"},
		{"c: {of: v, buckets: [1]}", pipeline.StringValue("many"), `column c: v is "many", which is no number`},
		{"c: {of: v, length: items}", pipeline.StringValue("many"), "column c: v is no list"},
		{"c: {of: v, length: words}", pipeline.Value{Kind: pipeline.List}, "column c: v is no text"},
		{"c: v", pipeline.Value{Kind: pipeline.Number, Str: "1e999"}, "column c: v is 1e999, which is more than a number of 64 bits"},
	} {
		columns, reads, err := New("m", wanted, declared(t, c.yaml), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, fault := columns.Append(eventOf(reads, map[string]pipeline.Value{"v": c.value}), nil, nil)
		if fault == nil || fault.Class != pipeline.ClassInvalid || !strings.Contains(fault.Cause, c.want) {
			t.Errorf("%s of %v: got %v, want %q", c.yaml, c.value, fault, c.want)
		}
	}
	columns, reads, err := New("m", []pipeline.Column{{Name: "c"}}, declared(t, "c: {of: v, since: {}}"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, fault := columns.Append(eventOf(reads, map[string]pipeline.Value{"v": pipeline.StringValue("yesterday")}), nil, nil)
	if fault == nil || !strings.Contains(fault.Cause, "column c: v is no time") {
		t.Errorf("got %v, want that it is no time", fault)
	}
}

func TestColumnConfigNamesKeyValueAndRemedy(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"a", ""},
		{"{of: a.b, default: 3}", ""},
		{"{of: a..b}", `x.of is "a..b": want the path of a value`},
		{"{of: a, scale: {log: true}, hash: 3}", "x has scale and hash: want one of them"},
		{"{of: a, label: positive, hash: 3}", "x has hash: label and values make a number, which has none"},
		{"{of: a, label: positive, values: {b: 1}}", "x has label and values: want one of them"},
		{"{of: a, scale: {}}", "x.scale is empty"},
		{"{of: a, scale: {mean: 1, min: 2}}", "x.scale has mean or deviation, and min or max"},
		{"{of: a, scale: {mean: 1}}", "x.scale: want mean, and deviation above 0"},
		{"{of: a, scale: {mean: 1, deviation: 0}}", "x.scale: want mean, and deviation above 0"},
		{"{of: a, scale: {min: 1, max: 1}}", "x.scale: want min, and max above it"},
		{"{of: a, buckets: []}", "x.buckets is empty"},
		{"{of: a, buckets: [1, 1]}", "x.buckets[1] is 1: want boundaries, each above the last"},
		{"{of: a, length: letters}", `x.length is "letters": want characters, words or items`},
		{"{of: a, since: {unit: -1h}}", "x.since.unit is -1h0m0s"},
		{"{of: a, one_hot: []}", "x.one_hot is empty"},
		{"{of: a, one_hot: [b, b]}", `x.one_hot[1] is "b": it is there already`},
		{"{of: a, one_hot: [b], default: 1}", "x.default is 1: one_hot has 0 in every column"},
		{"{of: a, hash: -1}", "x.hash is -1"},
		{"{cross: [a]}", "x.cross has 1 parts: want at least two"},
		{"{of: a, cross: [a, b]}", "x has cross: want nothing beside it but hash or one_hot"},
		{"{cross: [a, {hash: 3}]}", "x.cross[1].of is missing"},
		{"{cross: [a, {of: b, hash: 3}]}", "x.cross[1]: a part has no one_hot, hash or default"},
	} {
		var config Config
		if err := yaml.UnmarshalWithOptions([]byte(c.yaml), &config, yaml.Strict()); err != nil {
			t.Fatalf("%s: %v", c.yaml, err)
		}
		err := config.Validate("x")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.yaml, err, c.want)
		}
	}
	if !math.IsNaN((&ScaleConfig{Log: true}).apply(math.NaN())) {
		t.Error("a missing number is none once it is scaled")
	}
}

func TestAFeatureThatIsMissingIsAMissingNumberAndAnEmptyText(t *testing.T) {
	view := features.NewView(features.ViewConfig{Name: "item", Key: "k", Fields: []features.FieldConfig{
		{Name: "mood", Default: new(features.FieldDefault(math.NaN())), Mean: &features.MeanConfig{Operand: features.Operand{Of: "x"}}},
	}})
	columns, _, err := New("m", []pipeline.Column{{Name: "mood"}, {Name: "word", Text: true}, {Name: "gone"}}, declared(t, "mood: item.mood\nword: item.mood\ngone: {default: missing}"),
		[]pipeline.Field{{Name: "item", Value: pipeline.ObjectValue(view.Defaults()...)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	row := &pipeline.Row{Record: &pipeline.Record{}, Features: []pipeline.Field{{Name: "item", Value: pipeline.ObjectValue(view.Defaults()...)}}}
	numbers, texts, fault := columns.Append(row, nil, nil)
	if fault != nil || fmt.Sprint(numbers, texts) != "[NaN NaN] []" {
		t.Errorf("got %v, %q, %v, want missing numbers and an empty text", numbers, texts, fault)
	}
}
