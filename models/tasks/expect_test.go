package tasks

import (
	"math"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"nearline/pipeline"
)

func TestExpectReadsNumbersAndLabels(t *testing.T) {
	var got map[string]Expect
	if err := yaml.Unmarshal([]byte("a: {label: x, score: 0.5}\nb: {label: y}\nc: 1\nd: -0.25\n"), &got); err != nil {
		t.Fatal(err)
	}
	if a := got["a"]; a.Label != "x" || *a.Score != 0.5 {
		t.Errorf("got %+v, want x 0.5", a)
	}
	if b := got["b"]; b.Label != "y" || b.Score != nil {
		t.Errorf("got %+v, want y without a score", b)
	}
	if *got["c"].Score != 1 || *got["d"].Score != -0.25 || got["c"].Label != "" {
		t.Errorf("got %+v and %+v, want 1 and -0.25", got["c"], got["d"])
	}
}

func TestExpectChecksLabelAndScore(t *testing.T) {
	half, label := 0.5, func(l string, s float64) pipeline.Value {
		return pipeline.ObjectValue(pipeline.Field{Name: "label", Value: pipeline.StringValue(l)}, pipeline.Field{Name: "score", Value: pipeline.FloatValue(s)})
	}
	for _, c := range []struct {
		expect Expect
		got    pipeline.Value
		want   string
	}{
		{Expect{Label: "x", Score: &half}, label("x", 0.52), ""},
		{Expect{Label: "x"}, label("x", 0.9), ""},
		{Expect{Label: "x", Score: &half}, label("x", 0.53), "got x 0.5300, want x 0.5000 within 0.02"},
		{Expect{Label: "x", Score: &half}, label("y", 0.5), "got y 0.5000, want x 0.5000"},
		{Expect{Score: &half}, pipeline.FloatValue(0.49), ""},
		{Expect{Score: &half}, pipeline.FloatValue(0.4), "got 0.4000, want 0.5000 within 0.02"},
		{Expect{Score: &half}, pipeline.FloatValue(math.NaN()), "got NaN"},
	} {
		err := c.expect.Check(c.got, 0.020001)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(strings.ReplaceAll(err.Error(), "0.020001", "0.02"), c.want) {
			t.Errorf("%+v of %+v: got %v, want %q", c.expect, c.got, err, c.want)
		}
	}
}

func TestExpectOfEveryKindFitsItsHeadAndChecksItsAnswer(t *testing.T) {
	class := resolved(t, Head{Labels: three, Scores: "all"}, 3)
	several := resolved(t, Head{Kind: MultiLabel, Labels: three}, 3)
	all := resolved(t, Head{Kind: MultiLabel, Labels: three, Scores: "all"}, 3)
	number := resolved(t, Head{Kind: Score}, 1)
	numbers := resolved(t, Head{Kind: Score, Labels: three}, 3)
	vector := embedding(t, Vector{Pooling: Poolings{Mean}}, 3)
	bytes := embedding(t, Vector{Pooling: Poolings{Mean}, Type: Int8}, 3)
	unsigned := embedding(t, Vector{Pooling: Poolings{Mean}, Type: Ubinary}, 3)
	for _, c := range []struct {
		head   Head
		logits []float32
		yaml   string
		fits   string // part of the error, "" for none
		check  string
	}{
		{class, []float32{0, 1, 0}, "{label: b, scores: {a: 0.21}}", "", ""},
		{class, []float32{0, 1, 0}, "{label: b, scores: {a: 0.5}}", "", "got a 0.2119, want a 0.5000 within 0.01"},
		{class, nil, "{label: d}", `has no label "d": want one of a, b, c`, ""},
		{class, nil, "{labels: [b]}", "want {label: ..., score: ...}", ""},
		{several, []float32{1, -1, 0}, "{labels: [c, a]}", "", ""},
		{several, []float32{1, -1, 0}, "{labels: [a], scores: {a: 0.73}}", "", "got labels a, c, want a"},
		{several, []float32{-1, -1, -1}, "{labels: []}", "", ""},
		{several, []float32{-1, 1, -1}, "{labels: []}", "", "got labels b, want none"},
		{several, []float32{1, -1, 0}, "{scores: {a: 0.73, c: 0.5}}", "", ""},
		{several, []float32{1, -1, 0}, "{scores: {b: 0.27}}", "", `got no score for "b"`},
		{all, []float32{1, -1, 0}, "{scores: {b: 0.27}}", "", ""},
		{all, []float32{1, -1, 0}, "{scores: {b: 0.25}}", "", "got b 0.2689, want b 0.2500"},
		{several, nil, "{label: a}", "want {labels: [...]}", ""},
		{number, []float32{0.5}, "0.5", "", ""},
		{number, nil, "{scores: {a: 1}}", "a score: want a number", ""},
		{numbers, []float32{1, 2, 3}, "{scores: {b: 2, c: 3}}", "", ""},
		{numbers, []float32{1, 2, 3}, "{scores: {b: 2.5}}", "", "got b 2.0000, want b 2.5000"},
		{numbers, nil, "1", "want {scores: {a: ...}}", ""},
		{vector, []float32{3, 0, -4}, "[3, 0, -4]", "", ""},
		{vector, []float32{3, 0, -4}, "[3.02]", "", ""},
		{vector, []float32{3, 0, -4}, "[3, 1]", "", "which is off by 0.3162 of its length"},
		{vector, nil, "[1, 2, 3, 4]", "column m has 3 numbers: got 4", ""},
		{vector, nil, "[]", "want a list of numbers", ""},
		{vector, nil, "0.5", "want a list of numbers", ""},
		{bytes, []float32{3, 0, -4}, "[95, 0, -127]", "", ""},
		{unsigned, []float32{3, 0, -4}, "[128]", "", ""},
		{unsigned, []float32{3, 0, -4}, "[160]", "", "off by 0.2000 of its length"},
	} {
		var e Expect
		if err := yaml.UnmarshalWithOptions([]byte(c.yaml), &e, yaml.Strict()); err != nil {
			t.Fatal(err)
		}
		if err := e.Fits(&c.head); (err == nil) != (c.fits == "") || err != nil && !strings.Contains(err.Error(), c.fits) {
			t.Errorf("%s of %s: got %v, want %q", c.yaml, c.head.Kind, err, c.fits)
		}
		if c.logits == nil {
			continue
		}
		row := flat(c.logits...)
		if c.head.Kind == Embedding {
			row.Tokens = 1
		}
		got, err := c.head.Column(row)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Check(got.Value, 0.01); (err == nil) != (c.check == "") || err != nil && !strings.Contains(err.Error(), c.check) {
			t.Errorf("%s of %s: got %v, want %q", c.yaml, c.head.Kind, err, c.check)
		}
	}
}
