//go:build cgo

package models

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nearline/batching"
	"nearline/models/tasks"
	"nearline/pipeline"
)

// sentenceCases are folders of sentence-transformers with the vectors that it makes; see testdata/sentences/make.py.
type sentenceCases struct {
	Texts []string `json:"texts"`
	Cases []struct {
		Name    string                     `json:"name"`
		Graph   string                     `json:"graph"`
		Files   map[string]json.RawMessage `json:"files"`
		YAML    string                     `json:"yaml"`
		Vectors [][]float64                `json:"vectors"`
	} `json:"cases"`
}

func readSentenceCases(t testing.TB) (c sentenceCases) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "sentences", "cases.json"))
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || len(c.Cases) == 0 {
		t.Fatalf("got no cases: %v", err)
	}
	return c
}

// sentenceFolder makes a repository with a model m of the tiny encoder and these files.
func sentenceFolder(t testing.TB, graph string, files map[string]string) Config {
	t.Helper()
	all := map[string]string{}
	for from, to := range map[string]string{
		graph: "model.onnx", "tokenizer.json": "tokenizer.json", "tokenizer_config.json": "tokenizer_config.json", "config.json": "config.json",
	} {
		data, err := os.ReadFile(filepath.Join("testdata", "sentences", from))
		if err != nil {
			t.Fatal(err)
		}
		all["m/1/"+to] = string(data)
	}
	for name, content := range files {
		all["m/1/"+name] = content
	}
	return repository(t, nil, all)
}

// numbersOf are a vector's numbers, whatever its type.
func numbersOf(v pipeline.Value) (numbers []float64) {
	for _, f := range v.Floats {
		numbers = append(numbers, float64(f))
	}
	for i := range len(v.Str) {
		if v.Kind == pipeline.Int8s {
			numbers = append(numbers, float64(int8(v.Str[i])))
		} else {
			numbers = append(numbers, float64(v.Str[i]))
		}
	}
	return numbers
}

// apart is the length of the difference over the length of what is wanted.
func apart(got, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	squares, length := 0.0, 0.0
	for i := range got {
		squares += (got[i] - want[i]) * (got[i] - want[i])
		length += want[i] * want[i]
	}
	return math.Sqrt(squares) / max(math.Sqrt(length), 1e-12)
}

func TestFoldersOfSentenceTransformersGiveItsVectors(t *testing.T) {
	all := readSentenceCases(t)
	for _, c := range all.Cases {
		t.Run(c.Name, func(t *testing.T) {
			files := map[string]string{}
			for name, content := range c.Files {
				files[name] = string(content)
			}
			if c.YAML != "" {
				files["nearline.yaml"] = c.YAML
			}
			config := sentenceFolder(t, c.Graph, files)
			for _, items := range []int{1, 8} {
				config.Batch = BatchConfig{MaxItems: items, MaxPadding: 50}
				m := loaded(t, config, "m", running(t, config))
				predictions, faults, err := m.Predict(t.Context(), batching.Stream, Texts(all.Texts...))
				if err != nil {
					t.Fatal(err)
				}
				for i, text := range all.Texts {
					if faults[i] != nil {
						t.Errorf("%q: got fault %v", text, faults[i])
						continue
					}
					column := predictions[i].Columns[0]
					// Two implementations of the encoder in 32 bits, twelve matrices deep.
					if by := apart(numbersOf(column.Value), c.Vectors[i]); !(by <= 1e-5) || column.Name != "m" {
						t.Errorf("%q, %d a batch: got %s %v, want %v: they are %g apart", text, items, column.Name, numbersOf(column.Value), c.Vectors[i], by)
					}
				}
			}
		})
	}
}

