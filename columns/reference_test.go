package columns

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"nearline/features"
	"nearline/pipeline"
)

// reference is what the libraries themselves make of values: testdata/make_reference.py.
type reference struct {
	Numbers  []float64
	Log1p    []*float64 // nil where numpy has none
	Standard struct {
		Mean, Deviation float64
		Values          []float64
	}
	Span struct {
		Min, Max float64
		Values   []float64
	}
	Digitize struct {
		Bounds []float64
		Values []float64
	}
	Texts []string
	Hash  map[string][]float64
	Words []struct {
		Text              string
		Words, Characters float64
	}
	Dummies  map[string][]float64
	Literals []string
	Same     [][]int
	Whole    []bool
}

func theReference(t *testing.T) *reference {
	t.Helper()
	data, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	r := new(reference)
	if err := json.Unmarshal(data, r); err != nil || len(r.Numbers) < 100 || len(r.Words) < 100 {
		t.Fatalf("got %d numbers and %d texts of words, %v, want those of the script", len(r.Numbers), len(r.Words), err)
	}
	return r
}

// column is what a declaration makes of a value at the path v.
func column(t *testing.T, wanted pipeline.Column, config string, v pipeline.Value) string {
	t.Helper()
	columns, reads, err := New("m", []pipeline.Column{wanted}, declared(t, config), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	numbers, texts, fault := columns.Append(eventOf(reads, map[string]pipeline.Value{"v": v}), nil, nil)
	if fault != nil {
		t.Fatalf("%s of %v: %v", config, v.Any(), fault)
	}
	if wanted.Text {
		return texts[0]
	}
	return fmt.Sprint(numbers[0])
}

func TestColumnsAreWhatTheLibrariesMakeOfTheSameValues(t *testing.T) {
	r := theReference(t)
	made := func(config string, v pipeline.Value, want float64) {
		t.Helper()
		if got := column(t, pipeline.Column{Name: "c"}, config, v); got != fmt.Sprint(want) {
			t.Errorf("%s of %v: got %s, want %v", config, v.Any(), got, want)
		}
	}
	for i, n := range r.Numbers {
		v := pipeline.FloatValue(n)
		made(fmt.Sprintf("c: {of: v, scale: {mean: %v, deviation: %v}}", r.Standard.Mean, r.Standard.Deviation), v, r.Standard.Values[i])
		made(fmt.Sprintf("c: {of: v, scale: {min: %v, max: %v}}", r.Span.Min, r.Span.Max), v, r.Span.Values[i])
		made("c: {of: v, buckets: "+strings.ReplaceAll(fmt.Sprint(r.Digitize.Bounds), " ", ", ")+"}", v, r.Digitize.Values[i])
	}
	for n, hashes := range r.Hash {
		for i, text := range r.Texts {
			made("c: {of: v, hash: "+n+"}", pipeline.StringValue(text), hashes[i])
		}
	}
	for _, w := range r.Words {
		made("c: {of: v, length: words}", pipeline.StringValue(w.Text), w.Words)
		made("c: {of: v, length: characters}", pipeline.StringValue(w.Text), w.Characters)
	}
	for name, hot := range r.Dummies {
		for i, text := range []string{"de", "fr", "at"} {
			columns, reads, err := New("m", []pipeline.Column{{Name: "shop_de"}, {Name: "shop_fr"}, {Name: "shop_at"}}, declared(t, "shop: {of: v, one_hot: [de, fr, at]}"), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			numbers, _, _ := columns.Append(eventOf(reads, map[string]pipeline.Value{"v": pipeline.StringValue(text)}), nil, nil)
			if at := slices.Index([]string{"shop_de", "shop_fr", "shop_at"}, name); numbers[at] != hot[i] {
				t.Errorf("%s of %s: got %v, want %v", name, text, numbers[at], hot[i])
			}
		}
	}
}

// Logarithms are no sums and products: libraries of mathematics agree on them but for the last digit of a float of 64 bits.
func TestLogarithmsAreNumpysButForTheLastDigit(t *testing.T) {
	r := theReference(t)
	for i, n := range r.Numbers {
		if r.Log1p[i] == nil {
			continue
		}
		got, want := (&ScaleConfig{Log: true}).apply(n), *r.Log1p[i]
		if got != want && got != math.Nextafter(want, math.Inf(1)) && got != math.Nextafter(want, math.Inf(-1)) {
			t.Errorf("log1p(%v): got %v, want %v", n, got, want)
		}
	}
	for _, n := range []float64{-1, -1.5, math.Inf(-1)} { // which has no logarithm
		if got := (&ScaleConfig{Log: true}).apply(n); got != 0 {
			t.Errorf("log1p(%v): got %v, want 0", n, got)
		}
	}
}

// A number is one key, one text and one hash, however a producer writes it, and another number another one.
func TestIDsAreTheSameWhereTheirNumbersAre(t *testing.T) {
	r := theReference(t)
	view := features.NewView(features.ViewConfig{Name: "v", Key: "k"})
	keys := make([]string, len(r.Literals))
	for i, literal := range r.Literals {
		v := pipeline.Value{Kind: pipeline.Number, Str: literal}
		key, err := view.KeyOf(v, "k")
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = key
		if text := column(t, pipeline.Column{Name: "c", Text: true}, "c: {of: v}", v); text != key {
			t.Errorf("%s: got the text %s, want %s as the key", literal, text, key)
		}
		if hash, want := column(t, pipeline.Column{Name: "c"}, "c: {of: v, hash: 100000}", v), column(t, pipeline.Column{Name: "c"}, "c: {of: v, hash: 100000}", pipeline.StringValue(key)); hash != want {
			t.Errorf("%s: got the hash %s, want that of %s, %s", literal, hash, key, want)
		}
		if crossed, want := column(t, pipeline.Column{Name: "c"}, "c: {cross: [v, v], hash: 100000}", v), column(t, pipeline.Column{Name: "c"}, "c: {cross: [v, v], hash: 100000}", pipeline.StringValue(key)); crossed != want {
			t.Errorf("%s: got the cross %s, want that of %s, %s", literal, crossed, key, want)
		}
		if pipeline.Whole(literal) != r.Whole[i] {
			t.Errorf("%s: got whole %t", literal, !r.Whole[i])
		}
	}
	for i := range keys {
		var same []int
		for j := range keys {
			if keys[i] == keys[j] {
				same = append(same, j)
			}
		}
		if fmt.Sprint(same) != fmt.Sprint(r.Same[i]) {
			t.Errorf("%s is %s, as are %v, want %v", r.Literals[i], keys[i], same, r.Same[i])
		}
	}
}
