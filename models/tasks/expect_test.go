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