func TestHeadsOfSeveralKindsReadOneGraph(t *testing.T) {
	config := sentenceFolder(t, "model.onnx", map[string]string{"nearline.yaml": `heads:
- {name: vector, output: last_hidden_state, pooling: mean, normalize: true, dimension: 4}
- {name: small, output: last_hidden_state, pooling: cls, type: int8}
- {name: pooler, output: pooler_output, kind: embedding}
- {name: topics, output: pooler_output, kind: multi_label, top: 2, scores: all, labels: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]}
- {name: mood, output: pooler_output, kind: classification, labels: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]}
- {name: ratings, output: pooler_output, kind: score, labels: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]}
`})
	m := loaded(t, config, "m", running(t, config))
	predictions, faults, err := m.Predict(t.Context(), batching.Online, Texts("A warm coat."))
	if err != nil || faults[0] != nil {
		t.Fatal(err, faults)
	}
	columns := predictions[0].Columns
	var kinds []pipeline.Kind
	for _, c := range columns {
		kinds = append(kinds, c.Value.Kind)
	}
	if want := []pipeline.Kind{pipeline.Floats, pipeline.Int8s, pipeline.Floats, pipeline.Object, pipeline.Object, pipeline.Object}; !slices.Equal(kinds, want) {
		t.Fatalf("got kinds %v, want %v", kinds, want)
	}
	if len(columns[0].Value.Floats) != 4 || len(columns[1].Value.Str) != 16 || len(columns[2].Value.Floats) != 16 {
		t.Errorf("got %d, %d and %d numbers, want 4, 16 and 16", len(columns[0].Value.Floats), len(columns[1].Value.Str), len(columns[2].Value.Floats))
	}
	// The heads see the same numbers.
	if a, _ := columns[5].Value.Lookup("a"); float32(a.Float) != columns[2].Value.Floats[0] {
		t.Errorf("got %v and %v of one output", a.Float, columns[2].Value.Floats[0])
	}
}

func TestGoldenVectorsAreChecked(t *testing.T) {
	all := readSentenceCases(t)
	c := all.Cases[0]
	for _, side := range []struct {
		factor float64
		want   string
	}{{1, ""}, {1.01, ""}, {-1, `golden[0] "good": m: got [`}} {
		vector := slices.Clone(c.Vectors[0][:4])
		for i := range vector {
			vector[i] *= side.factor
		}
		numbers, err := json.Marshal(vector)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]string{"nearline.yaml": fmt.Sprintf("golden:\n- {text: good, expect: {m: %s}}\n", numbers)}
		for name, content := range c.Files {
			files[name] = string(content)
		}
		config := sentenceFolder(t, c.Graph, files)
		m, err := Load(t.Context(), config, "m", config.NewDevice(), NewMetrics(nil))
		if err == nil {
			err = m.Close(t.Context())
		}
		if (err == nil) != (side.want == "") || err != nil && !strings.Contains(err.Error(), side.want) {
			t.Errorf("times %v: got %v, want %q", side.factor, err, side.want)
		}
	}
}

