//go:build cgo

package models

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func inspected(t *testing.T, folder string, o InspectOptions) *Report {
	t.Helper()
	r, err := Inspect(t.Context(), DefaultConfig(), folder, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestInspectSaysWhatAFolderHolds(t *testing.T) {
	c := repository(t, map[string]string{"mood": "single_label"}, nil)
	r := inspected(t, filepath.Join(c.Repository, "mood", "1"), InspectOptions{})
	if len(r.Problems) > 0 {
		t.Fatalf("got problems %q, want none", r.Problems)
	}
	if r.Name != "mood" || r.Version != 1 || r.Task != "classification" || r.MaxTokens != 32 || r.LimitFrom == "" || r.Bytes < 4000 {
		t.Errorf("got %+v, want mood version 1 of 32 tokens, of some kilobytes", r)
	}
	if len(r.Columns) != 1 || r.Columns[0].Name != "mood" || len(r.Columns[0].Labels) != 3 || r.Columns[0].Output != "logits" {
		t.Errorf("got columns %+v, want mood with three labels of logits", r.Columns)
	}
	if r.Tokenizer == nil || r.Tokenizer.Kind != "WordPiece" || r.Tokenizer.Vocabulary < 50 {
		t.Errorf("got tokenizer %+v, want WordPiece", r.Tokenizer)
	}
	if g := r.Graph; g == nil || g.File != "model.onnx" || g.Opset != 17 || g.Precision != "float32" || g.Alone != "" || len(g.Inputs) != 2 {
		t.Errorf("got graph %+v, want model.onnx of opset 17 in float32 with two inputs", g)
	}
	if len(r.Devices) == 0 || r.Devices[0].Device != "cpu" || r.Devices[0].Slots < 1 || len(r.Devices[0].Paces) > 0 {
		t.Errorf("got devices %+v, want cpu without paces", r.Devices)
	}
}

func TestInspectMeasuresEachDevice(t *testing.T) {
	for folder, want := range map[string][][2]int{
		"single_label": {{16, 1}, {16, 8}, {32, 1}, {32, 8}},
		"dynamic_int8": {{16, 1}, {32, 1}}, // its rows run alone
	} {
		r := inspected(t, filepath.Join("onnx", "testdata", folder), InspectOptions{Speed: true, Round: time.Millisecond})
		var got [][2]int
		for _, p := range r.Devices[0].Paces {
			got = append(got, [2]int{p.Tokens, p.Batch})
			if !(p.Texts > 0) {
				t.Errorf("%s: got %v texts a second, want more than none", folder, p.Texts)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got tokens and batch %v, want %v", folder, got, want)
		}
	}
}

func TestInspectNamesEverythingThatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name  string
		from  string
		files map[string]string
		want  []string
	}{
		{"nothing in it", "", map[string]string{"readme.txt": ""}, []string{"has no model.onnx", "tokenizer.json"}},
		{"three files at once", "single_label", map[string]string{
			"config.json":    "{}",
			"tokenizer.json": "{}",
			"nearline.yaml":  "max_tokens: -1\n",
		}, []string{"max_tokens is -1", "tokenizer.json"}},
		{"labels and tokenizer", "single_label", map[string]string{"config.json": "{}", "tokenizer.json": "{"}, []string{
			"heads[0].labels is missing", "tokenizer.json",
		}},
		{"a graph that is none", "single_label", map[string]string{"model.onnx": "text", "config.json": "{"}, []string{"not a whole ONNX file", "config.json"}},
		{"golden examples", "constant", map[string]string{"nearline.yaml": "golden:\n" + strings.Repeat("- {text: a, expect: {m: {label: negative, score: 7}}}\n", 5)}, []string{
			"golden[0]", "golden[1]", "golden[2]", "and 2 more of 5 golden examples",
		}},
		{"golden examples of no head", "single_label", map[string]string{"nearline.yaml": "golden: [{text: a, expect: {mood: {label: b}}}]\n"}, []string{"there is no such head"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := map[string]string{}
			if c.from != "" {
				from["m"] = c.from
			}
			files := map[string]string{}
			for name, content := range c.files {
				files["m/1/"+name] = content
			}
			repo := repository(t, from, files)
			r := inspected(t, filepath.Join(repo.Repository, "m", "1"), InspectOptions{})
			got := strings.Join(r.Problems, "\n")
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("got problems\n%s\nwant %q in them", got, want)
				}
			}
		})
	}
}

// Reading file by file must come to the verdict of the one way that counts.
func TestInspectAgreesWithLoad(t *testing.T) {
	folders, _ := filepath.Glob(filepath.Join("onnx", "testdata", "*"))
	for _, folder := range folders {
		if stat, err := os.Stat(folder); err != nil || !stat.IsDir() {
			continue
		}
		c := DefaultConfig()
		m, err := loadFolder(t.Context(), c, Info{Name: "m", Folder: folder}, c.NewDevice(), NewMetrics(nil))
		if err == nil {
			if err := m.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
		r, failed := inspected(t, folder, InspectOptions{}), err != nil
		if (len(r.Problems) > 0) != failed {
			t.Errorf("%s: got problems %q, want some: %v (%v)", folder, r.Problems, failed, err)
		}
	}
}

func TestInspectWarnsOfWhatIsMissing(t *testing.T) {
	c := repository(t, map[string]string{"m": "single_label"}, map[string]string{
		"m/1/config.json": `{"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}`,
	})
	r := inspected(t, filepath.Join(c.Repository, "m", "1"), InspectOptions{})
	got := strings.Join(r.Warnings, "\n")
	for _, want := range []string{"no golden examples", "labels LABEL_0, LABEL_1, LABEL_2, which name nothing"} {
		if !strings.Contains(got, want) {
			t.Errorf("got warnings\n%s\nwant %q in them", got, want)
		}
	}
	if len(r.Problems) > 0 {
		t.Errorf("got problems %q, want none", r.Problems)
	}
}

func TestInspectRefusesWhatIsNoFolder(t *testing.T) {
	for path, want := range map[string]string{"nowhere": "no such file", "inspect.go": "is a file: want the folder"} {
		if _, err := Inspect(t.Context(), DefaultConfig(), path, InspectOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that says %q", path, err, want)
		}
	}
}
