package tasks

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"nearline/pipeline"
)

var (
	logits = Output{Name: "logits", Width: 3}
	hidden = Output{Name: "hidden", Width: 384}
	score  = Output{Name: "score", Width: 1}
	three  = []string{"a", "b", "c"}
)

// flat is a row of an output without tokens.
func flat(values ...float32) Row { return Row{Values: values, Width: len(values)} }

func TestHeadsTakeTheirDefaultsFromTheOtherFiles(t *testing.T) {
	for _, c := range []struct {
		name   string
		heads  []Head
		source Source
		want   []Head
	}{
		{"a plain export", nil, Source{Model: "m", Outputs: []Output{hidden, logits}, Labels: three},
			[]Head{{Name: "m", Output: "logits", Kind: Classification, Labels: three, Activation: Softmax}}},
		{"an export with one score", nil, Source{Model: "m", Outputs: []Output{score}, Labels: []string{"LABEL_0"}},
			[]Head{{Name: "m", Output: "score", Kind: Score, Activation: Identity}}},
		{"a width that is not stated", nil, Source{Model: "m", Outputs: []Output{{Name: "logits"}}, Labels: three},
			[]Head{{Name: "m", Output: "logits", Kind: Classification, Labels: three, Activation: Softmax}}},
		{"regression", nil, Source{Model: "m", Outputs: []Output{{Name: "logits"}}, ProblemType: "regression"},
			[]Head{{Name: "m", Output: "logits", Kind: Score, Activation: Identity}}},
		{"regression of several numbers", nil, Source{Model: "m", Outputs: []Output{{Name: "logits"}}, Labels: three, ProblemType: "regression"},
			[]Head{{Name: "m", Output: "logits", Kind: Score, Activation: Identity, Labels: three}}},
		{"several labels", nil, Source{Model: "m", Outputs: []Output{logits}, Labels: three, ProblemType: "multi_label_classification"},
			[]Head{{Name: "m", Output: "logits", Kind: MultiLabel, Activation: Sigmoid, Labels: three, Threshold: new(0.5)}}},
		{"two heads by name", []Head{{Name: "logits"}, {Name: "score", Activation: Sigmoid}}, Source{Outputs: []Output{logits, score}, Labels: three},
			[]Head{{Name: "logits", Output: "logits", Kind: Classification, Labels: three, Activation: Softmax}, {Name: "score", Output: "score", Kind: Score, Activation: Sigmoid}}},
		{"two heads by output", []Head{{Output: "logits"}, {Output: "score"}}, Source{Outputs: []Output{logits, score}, Labels: three},
			[]Head{{Name: "logits", Output: "logits", Kind: Classification, Labels: three, Activation: Softmax}, {Name: "score", Output: "score", Kind: Score, Activation: Identity}}},
	} {
		got, err := Resolve(c.heads, c.source)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestHeadsThatDoNotFitTheGraphAreRefused(t *testing.T) {
	source := Source{Model: "m", Outputs: []Output{logits, score}, Labels: []string{"x", "y"}}
	for _, c := range []struct {
		heads []Head
		want  string
	}{
		{[]Head{{Name: "mood"}}, "heads[0].output is missing, and the graph has several: want one of logits, score"},
		{[]Head{{Output: "mood"}}, `heads[0].output is "mood": the graph has no such output`},
		{[]Head{{Output: "logits"}}, "heads[0].labels is missing, and id2label of config.json does not have 3"},
		{[]Head{{Output: "logits", Labels: []string{"a", "b"}}}, `heads[0].labels has 2 names: want 3, as output "logits" has`},
		{[]Head{{Output: "logits", Labels: []string{"a", "", "c"}}}, "heads[0].labels[1] is empty"},
		{[]Head{{Output: "logits", Labels: []string{"a", "b", "a"}}}, `heads[0].labels[2] is "a"`},
		{[]Head{{Output: "logits", Kind: Score}}, "heads[0].labels is missing, and id2label of config.json does not have 3"},
		{[]Head{{Output: "logits", Kind: Score, Labels: []string{"a"}}}, "heads[0].labels has 1 names: want 3"},
		{[]Head{{Output: "logits", Labels: three, Activation: Sigmoid}}, "heads[0].activation is"},
		{[]Head{{Output: "logits", Labels: three, Activation: "gelu"}}, `heads[0].activation is "gelu": want softmax, or identity`},
		{[]Head{{Output: "logits", Labels: three, Kind: MultiLabel, Activation: Softmax}}, `heads[0].activation is "softmax": want sigmoid, or identity`},
		{[]Head{{Output: "logits", Labels: three, Threshold: new(0.4)}}, "heads[0].threshold is 0.4: it is for kind multi_label"},
		{[]Head{{Output: "logits", Labels: three, Thresholds: map[string]float64{"a": 1}}}, "heads[0].thresholds: they are for kind multi_label"},
		{[]Head{{Output: "logits", Labels: three, Kind: MultiLabel, Threshold: new(50.0)}}, "heads[0].threshold is 50: want a probability"},
		{[]Head{{Output: "logits", Labels: three, Kind: MultiLabel, Thresholds: map[string]float64{"d": 0.1}}}, "heads[0].thresholds.d: there is no such label"},
		{[]Head{{Output: "logits", Labels: three, Kind: MultiLabel, Thresholds: map[string]float64{"c": -0.1}}}, "heads[0].thresholds.c is -0.1: want"},
		{[]Head{{Output: "logits", Labels: three, Top: 4}}, "heads[0].top is 4: want 1 to 3"},
		{[]Head{{Output: "logits", Labels: three, Scores: "some"}}, `heads[0].scores is "some": want all`},
		{[]Head{{Output: "logits", Kind: Classification, Labels: three, Vector: Vector{Dimension: 3}}}, "heads[0].dimension is 3: it is for kind embedding"},
		{[]Head{{Output: "score", Top: 1}}, "heads[0].top is 1: it is for kind classification and multi_label"},
		{[]Head{{Output: "score", Scores: "all"}}, `heads[0].scores is "all": it is for kind classification and multi_label`},
		{[]Head{{Output: "score", Kind: "ranking"}}, `heads[0].kind is "ranking": want classification, multi_label, score or embedding`},
		{[]Head{{Output: "score", Activation: "tanh"}}, `heads[0].activation is "tanh": want identity or sigmoid`},
		{[]Head{{Output: "score", Labels: three, Kind: Score}}, "heads[0].labels: a score has none"},
		{[]Head{{Output: "score", Name: "s"}, {Output: "score", Name: "s"}}, `heads[1].name is "s": heads[0] has that name`},
	} {
		if _, err := Resolve(c.heads, source); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want it to say %q", c.heads, err, c.want)
		}
	}
	_, err := Resolve([]Head{{Output: "mood"}, {Output: "score", Activation: "tanh"}}, source)
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v, want both problems", err)
	}
}

