package models

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nearline/pipeline"
)

func TestManifestProblemsAreNamedWithTheirPlace(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"max_token: 3\n", `nearline.yaml:1:1: unknown field "max_token"`},
		{"heads:\n- {name: a, labls: [x]}\n", `nearline.yaml:2:13: unknown field "labls"`},
		{"max_tokens: many\n", "nearline.yaml:1:13: "},
		{"task: classification\ntask: constant\n", "nearline.yaml:2:1: "},
		{"task: guess\n", `task is "guess": want classification, embedding, table or constant`},
		{"task: constant\n", "columns is empty: want "},
		{"columns: {a: 1}\n", "columns is for task constant"},
		{"max_tokens: -1\n", "max_tokens is -1: want "},
		{"tolerance: -0.1\n", "tolerance is -0.1: want "},
		{"graph: ../other.onnx\n", `graph is "../other.onnx": want a path below the folder`},
		{"inputs: {ids: []}\n", `inputs.ids is []: want what the input is, or the names of its columns`},
		{"golden: [{text: fine}]\n", "golden[0].expect is empty: want "},
		{"golden: [{text: fine, expect: {sentiment: {lable: x}}}]\n", `unknown field "lable"`},
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "nearline.yaml"), []byte(c.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadManifest(folder); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want it to say %q", c.yaml, err, c.want)
		}
	}
}

func TestManifestMayBeAbsentOrEmpty(t *testing.T) {
	folder := t.TempDir()
	for range 2 {
		m, err := ReadManifest(folder)
		if err != nil || m.Task != "" {
			t.Errorf("got %+v, %v, want nothing said", m, err)
		}
		if err := os.WriteFile(filepath.Join(folder, "nearline.yaml"), []byte("# nothing\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAByteOrderMarkIsNoPartOfAModelsFiles(t *testing.T) {
	c := repository(t, nil, map[string]string{
		"m/1/nearline.yaml":         "\xef\xbb\xbfmax_tokens: 7\n",
		"m/1/config.json":           "\xef\xbb\xbf" + `{"model_type": "bert", "max_position_embeddings": 512}`,
		"m/1/tokenizer_config.json": "\xef\xbb\xbf" + `{"model_max_length": 64}`,
		"w/1/nearline.yaml":         "\xff\xfem\x00",
	})
	folder := filepath.Join(c.Repository, "m", "1")
	m, err := ReadManifest(folder)
	if err != nil || m.MaxTokens != 7 {
		t.Errorf("got %+v, %v, want 7 tokens", m, err)
	}
	if s, err := ReadSettings(folder); err != nil || s.Positions != 512 || s.tokensStated != 64 {
		t.Errorf("got %+v, %v, want 512 positions and 64 tokens", s, err)
	}
	if _, err := ReadManifest(filepath.Join(c.Repository, "w", "1")); err == nil || !strings.Contains(err.Error(), "is UTF-16: want it saved as UTF-8") {
		t.Errorf("got %v, want the encoding named", err)
	}
}

func TestConstantColumnsKeepTheirOrderAndTypes(t *testing.T) {
	c := repository(t, nil, map[string]string{"m/1/nearline.yaml": "task: constant\ncolumns:\n  z: 1\n  a: {y: text, b: [true, 0.5, ~]}\n"})
	m, err := ReadManifest(filepath.Join(c.Repository, "m", "1"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.ConstantColumns()
	if err != nil {
		t.Fatal(err)
	}
	want := []pipeline.Field{
		{Name: "z", Value: pipeline.IntValue(1)},
		{Name: "a", Value: pipeline.ObjectValue(
			pipeline.Field{Name: "y", Value: pipeline.StringValue("text")},
			pipeline.Field{Name: "b", Value: pipeline.Value{Kind: pipeline.List, List: []pipeline.Value{
				{Kind: pipeline.Bool, Bool: true}, pipeline.FloatValue(0.5), {}}}},
		)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMaxTokensComesFromTheFirstFileThatSaysSo(t *testing.T) {
	for _, c := range []struct {
		name       string
		manifest   int
		settings   settings
		truncation int
		want       int
	}{
		{"nothing said", 0, settings{}, 0, 512},
		{"nearline.yaml", 64, settings{tokensStated: 256, Positions: 512}, 128, 64},
		{"max_seq_length", 0, settings{tokensStated: 512, Positions: 512, sentence: sentence{maxTokens: 256}}, 128, 256},
		{"model_max_length", 0, settings{tokensStated: 256, Positions: 512}, 128, 256},
		{"tokenizer.json", 0, settings{Positions: 512}, 128, 128},
		{"positions", 0, settings{Positions: 384}, 0, 384},
		{"never past the positions", 0, settings{tokensStated: 1024, Positions: 512}, 0, 512},
		{"more than positions", 1024, settings{Positions: 512}, 0, 0},
	} {
		got, _, err := maxTokens(manifest{MaxTokens: c.manifest}, c.settings, c.truncation)
		if got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%s: got %d, %v, want %d", c.name, got, err, c.want)
		}
	}
}

func TestSettingsOfAHuggingFaceExport(t *testing.T) {
	c := repository(t, nil, map[string]string{
		"m/1/config.json":           `{"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1, "id2label": {"1": "b", "0": "a"}}`,
		"m/1/tokenizer_config.json": `{"model_max_length": 1000000000000000019884624838656}`,
	})
	s, err := ReadSettings(filepath.Join(c.Repository, "m", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Positions != 512 || s.tokensStated != 0 || !reflect.DeepEqual(s.labels(), []string{"a", "b"}) {
		t.Errorf("got %+v with labels %v, want 512 positions, no stated limit, labels a and b", s, s.labels())
	}
}

func TestGraphIsFoundWhereExportsPutIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		graph string
		want  string // a path, or part of an error
	}{
		{"at the top", []string{"model.onnx", "onnx/model.onnx"}, "", "model.onnx"},
		{"below", []string{"onnx/model.onnx", "onnx/model_fp16.onnx"}, "", "onnx/model.onnx"},
		{"the only one", []string{"onnx/model_quantized.onnx"}, "", "onnx/model_quantized.onnx"},
		{"named", []string{"model.onnx", "onnx/model_fp16.onnx"}, "onnx/model_fp16.onnx", "onnx/model_fp16.onnx"},
		{"named, missing", []string{"model.onnx"}, "onnx/model.onnx", "there is no such file"},
		{"the only one, with a name of its own", []string{"reviews-12.onnx"}, "", "reviews-12.onnx"},
		{"as it was exported, among variants", []string{"model.onnx", "model_quantized.onnx", "model_optimized.onnx"}, "", "model.onnx"},
		{"a variant, named", []string{"model.onnx", "model_quantized.onnx"}, "model_quantized.onnx", "model_quantized.onnx"},
		{"in two places", []string{"model_quantized.onnx", "onnx/model_fp16.onnx"}, "", "one of model_quantized.onnx, onnx/model_fp16.onnx"},
		{"several", []string{"onnx/model_a.onnx", "onnx/model_b.onnx"}, "", "one of onnx/model_a.onnx, onnx/model_b.onnx"},
		{"none", nil, "", "has no model.onnx"},
	} {
		files := map[string]string{"m/1/config.json": "{}"}
		for _, f := range c.files {
			files["m/1/"+f] = ""
		}
		folder := filepath.Join(repository(t, nil, files).Repository, "m", "1")
		m := manifest{Graph: c.graph}
		path, err := m.graphPath(folder)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			}
		} else if path != filepath.Join(folder, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, path, c.want)
		}
	}
}
