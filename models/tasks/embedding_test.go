package tasks

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"nearline/pipeline"
)

// references are what other implementations answer; see testdata/make_reference.py.
type references struct {
	Labels []struct {
		Logits           []float32
		Softmax, Sigmoid []float64
		Order            []int
	}
	Pooling []struct {
		Values []float32
		Width  int
		Tokens int
		Prompt int
		Expect []struct {
			Pooling    json.RawMessage
			Vector     []float64
			Normalized []float64
			Dimension  int
			Shortened  []float64
			Binary     []int8
			Ubinary    []byteNumber
			Int8       []int8
		}
	}
}

// byteNumber keeps encoding/json from taking a list of them for base64.
type byteNumber byte

func reference(t *testing.T) (r references) {
	t.Helper()
	data, err := os.ReadFile("testdata/reference.json")
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil || len(r.Labels) == 0 || len(r.Pooling) == 0 {
		t.Fatalf("got no reference: %v", err)
	}
	return r
}

var hiddenStates = Output{Name: "last_hidden_state", Tokens: true}

func embedding(t *testing.T, v Vector, width int) Head {
	t.Helper()
	heads, err := Resolve([]Head{{Kind: Embedding, Vector: v}}, Source{Model: "m", Outputs: []Output{{Name: "last_hidden_state", Width: width, Tokens: true}}})
	if err != nil {
		t.Fatal(err)
	}
	return heads[0]
}

// closeTo is a relative comparison of vectors.
func closeTo(got []float32, want []float64, tolerance float64) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if !near(float64(got[i]), want[i], tolerance*math.Abs(want[i])) {
			return false
		}
	}
	return true
}

func TestVectorsAreThoseOfTheReference(t *testing.T) {
	for i, c := range reference(t).Pooling {
		row := Row{Values: c.Values, Width: c.Width, Tokens: c.Tokens, Prompt: c.Prompt}
		for _, e := range c.Expect {
			var poolings Poolings
			if err := yaml.Unmarshal(e.Pooling, &poolings); err != nil {
				t.Fatal(err)
			}
			yes, no := true, false
			plain := Vector{Pooling: poolings, IncludePrompt: &no}
			for name, side := range map[string]struct {
				change func(*Vector)
				want   []float64
			}{
				"plain":      {func(*Vector) {}, e.Vector},
				"normalized": {func(v *Vector) { v.Normalize = &yes }, e.Normalized},
				"shortened":  {func(v *Vector) { v.Normalize, v.Dimension = &yes, e.Dimension }, e.Shortened},
			} {
				v := plain
				side.change(&v)
				h := embedding(t, v, c.Width)
				got, err := h.Column(row)
				if err != nil || got.Value.Kind != pipeline.Floats || !closeTo(got.Value.Floats, side.want, 1e-6) {
					t.Errorf("case %d, %v, %s: got %v, %v, want %v", i, poolings, name, got.Value.Floats, err, side.want)
				}
			}
			for kind, want := range map[VectorType][]int8{Int8: e.Int8, Binary: e.Binary} {
				v := plain
				v.Type = kind
				h := embedding(t, v, c.Width)
				got, err := h.Column(row)
				if err != nil || got.Value.Kind != pipeline.Int8s || !slices.Equal(signed(got.Value.Str), want) {
					t.Errorf("case %d, %v, %s: got %v, %v, want %v", i, poolings, kind, signed(got.Value.Str), err, want)
				}
			}
			v := plain
			v.Type = Ubinary
			h := embedding(t, v, c.Width)
			if got, err := h.Column(row); err != nil || got.Value.Kind != pipeline.Uint8s || !slices.Equal([]byteNumber(got.Value.Str), e.Ubinary) {
				t.Errorf("case %d, %v, ubinary: got %v, %v, want %v", i, poolings, []byte(got.Value.Str), err, e.Ubinary)
			}
		}
	}
}

func signed(s string) []int8 {
	list := make([]int8, len(s))
	for i := range len(s) {
		list[i] = int8(s[i])
	}
	return list
}