func TestSentenceFoldersThatAreNotSupportedAreRefusedByName(t *testing.T) {
	const transformer, pooling = `{"path": "", "type": "sentence_transformers.models.Transformer"}`, `{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}`
	mean := `{"pooling_mode_mean_tokens": true}`
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"a dense layer outside", map[string]string{"modules.json": `[` + transformer + `,` + pooling + `,{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]`,
			"1_Pooling/config.json": mean}, "modules.json has a module sentence_transformers.models.Dense (2_Dense/config.json), which is not supported outside of the graph: want an export"},
		{"a pooling of tomorrow", map[string]string{"modules.json": `[` + transformer + `,` + pooling + `]`, "1_Pooling/config.json": `{"pooling_mode": "attention"}`},
			`heads[0].pooling is "attention": want one of cls, max, mean`},
		{"a flag of tomorrow", map[string]string{"modules.json": `[` + transformer + `,` + pooling + `]`, "1_Pooling/config.json": `{"pooling_mode_attention": true}`},
			"pooling_mode_attention is true: want false"},
		{"a pooling that is a number", map[string]string{"modules.json": `[` + pooling + `]`, "1_Pooling/config.json": `{"pooling_mode": 3}`}, "pooling_mode is 3: want a name"},
		{"a flag that is a text", map[string]string{"modules.json": `[` + pooling + `]`, "1_Pooling/config.json": `{"pooling_mode_cls_token": "yes"}`}, `pooling_mode_cls_token is "yes": want true or false`},
		{"prompts that are numbers", map[string]string{"modules.json": `[` + pooling + `]`, "1_Pooling/config.json": `{"include_prompt": 1}`}, "include_prompt is 1: want true or false"},
		{"no pooling file", map[string]string{"modules.json": `[` + transformer + `,` + pooling + `]`}, "modules.json names a pooling: "},
		{"no pooling at all", map[string]string{"modules.json": `[` + transformer + `]`}, "heads[0].pooling is missing"},
		{"a path out of the folder", map[string]string{"modules.json": `[{"path": "../x", "type": "a.Pooling"}]`}, `[0].path is "../x": want a path below the folder`},
		{"no list", map[string]string{"modules.json": `{}`}, "modules.json: json: cannot unmarshal object"},
		{"no such prompt", map[string]string{"modules.json": `[` + transformer + `,` + pooling + `]`, "1_Pooling/config.json": mean, "nearline.yaml": "prompt_name: qurey\n",
			"config_sentence_transformers.json": `{"prompts": {"query": "q: "}}`}, `prompt_name is "qurey": config_sentence_transformers.json has no such prompt, want one of query`},
		{"no such default prompt", map[string]string{"modules.json": `[` + transformer + `,` + pooling + `]`, "1_Pooling/config.json": mean,
			"config_sentence_transformers.json": `{"default_prompt_name": "q"}`}, `config_sentence_transformers.json: default_prompt_name is "q"`},
		{"more than the model has", map[string]string{"modules.json": `[` + transformer + `,` + pooling + `]`, "1_Pooling/config.json": mean, "nearline.yaml": "heads: [{dimension: 17}]\n"},
			"heads[0].dimension is 17: want 1 to 16"},
		{"no file says that it is one", nil, "heads[0].pooling is missing"},
		{"texts in lower case", map[string]string{"modules.json": `[` + transformer + `]`, "sentence_bert_config.json": `{"do_lower_case": true}`,
			"tokenizer.json": `{"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}}`}, "has do_lower_case true, and the normalizer of tokenizer.json does not"},
	} {
		config := sentenceFolder(t, "model.onnx", c.files)
		if c.files == nil {
			config = sentenceFolder(t, "model.onnx", map[string]string{"nearline.yaml": "task: embedding\n"})
		}
		if _, err := Load(t.Context(), config, "m", config.NewDevice(), NewMetrics(nil)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want it to say %q", c.name, err, c.want)
		}
	}
}

func TestLabelsOfAnExportDecideItsKind(t *testing.T) {
	for problem, want := range map[string]tasks.Kind{
		"": tasks.Classification, "single_label_classification": tasks.Classification,
		"multi_label_classification": tasks.MultiLabel, "regression": tasks.Score,
	} {
		c := repository(t, map[string]string{"m": "single_label"}, map[string]string{
			"m/1/config.json": fmt.Sprintf(`{"problem_type": %q, "id2label": {"0": "LABEL_0", "1": "größe", "2": "a b"}}`, problem)})
		m := loaded(t, c, "m", running(t, c))
		if h := m.Info().Heads[0]; h.Kind != want || h.Labels[1] != "größe" {
			t.Errorf("problem_type %q: got %+v, want %s", problem, h, want)
		}
	}
}

func TestEncoderWithoutFilesOfSentenceTransformers(t *testing.T) {
	c := sentenceFolder(t, "inside.onnx", nil)
	if h := loaded(t, c, "m", running(t, c)).Info().Heads[0]; h.Kind != tasks.Embedding || h.Output != "sentence_embedding" || h.Dimension != 6 {
		t.Errorf("everything inside: got %+v, want the embedding sentence_embedding", h)
	}
	c = sentenceFolder(t, "model.onnx", nil)
	if _, err := Load(t.Context(), c, "m", c.NewDevice(), NewMetrics(nil)); err == nil || !strings.Contains(err.Error(), "heads[0].pooling is missing") {
		t.Errorf("a bare encoder: got %v, want to be asked for the pooling", err)
	}
}

// A width that the graph leaves open is found out before anybody's text.
func TestHeadThatDoesNotFitTheFirstAnswerIsNotLoaded(t *testing.T) {
	c := repository(t, map[string]string{"m": "constant"}, map[string]string{"m/1/nearline.yaml": "heads: [{kind: embedding, output: open, dimension: 40}]\n"})
	graph(t, c, "m", "inputs.onnx")
	if _, err := Load(t.Context(), c, "m", c.NewDevice(), NewMetrics(nil)); err == nil || !strings.Contains(err.Error(), "want at least the dimension, 40") {
		t.Errorf("got %v, want the load refused", err)
	}
}
