//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nearline/internal/config"
	"nearline/models"
	"nearline/models/folder"
)

// tiny is a folder with a model of three labels.
func tiny(t *testing.T, place ...string) string {
	t.Helper()
	folder := filepath.Join(append([]string{t.TempDir()}, place...)...)
	if err := os.CopyFS(folder, os.DirFS(filepath.Join("..", "..", "models", "onnx", "testdata", "single_label"))); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestInspectPrintsWhatItFound(t *testing.T) {
	folder := tiny(t, "mood", "3")
	r := execute(t, "", "models", "inspect", folder, "--no-speed")
	r.ok(t)
	wantAll(t, "standard output", r.out, "model       mood version 3\n", "task        classification\n",
		"column      mood: classification as negative, neutral, positive\n", "tokenizer   WordPiece, ", "(said by tokenizer.json, truncation)",
		"device      cpu, ", "warning     no golden examples", "It loads. Run it with\n", "steps: [{predict: {model: mood}}]")
	if strings.Contains(r.out, "\x1b") || strings.Contains(r.out, "texts/s") {
		t.Errorf("got %q, want neither colours nor, with --no-speed, speeds", r.out)
	}
	if speed := execute(t, "", "models", "inspect", folder); !strings.Contains(speed.out, "texts/s") {
		t.Errorf("got %s\nwant speeds", speed.out)
	}
}

func TestInspectPrintsJSON(t *testing.T) {
	r := execute(t, "", "models", "inspect", tiny(t, "mood", "3"), "--no-speed", "--json")
	r.ok(t)
	var got models.Report
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("got %v of %s", err, r.out)
	}
	if got.Name != "mood" || got.Version != 3 || len(got.Columns) != 1 || len(got.Devices) == 0 || got.Graph == nil {
		t.Errorf("got %+v, want mood version 3", got)
	}
}

func TestInspectPrintsEverythingThatIsWrong(t *testing.T) {
	folder := tiny(t, "export")
	write(t, filepath.Join(folder, "config.json"), "{}")
	write(t, filepath.Join(folder, "tokenizer.json"), "{}")
	for _, args := range [][]string{{}, {"--json"}} {
		r := execute(t, "", append([]string{"models", "inspect", folder, "--no-speed"}, args...)...)
		if !errors.Is(r.failure, errTold) {
			t.Errorf("got error %v, want one that has been told", r.failure)
		}
		wantAll(t, "standard output", r.out, "labels is missing", "tokenizer.json")
		if len(args) == 0 {
			wantAll(t, "standard output", r.out, "WRONG       ", "It does not load: 2 things are wrong.")
		}
	}
	execute(t, "", "models", "inspect", filepath.Join(folder, "nowhere")).fails(t, "no such file")
}

// What it prints to paste is a configuration that is right.
func TestInspectPrintsAConfigurationThatParses(t *testing.T) {
	for _, folder := range []string{tiny(t, "repo", "mood", "3"), tiny(t, "repo", "grüße: 1", "3"), tiny(t, "an export")} {
		r := execute(t, "", "models", "inspect", folder, "--no-speed")
		r.ok(t)
		at := strings.Index(r.out, "kafka: {")
		if at < 0 {
			t.Fatalf("got %s\nwant a configuration", r.out)
		}
		if _, _, err := config.Parse("pasted.yaml", []byte(r.out[at:])); err != nil {
			t.Errorf("%s: got %v of\n%s", folder, err, r.out[at:])
		}
	}
}

func TestReportIsLaidOut(t *testing.T) {
	labels := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"}
	var out bytes.Buffer
	facts := folder.Facts{
		Folder: "/m/topic/2", Name: "topic", Version: 2, Bytes: 24_100_000, Task: "classification",
		Columns: []folder.Column{
			{Name: "topic", Kind: "classification", Output: "logits", Labels: labels},
			{Name: "worth", Kind: "score", Activation: "sigmoid"},
		},
		Tokenizer: &folder.TokenizerFacts{Kind: "BPE", Vocabulary: 50265},
		MaxTokens: 512, LimitFrom: "config.json, max_position_embeddings",
		Graph: &folder.GraphFacts{
			File: "onnx/model.onnx", Producer: "pytorch 2.4", Opset: 17, Precision: "float16", Weights: 22_600_000,
			Inputs: []string{"input_ids int64[?, ?]"}, Outputs: []string{"logits float32[?, 14]"},
		},
		Golden: 21, Tolerance: 0.02,
	}
	describeModel(&out, &models.Report{
		Facts: facts,
		Devices: []models.DeviceFacts{
			{Device: "cpu", Slots: 1, Load: 0.42, Paces: []models.Pace{{Tokens: 32, Batch: 1, Texts: 1060}, {Tokens: 384, Batch: 64, Texts: 31.4}}},
			{Device: "cuda", Missing: "no GPU"},
		},
		Warnings: []string{strings.TrimSpace(strings.Repeat("word ", 30))},
	})
	want := `folder      /m/topic/2, 24.1 MB on disk
model       topic version 2
task        classification
column      topic: classification as a, b, c, d, e, f, g, h, i, j, k, l and 2 more
column      worth: score through sigmoid
tokenizer   BPE, 50265 tokens
text        up to 512 tokens (said by config.json, max_position_embeddings)
graph       onnx/model.onnx, opset 17, by pytorch 2.4
inputs      input_ids int64[?, ?]
outputs     logits float32[?, 14]
precision   float16 (22.6 million of them)
batches     rows may share one: nothing in the graph makes them move each other's answers
golden      21 of 21 examples reproduced, scores within 0.02
device      cpu, one slot, ready in 0.4 s
               tokens a text   batch   texts/s   tokens/s
                          32       1      1060      33920
                         384      64        31      12058
device      cuda is not here: no GPU
warning     word word word word word word word word word word word word word word word word word word word word
            word word word word word word word word word word

It loads. Run it with

` + snippet("/m", "topic", nil)
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestModelsAreListed(t *testing.T) {
	root := repository(t)
	if err := os.CopyFS(filepath.Join(root, "mood", "3"), os.DirFS(tiny(t))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "broken", "1", "nearline.yaml"), "task: guess\n")
	r := execute(t, "", "models", "list", root)
	r.ok(t)
	wantAll(t, "standard output", r.out, "MODEL       VERSION   TASK             ANSWERS\n",
		"mood        3         classification   mood: classification as negative, neutral, positive\n",
		"sentiment   1         constant         sentiment: constant; helpfulness: constant\n", "WRONG: ", `task is "guess"`)
	asJSON := execute(t, "", "models", "list", root, "--json")
	asJSON.ok(t)
	var entries []folder.Entry
	if err := json.Unmarshal([]byte(asJSON.out), &entries); err != nil || len(entries) != 3 {
		t.Errorf("got %v, %v, want three entries", entries, err)
	}
	empty := execute(t, "", "models", "list", t.TempDir())
	empty.ok(t)
	wantAll(t, "standard output", empty.out, "has no model: want folders NAME/VERSION/")
	execute(t, "", "models", "list", "nowhere").fails(t, "there is no such folder")
}
