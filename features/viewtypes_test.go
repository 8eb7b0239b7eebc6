package features

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"nearline/pipeline"
)

func TestValuesReadBackAsTheyWereWritten(t *testing.T) {
	view := NewView(shop())
	check := func(i int, want pipeline.Value) {
		t.Helper()
		text := FormatValue(want)
		got, err := view.Parse(i, text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) || math.Signbit(got.Float) != math.Signbit(want.Float) {
			t.Errorf("%s of %s: got %v, want %v", text, view.Fields()[i], got, want)
		}
	}
	state := view.newState()
	for i, f := range view.Defaults() {
		check(i, f.Value)
	}
	for _, e := range randomEvents(rand.New(rand.NewPCG(3, 1)), 300) {
		e.user = []string{e.user, "\"quoted\"", "naïve\n😀", "5", ""}[len(e.review)%5]
		view.add(state, view.updateOf(e))
		for i, f := range view.Values(state, state.At) {
			check(i, f.Value)
		}
	}
	for _, number := range []float64{math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1), 0.30000000000000004, 1 << 53, 1e21} {
		check(2, pipeline.FloatValue(number))
		check(7, listValue([]ranked{{"a", number}}, ranked.value))
	}
	for _, number := range []int64{math.MaxInt64, math.MinInt64} {
		check(0, pipeline.IntValue(number))
	}
}

func TestTextsOfValuesAreWhatOtherToolsRead(t *testing.T) {
	for _, c := range []struct {
		value pipeline.Value
		want  string
	}{
		{pipeline.IntValue(12), "12"},
		{pipeline.FloatValue(0.25), "0.25"},
		{pipeline.FloatValue(3), "3"},
		{listValue([]string{"a", `b"ü`}, pipeline.StringValue), `["a","b\"ü"]`},
		{listValue([]string{}, pipeline.StringValue), `[]`},
		{listValue([]ranked{{"a", 0.5}, {"b", -1}}, ranked.value), `[{"of":"a","by":0.5},{"of":"b","by":-1}]`},
		{listValue([]int64{1}, pipeline.IntValue), `[1]`},
		{pipeline.Value{}, "null"},
	} {
		if got := FormatValue(c.value); got != c.want {
			t.Errorf("%v is written %s, want %s", c.value, got, c.want)
		}
	}
}

func TestATextThatIsNoValueOfItsFieldIsAnErrorThatShowsIt(t *testing.T) {
	view := NewView(shop())
	for i, texts := range map[int][]string{
		3: {"nan", "-inf", "1e999"},                                // a decayed sum
		0: {"", "2.5", "1e3", "many", "9223372036854775808", " 1"}, // count
		1: {"", "a", "[]", "1e999"},                                // count with a half-life
		6: {"", "null", "a", "{}", `["a"`, "[1]", `"a"`, "5"},      // last
		7: {"", "null", `["a"]`, "{}", `[{"of":1}]`, `[{"by":"x"}]`, `[{"of":"a","by":1e999}]`, "0.5"},
		8: {"", "2.5", "[]"}, // distinct
	} {
		for _, text := range texts {
			_, err := view.Parse(i, text)
			if name := view.Fields()[i]; err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "item") {
				t.Errorf("%q of %s: got error %v, want one that names field and view", text, name, err)
			}
		}
	}
	if _, err := view.Parse(2, strings.Repeat("x", 1<<20)); err == nil || len(err.Error()) > 500 {
		t.Errorf("a megabyte of nonsense is shown in %d bytes", len(err.Error()))
	}
}

func FuzzParseReadsWhatItWouldWrite(f *testing.F) {
	view := NewView(shop())
	for i, text := range []string{"1", "2.5", "NaN", "-0", "1e308", "0x1p-3", `["a","\ud800"]`, `[{"of":"a","by":0.5,"more":[]}]`, "12"} {
		f.Add(uint(i), text)
	}
	f.Fuzz(func(t *testing.T, i uint, text string) {
		at := int(i % uint(len(view.fields)))
		value, err := view.Parse(at, text)
		if err != nil {
			return
		}
		written := FormatValue(value)
		again, err := view.Parse(at, written)
		if err != nil || FormatValue(again) != written {
			t.Errorf("%q is %v, written %q, read again %v: %v", text, value, written, again, err)
		}
	})
}