func TestClassificationIsTheLikeliestLabel(t *testing.T) {
	h := Head{Name: "mood", Output: "logits", Kind: Classification, Labels: three, Activation: Softmax}
	for _, c := range []struct {
		logits []float32
		label  string
		score  float64
	}{
		{[]float32{0, 0, 0}, "a", 1.0 / 3},
		{[]float32{1, 3, 2}, "b", math.Exp(3) / (math.E + math.Exp(3) + math.Exp(2))},
		{[]float32{-1000, -1000, -900}, "c", 1},
		{[]float32{3e38, -3e38, 0}, "a", 1},
	} {
		got, err := h.Column(flat(c.logits...))
		if err != nil {
			t.Fatal(err)
		}
		label, _ := got.Value.Lookup("label")
		score, _ := got.Value.Lookup("score")
		if got.Name != "mood" || label.Str != c.label || score.Float != float64(float32(c.score)) {
			t.Errorf("%v: got %+v, want %s %v", c.logits, got, c.label, c.score)
		}
	}
}

func TestScoreGoesThroughItsActivation(t *testing.T) {
	for activation, want := range map[Activation]float64{Identity: 2, Sigmoid: 1 / (1 + math.Exp(-2))} {
		h := Head{Name: "s", Output: "score", Kind: Score, Activation: activation}
		if got, err := h.Column(flat(2)); err != nil || got.Value.Kind != pipeline.Float || got.Value.Float != float64(float32(want)) {
			t.Errorf("%s: got %+v, %v, want %v", activation, got, err, want)
		}
	}
}

func TestAnswersThatAreNotFiniteAreErrors(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	class, score := Head{Kind: Classification, Labels: three}, Head{Kind: Score, Activation: Sigmoid}
	for _, bad := range []float32{nan, inf, -inf} {
		if _, err := class.Column(flat(0, bad, 1)); !errors.Is(err, ErrNotFinite) {
			t.Errorf("a classification with %v: got %v, want ErrNotFinite", bad, err)
		}
		if _, err := score.Column(flat(bad)); !errors.Is(err, ErrNotFinite) {
			t.Errorf("a score of %v: got %v, want ErrNotFinite", bad, err)
		}
	}
	if _, err := class.Column(flat(1, 2)); err == nil {
		t.Error("a row of the wrong width: got no error")
	}
}
