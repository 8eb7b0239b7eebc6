package folder

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nearline/models/onnx"
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
	root := repository(t, nil, map[string]string{
		"m/1/nearline.yaml":         "\xef\xbb\xbfmax_tokens: 7\n",
		"m/1/config.json":           "\xef\xbb\xbf" + `{"model_type": "bert", "max_position_embeddings": 512}`,
		"m/1/tokenizer_config.json": "\xef\xbb\xbf" + `{"model_max_length": 64}`,
		"w/1/nearline.yaml":         "\xff\xfem\x00",
	})
	folder := filepath.Join(root, "m", "1")
	m, err := ReadManifest(folder)
	if err != nil || m.MaxTokens != 7 {
		t.Errorf("got %+v, %v, want 7 tokens", m, err)
	}
	if s, err := ReadSettings(folder); err != nil || s.Positions != 512 || s.tokensStated != 64 {
		t.Errorf("got %+v, %v, want 512 positions and 64 tokens", s, err)
	}
	if _, err := ReadManifest(filepath.Join(root, "w", "1")); err == nil || !strings.Contains(err.Error(), "is UTF-16: want it saved as UTF-8") {
		t.Errorf("got %v, want the encoding named", err)
	}
}

func TestConstantColumnsKeepTheirOrderAndTypes(t *testing.T) {
	root := repository(t, nil, map[string]string{"m/1/nearline.yaml": "task: constant\ncolumns:\n  z: 1\n  a: {y: text, b: [true, 0.5, ~]}\n"})
	m, err := ReadManifest(filepath.Join(root, "m", "1"))
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

func TestGraphInputsMayBeNamedInOurFile(t *testing.T) {
	m := manifest{Inputs: map[string]columnNames{"input.1": {"input_ids"}}}
	got, _, err := m.named([]onnx.Info{{Name: "input.1"}, {Name: "attention_mask"}})
	if err != nil || got[0].Name != "input_ids" || got[1].Name != "attention_mask" {
		t.Errorf("got %v, %v, want input_ids and attention_mask", got, err)
	}
}