func TestVectorOfEachTextIsHandedOnAsItIs(t *testing.T) {
	heads, err := Resolve([]Head{{Kind: Embedding}}, Source{Model: "m", Outputs: []Output{{Name: "sentence_embedding", Width: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	values := []float32{3, 0, -4}
	got, err := heads[0].Column(flat(values...))
	if err != nil || !slices.Equal(got.Value.Floats, values) {
		t.Errorf("got %v, %v, want %v", got, err, values)
	}
	values[0] = 7 // the buffer is used for the next run
	if got.Value.Floats[0] != 3 {
		t.Error("the column shares memory with the output")
	}
	yes := true
	heads[0].Normalize, heads[0].Type = &yes, Int8
	if got, err := heads[0].Column(flat(3, 0, -4)); err != nil || !slices.Equal(signed(got.Value.Str), []int8{95, 0, -127}) {
		t.Errorf("int8: got %v, %v, want 95, 0, -127", signed(got.Value.Str), err)
	}
}

func TestVectorOfZerosStaysAsItIs(t *testing.T) {
	yes := true
	for kind, want := range map[VectorType]string{Int8: "\x00\x00\x00", Binary: "\x80", Ubinary: "\x00"} {
		h := embedding(t, Vector{Pooling: Poolings{Mean}, Normalize: &yes, Type: kind}, 3)
		got, err := h.Column(Row{Values: make([]float32, 6), Width: 3, Tokens: 2})
		if err != nil || got.Value.Str != want {
			t.Errorf("%s: got %q, %v, want %q", kind, got.Value.Str, err, want)
		}
	}
}

func TestPaddingDoesNotMatterToAVector(t *testing.T) {
	nan := float32(math.NaN())
	for pooling := range strings.SplitSeq(poolings, ", ") {
		h := embedding(t, Vector{Pooling: Poolings{Pooling(pooling)}}, 2)
		alone, err := h.Column(Row{Values: []float32{1, 2, 3, -4}, Width: 2, Tokens: 2})
		if err != nil {
			t.Fatal(err)
		}
		padded, err := h.Column(Row{Values: []float32{1, 2, 3, -4, nan, 1e30, 5, nan}, Width: 2, Tokens: 2})
		if err != nil || !slices.Equal(alone.Value.Floats, padded.Value.Floats) {
			t.Errorf("%s: got %v, %v, want %v as without padding", pooling, padded.Value.Floats, err, alone.Value.Floats)
		}
	}
}

func TestVectorsThatAreNotFiniteAreErrors(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32} {
		for _, pooling := range []Pooling{Mean, Max, MeanSqrtLen, WeightedMean} {
			h := embedding(t, Vector{Pooling: Poolings{pooling}}, 2)
			_, err := h.Column(Row{Values: []float32{1, 2, 3, bad, 4, bad}, Width: 2, Tokens: 3})
			// The largest number of all has a mean; its sum over the root of 3 has no place in 32 bits, -Inf is never largest.
			fine := bad == math.MaxFloat32 && pooling != MeanSqrtLen || pooling == Max && math.IsInf(float64(bad), -1)
			if errors.Is(err, ErrNotFinite) == fine {
				t.Errorf("%s of %v: got %v", pooling, bad, err)
			}
		}
	}
}

func TestPromptAloneIsNoText(t *testing.T) {
	no := false
	h := embedding(t, Vector{Pooling: Poolings{Mean}, IncludePrompt: &no}, 1)
	if _, err := h.Column(Row{Values: []float32{1, 2}, Width: 1, Tokens: 2, Prompt: 2}); err == nil || !strings.Contains(err.Error(), "beside the prompt") {
		t.Errorf("got %v, want an error", err)
	}
}

func TestEmbeddingsTakeTheirDefaultsFromTheOtherFiles(t *testing.T) {
	yes := true
	files := Vector{Pooling: Poolings{CLS}, Normalize: &yes}
	pooler := Output{Name: "pooler_output", Width: 4}
	for _, c := range []struct {
		name   string
		heads  []Head
		source Source
		output string
		want   Vector
	}{
		{"a sentence-transformers folder", nil, Source{Outputs: []Output{pooler, {Name: "last_hidden_state", Width: 4, Tokens: true}}, Embedding: true, Vector: files},
			"last_hidden_state", Vector{Pooling: Poolings{CLS}, Normalize: &yes, Dimension: 4, Type: Float32}},
		{"an export with everything inside", nil, Source{Outputs: []Output{{Name: "token_embeddings", Tokens: true}, {Name: "sentence_embedding"}}, Embedding: true, Vector: files},
			"sentence_embedding", Vector{Normalize: &yes, Type: Float32}},
		{"said otherwise", []Head{{Kind: Embedding, Vector: Vector{Pooling: Poolings{Mean, Max}, Dimension: 5, Type: Binary}}},
			Source{Outputs: []Output{logits, {Name: "token_embeddings", Width: 4, Tokens: true}}, Vector: files},
			"token_embeddings", Vector{Pooling: Poolings{Mean, Max}, Normalize: &yes, Dimension: 5, Type: Binary}},
		{"a key of an embedding", []Head{{Output: "pooler_output", Vector: Vector{Dimension: 2}}}, Source{Outputs: []Output{pooler, logits}},
			"pooler_output", Vector{Dimension: 2, Type: Float32}},
		{"another output", []Head{{Kind: Embedding, Output: "pooler_output"}}, Source{Outputs: []Output{pooler, hiddenStates}},
			"pooler_output", Vector{Dimension: 4, Type: Float32}},
	} {
		c.source.Model = "m"
		got, err := Resolve(c.heads, c.source)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		h := got[0]
		same := slices.Equal(h.Pooling, c.want.Pooling) && h.Dimension == c.want.Dimension && h.Type == c.want.Type &&
			(h.Normalize == nil) == (c.want.Normalize == nil)
		if h.Kind != Embedding || h.Output != c.output || !same {
			t.Errorf("%s: got %+v, want %+v of %s", c.name, h, c.want, c.output)
		}
	}
}

// A model that makes vectors may have a head with labels too, and a score.
func TestHeadsWithLabelsAreNoEmbeddings(t *testing.T) {
	source := Source{Model: "m", Embedding: true, Outputs: []Output{{Name: "sentence_embedding", Width: 4}, {Name: "mood", Width: 3}, score, logits}, Labels: three}
	heads, err := Resolve([]Head{{Name: "sentence_embedding"}, {Name: "mood", Labels: three}, {Name: "score"}, {Name: "logits"}}, source)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Kind{Embedding, Classification, Score, Classification} {
		if heads[i].Kind != want {
			t.Errorf("%s: got %s, want %s", heads[i].Name, heads[i].Kind, want)
		}
	}
}

func TestEmbeddingsThatCannotBeMadeAreRefused(t *testing.T) {
	states := Output{Name: "last_hidden_state", Width: 4, Tokens: true}
	source := Source{Model: "m", Outputs: []Output{states, {Name: "sentence_embedding", Width: 4}}}
	dense := Source{Model: "m", Outputs: []Output{states}, Unsupported: "modules.json has 2_Dense: want another export"}
	no := false
	for _, c := range []struct {
		head   Head
		source Source
		want   string
	}{
		{Head{Output: "last_hidden_state"}, source, "heads[0].pooling is missing, and the folder has no modules.json"},
		{Head{Output: "last_hidden_state"}, dense, `heads[0].output is "last_hidden_state" with a vector for each token: modules.json has 2_Dense`},
		{Head{Output: "last_hidden_state", Vector: Vector{Pooling: Poolings{"median"}}}, source, `heads[0].pooling is "median": want one of cls, max`},
		{Head{Output: "last_hidden_state", Kind: Classification, Labels: three}, source, "a classification has one row of logits for each text"},
		{Head{Output: "sentence_embedding", Kind: Embedding, Vector: Vector{Pooling: Poolings{Mean, CLS}}}, source, "heads[0].pooling is mean, cls: output"},
		{Head{Output: "sentence_embedding", Kind: Embedding, Vector: Vector{IncludePrompt: &no}}, source, "heads[0].include_prompt is false"},
		{Head{Output: "sentence_embedding", Kind: Embedding, Vector: Vector{Dimension: 5}}, source, "heads[0].dimension is 5: want 1 to 4"},
		{Head{Output: "sentence_embedding", Kind: Embedding, Vector: Vector{Dimension: -1}}, source, "heads[0].dimension is -1: want 1 to 4"},
		{Head{Output: "sentence_embedding", Kind: Embedding, Vector: Vector{Type: "int4"}}, source, `heads[0].type is "int4": want float32, int8, binary or ubinary`},
		{Head{Output: "sentence_embedding", Kind: Embedding, Labels: three}, source, "heads[0].labels: an embedding has none"},
		{Head{Output: "sentence_embedding", Kind: Embedding, Activation: Sigmoid}, source, "heads[0].activation is"},
	} {
		if _, err := Resolve([]Head{c.head}, c.source); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want it to say %q", c.head, err, c.want)
		}
	}
}

func TestOutputOfAnotherShapeIsAnError(t *testing.T) {
	pooled, plain := embedding(t, Vector{Pooling: Poolings{Mean}, Dimension: 3}, 0), Head{Kind: Embedding}
	for want, c := range map[string]struct {
		head Head
		row  Row
	}{
		"vectors of 2 numbers: want at least the dimension, 3": {pooled, Row{Values: []float32{1, 2}, Width: 2, Tokens: 1}},
		"has one vector for each text":                         {pooled, flat(1, 2, 3)},
		"has a vector for each token":                          {plain, Row{Values: []float32{1, 2}, Width: 2, Tokens: 1}},
	} {
		if _, err := c.head.Column(c.row); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	class := Head{Kind: Classification, Labels: three}
	if _, err := class.Column(Row{Values: []float32{1, 2, 3}, Width: 3, Tokens: 1}); err == nil {
		t.Error("a classification of tokens: got no error")
	}
}

func TestVectorTakesOneAllocation(t *testing.T) {
	yes := true
	h := embedding(t, Vector{Pooling: Poolings{Mean, Max}, Normalize: &yes}, 48)
	row := Row{Values: make([]float32, 48*20), Width: 48, Tokens: 10}
	if got := testing.AllocsPerRun(100, func() { _, _ = h.Column(row) }); got != 1 {
		t.Errorf("got %v allocations, want 1", got)
	}
}

func BenchmarkMeanPooling(b *testing.B) {
	yes := true
	h := Head{Kind: Embedding, Vector: Vector{Pooling: Poolings{Mean}, Normalize: &yes, Type: Float32}}
	row := Row{Values: make([]float32, 384*128), Width: 384, Tokens: 128}
	for i := range row.Values {
		row.Values[i] = float32(i%13) - 6
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Column(row); err != nil {
			b.Fatal(err)
		}
	}
}

func TestVectorKeysReadAsDocumented(t *testing.T) {
	var got []Head
	text := "- {kind: embedding, pooling: [cls, mean], include_prompt: false, normalize: true, dimension: 128, type: int8}\n- {pooling: max}\n"
	if err := yaml.UnmarshalWithOptions([]byte(text), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if h := got[0]; h.Kind != Embedding || h.Pooling.String() != "cls, mean" || *h.IncludePrompt || !*h.Normalize || h.Dimension != 128 || h.Type != Int8 {
		t.Errorf("got %+v", h)
	}
	if got[1].Pooling.String() != "max" {
		t.Errorf("got %+v, want max", got[1])
	}
	if err := yaml.UnmarshalWithOptions([]byte("- {poling: max}\n"), &got, yaml.Strict()); err == nil {
		t.Error("an unknown key: got no error")
	}
}
