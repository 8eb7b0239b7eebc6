package tasks

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"nearline/pipeline"
)

// resolved completes a head that reads logits.
func resolved(t *testing.T, h Head, width int) Head {
	t.Helper()
	heads, err := Resolve([]Head{h}, Source{Model: "m", Outputs: []Output{{Name: "logits", Width: width}}})
	if err != nil {
		t.Fatal(err)
	}
	return heads[0]
}

func column(t *testing.T, h Head, values ...float32) pipeline.Value {
	t.Helper()
	got, err := h.Column(flat(values...))
	if err != nil {
		t.Fatal(err)
	}
	return got.Value
}

// shown is a column on one line: {label: x, scores: {x: 0.5}}.
func shown(v pipeline.Value) string {
	var parts []string
	switch v.Kind {
	case pipeline.Object:
		for _, f := range v.Fields {
			parts = append(parts, f.Name+": "+shown(f.Value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case pipeline.List:
		for _, item := range v.List {
			parts = append(parts, shown(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case pipeline.String:
		return v.Str
	}
	return fmt.Sprintf("%.3f", v.Float)
}

func TestClassificationListsLabelsAndScoresOnDemand(t *testing.T) {
	labels := []string{"LABEL_0", "à la carte", "价格 ✓"}
	logits := []float32{1, 3, 2}
	for _, c := range []struct {
		head Head
		want string
	}{
		{Head{}, "{label: à la carte, score: 0.665}"},
		{Head{Top: 2}, "{label: à la carte, score: 0.665, labels: [{label: à la carte, score: 0.665}, {label: 价格 ✓, score: 0.245}]}"},
		{Head{Scores: "all"}, "{label: à la carte, score: 0.665, scores: {LABEL_0: 0.090, à la carte: 0.665, 价格 ✓: 0.245}}"},
		{Head{Top: 1, Scores: "all"}, "{label: à la carte, score: 0.665, labels: [{label: à la carte, score: 0.665}], " +
			"scores: {LABEL_0: 0.090, à la carte: 0.665, 价格 ✓: 0.245}}"},
	} {
		c.head.Labels = labels
		if got := shown(column(t, resolved(t, c.head, 3), logits...)); got != c.want {
			t.Errorf("top %d, scores %q: got %s, want %s", c.head.Top, c.head.Scores, got, c.want)
		}
	}
}

func TestSeveralLabelsAreThoseThatReachTheirThreshold(t *testing.T) {
	// Probabilities 0.731, 0.5, 0.269, 0.119.
	logits := []float32{1, 0, -1, -2}
	for _, c := range []struct {
		name string
		head Head
		want string
	}{
		{"the default", Head{}, "{labels: [{label: a, score: 0.731}, {label: b, score: 0.500}]}"},
		{"a lower threshold", Head{Threshold: new(0.2)}, "{labels: [{label: a, score: 0.731}, {label: b, score: 0.500}, {label: c, score: 0.269}]}"},
		{"the most", Head{Threshold: new(0.0), Top: 1}, "{labels: [{label: a, score: 0.731}]}"},
		{"none", Head{Threshold: new(0.9)}, "{labels: []}"},
		{"a threshold of its own", Head{Thresholds: map[string]float64{"a": 0.8, "d": 0.1}}, "{labels: [{label: b, score: 0.500}, {label: d, score: 0.119}]}"},
		{"every score", Head{Threshold: new(1.0), Scores: "all"}, "{labels: [], scores: {a: 0.731, b: 0.500, c: 0.269, d: 0.119}}"},
	} {
		c.head.Kind, c.head.Labels = MultiLabel, []string{"a", "b", "c", "d"}
		if got := shown(column(t, resolved(t, c.head, 4), logits...)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	one := resolved(t, Head{Kind: MultiLabel, Labels: []string{"spam"}}, 1)
	if got := shown(column(t, one, 3)); got != "{labels: [{label: spam, score: 0.953}]}" {
		t.Errorf("one label: got %s", got)
	}
}

func TestThresholdIsComparedAsItIsShown(t *testing.T) {
	// 0.7 in 32 bits is a little below 0.7 in 64.
	h := resolved(t, Head{Kind: MultiLabel, Labels: []string{"a", "b"}, Activation: Identity, Threshold: new(0.7)}, 2)
	if got := shown(column(t, h, 0.7, 0.69999)); got != "{labels: [{label: a, score: 0.700}]}" {
		t.Errorf("got %s, want a alone", got)
	}
}

func TestProbabilitiesOfTheGraphAreTakenAsTheyAre(t *testing.T) {
	h := resolved(t, Head{Labels: three, Activation: Identity, Scores: "all"}, 3)
	if got := shown(column(t, h, 0.25, 0.7502, -0.0005)); got != "{label: b, score: 0.750, scores: {a: 0.250, b: 0.750, c: 0.000}}" {
		t.Errorf("got %s", got)
	}
	if _, err := h.Column(flat(0.25, 3, -2)); err == nil || !strings.Contains(err.Error(), "output logits has 3: activation identity wants a graph that answers probabilities") {
		t.Errorf("logits: got %v, want them refused", err)
	}
}

func TestScoreOfSeveralNumbersNamesEach(t *testing.T) {
	h := resolved(t, Head{Kind: Score, Labels: []string{"warmth", "competence"}}, 2)
	if got := shown(column(t, h, 1.5, -2)); got != "{warmth: 1.500, competence: -2.000}" {
		t.Errorf("got %s", got)
	}
	h = resolved(t, Head{Kind: Score, Labels: []string{"warmth", "competence"}, Activation: Sigmoid}, 2)
	if got := shown(column(t, h, 0, 100)); got != "{warmth: 0.500, competence: 1.000}" {
		t.Errorf("sigmoid: got %s", got)
	}
}

func TestProbabilitiesAreThoseOfTheReference(t *testing.T) {
	for _, c := range reference(t).Labels {
		labels := make([]string, len(c.Logits))
		for i := range labels {
			labels[i] = fmt.Sprint(i)
		}
		one := resolved(t, Head{Labels: labels, Top: len(labels), Scores: "all"}, len(labels))
		several := resolved(t, Head{Kind: MultiLabel, Labels: labels, Threshold: new(0.0), Scores: "all"}, len(labels))
		for _, side := range []struct {
			head Head
			want []float64
		}{{one, c.Softmax}, {several, c.Sigmoid}} {
			got := column(t, side.head, c.Logits...)
			scores, _ := got.Lookup("scores")
			for i, f := range scores.Fields {
				if !near(f.Value.Float, side.want[i], 1e-7*side.want[i]+1e-40) {
					t.Errorf("%s of %v: label %d: got %v, want %v", side.head.Activation, c.Logits, i, f.Value.Float, side.want[i])
				}
			}
			list, _ := got.Lookup("labels")
			for at, i := range c.Order {
				if score, _ := list.List[at].Lookup("score"); !near(score.Float, side.want[i], 1e-7) {
					t.Errorf("%s of %v: place %d: got %v, want that of label %d", side.head.Activation, c.Logits, at, shown(list.List[at]), i)
				}
			}
		}
	}
}

func TestColumnOfALabelTakesOneAllocation(t *testing.T) {
	h := resolved(t, Head{Labels: three}, 3)
	row := flat(1, 3, 2)
	if got := testing.AllocsPerRun(100, func() { _, _ = h.Column(row) }); got != 1 {
		t.Errorf("got %v allocations, want 1", got)
	}
}

// What a model may answer, in any width, is a column or an error.
func FuzzColumn(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, uint8(0))
	f.Add([]byte{0, 127, 200, 255, 255, 0}, uint8(1))
	kinds := []Head{
		{Labels: three, Top: 2, Scores: "all"}, {Labels: three, Activation: Identity}, {Kind: MultiLabel, Labels: three, Top: 1, Scores: "all"},
		{Kind: Score, Labels: three}, {Kind: Score},
	}
	special := []float32{float32(math.NaN()), float32(math.Inf(1)), math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 0, 1, -1}
	f.Fuzz(func(t *testing.T, data []byte, kind uint8) {
		h := kinds[int(kind)%len(kinds)]
		width := max(1, len(h.Labels))
		h = resolved(t, h, width)
		values := make([]float32, 0, len(data))
		for _, b := range data {
			if int(b) < len(special) {
				values = append(values, special[b])
			} else {
				values = append(values, (float32(b)-128)/16)
			}
		}
		got, err := h.Column(flat(values...))
		if (err == nil) != (len(values) == width && h.finite(values) == nil) && h.Activation != Identity {
			t.Fatalf("%v: got %v, %v", values, got, err)
		}
		var walk func(v pipeline.Value)
		walk = func(v pipeline.Value) {
			if math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
				t.Fatalf("%v: got %s", values, shown(v))
			}
			for _, f := range v.Fields {
				walk(f.Value)
			}
			for _, item := range v.List {
				walk(item)
			}
		}
		walk(got.Value)
		if list, ok := got.Value.Lookup("labels"); ok && h.Kind == MultiLabel && !slices.IsSortedFunc(list.List, func(a, b pipeline.Value) int {
			x, _ := a.Lookup("score")
			y, _ := b.Lookup("score")
			return -int(math.Copysign(1, x.Float-y.Float))
		}) {
			t.Fatalf("%v: got %s, want the likeliest first", values, shown(list))
		}
	})
}
