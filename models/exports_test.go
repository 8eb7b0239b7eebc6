//go:build cgo

package models

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nearline/batching"
	"nearline/pipeline"
)

// exports is testdata/exports/golden.json, which training/exports.py writes.
type exports struct {
	Texts []string          `json:"texts"`
	Cases map[string]export `json:"cases"`
}

// export is a case: what transformers and PyTorch, in float32, make of the texts.
type export struct {
	Family    string      `json:"family"`
	Precision string      `json:"precision"`
	Graph     string      `json:"graph"`
	Problem   string      `json:"problem_type"`
	Labels    []string    `json:"labels"` // none of a regression
	MaxTokens int         `json:"max_tokens"`
	Alone     string      `json:"alone"`     // part of why rows run alone
	Tolerance float64     `json:"tolerance"` // of probabilities
	IDs       [][]int64   `json:"ids"`
	Logits    [][]float64 `json:"logits"`
	// What onnxruntime itself makes of a graph in int8, on CPUs whose products saturate and on those with VNNI, whose do not; and
	// what other kinds of CPU may round differently.
	Quantized     [][]float64 `json:"quantized_logits"`
	QuantizedVNNI [][]float64 `json:"quantized_logits_vnni"`
	Rounding      float64     `json:"rounding"`
}

func readExports(t testing.TB) exports {
	t.Helper()
	var e exports
	data, err := os.ReadFile(filepath.Join("testdata", "exports", "golden.json"))
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// exported makes a repository of the case, as its exporter wrote it.
func exported(t testing.TB, name string) Config {
	t.Helper()
	c := DefaultConfig()
	c.Repository = t.TempDir()
	archive, err := zip.OpenReader(filepath.Join("testdata", "exports", name+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if err := os.CopyFS(filepath.Join(c.Repository, name, "1"), archive); err != nil {
		t.Fatal(err)
	}
	return c
}

// Every architecture, exporter and precision that golden.json has, with the files that the exporter wrote and no other.
func TestExportsLoad(t *testing.T) {
	all := readExports(t)
	for _, name := range slices.Sorted(maps.Keys(all.Cases)) {
		t.Run(name, func(t *testing.T) {
			want, c := all.Cases[name], exported(t, name)
			c.Slots = 2
			c.Batch = BatchConfig{MaxItems: 8, MaxPadding: 100}
			m := loaded(t, c, name, running(t, c))
			info, text := m.Info(), m.engine.(*textModel)
			if info.MaxTokens != want.MaxTokens {
				t.Errorf("got %d tokens at most, want %d", info.MaxTokens, want.MaxTokens)
			}
			if (info.Alone == "") != (want.Alone == "") || !strings.Contains(info.Alone, want.Alone) {
				t.Errorf("got rows alone because %q, want %q", info.Alone, want.Alone)
			}
			if (info.Limits.MaxItems == 1) != (want.Alone != "") {
				t.Errorf("got %d rows in a batch, want 1 only where rows run alone", info.Limits.MaxItems)
			}
			if !slices.Equal(info.Heads[0].Labels, want.Labels) {
				t.Errorf("got labels %v, want %v", info.Heads[0].Labels, want.Labels)
			}
			for i, s := range all.Texts {
				var r row
				if _, err := text.prepare(Input{Text: s}, &r); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(r.ids, want.IDs[i]) {
					t.Errorf("%q: got ids %v, want %v", s, r.ids, want.IDs[i])
				}
			}
			predictions := predicted(t, m, all.Texts)
			for i, s := range all.Texts {
				want.agrees(t, s, predictions[i], want.Logits[i], want.Tolerance)
				if want.Quantized == nil {
					continue
				}
				saturating := want.differs(predictions[i], want.Quantized[i], want.Rounding)
				if exact := want.differs(predictions[i], want.QuantizedVNNI[i], want.Rounding); saturating != nil && exact != nil {
					t.Errorf("%q: %v, on a CPU that saturates; %v, on one with VNNI", s, saturating, exact)
				}
			}
			moved := map[string]float64{"fp16": 2e-3}[want.Precision] // sums of other lengths round differently
			if got := neighbours(t, m, all.Texts, words(20, 30, 3), 2); got > max(moved, neighbourTolerance) {
				t.Errorf("got answers moved by %g by neighbours", got)
			}
		})
	}
}

// Who gives no limit gets 512 tokens, which a model may not have: that is seen before anybody's text is.
func TestModelThatTakesFewerTokensThanAssumedIsNotLoaded(t *testing.T) {
	c := exported(t, "bert-opset11")
	folder := filepath.Join(c.Repository, "bert-opset11", "1")
	if err := os.Remove(filepath.Join(folder, "tokenizer_config.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte(`{"model_type": "bert"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(t.Context(), c, "bert-opset11", c.NewDevice(), NewMetrics(nil))
	if err == nil || !strings.Contains(err.Error(), "1 rows of 512 tokens: ") || !strings.Contains(err.Error(), "want max_tokens in nearline.yaml") {
		t.Errorf("got %v, want the load refused, with what to do", err)
	}
}

// A snapshot in Hugging Face's cache is a folder of links: it loads, unless weights lie beside the graph.
func TestFoldersOfLinks(t *testing.T) {
	for name, want := range map[string]string{
		"mpnet-optimum":  "",
		"mpnet-external": "model.onnx_data is a link to a file elsewhere, as Hugging Face's cache has it, which ONNX Runtime does not follow",
	} {
		c := exported(t, name)
		folder, blobs := filepath.Join(c.Repository, name, "1"), filepath.Join(t.TempDir(), "blobs")
		if err := os.Rename(folder, blobs); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(blobs)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range files {
			blob := filepath.Join(blobs, strconv.Itoa(i))
			if err := errors.Join(os.Rename(filepath.Join(blobs, f.Name()), blob), os.Symlink(blob, filepath.Join(folder, f.Name()))); err != nil {
				t.Fatal(err)
			}
		}
		m, err := Load(t.Context(), c, name, c.NewDevice(), NewMetrics(nil))
		if err == nil {
			err = m.Close(t.Context())
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

// Some exports have everything in onnx/, and nothing above it.
func TestExportMayLieBelow(t *testing.T) {
	c := exported(t, "distilbert-optimum")
	top := filepath.Join(c.Repository, "distilbert-optimum", "1")
	below := filepath.Join(t.TempDir(), "onnx")
	if err := os.Rename(top, below); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(top, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(below, filepath.Join(top, "onnx")); err != nil {
		t.Fatal(err)
	}
	m := loaded(t, c, "distilbert-optimum", running(t, c))
	if info := m.Info(); info.MaxTokens != 48 || len(info.Heads[0].Labels) != 2 {
		t.Errorf("got %+v, want what config.json and tokenizer_config.json say", info)
	}
}

func TestVariantIsChosenInOurFile(t *testing.T) {
	c := exported(t, "distilbert-hub")
	for _, file := range []string{"onnx/model_quantized.onnx", "onnx/model_fp16.onnx"} {
		path := filepath.Join(c.Repository, "distilbert-hub", "1", "nearline.yaml")
		if err := os.WriteFile(path, []byte("graph: "+file+"\nmax_tokens: 16\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m := loaded(t, c, "distilbert-hub", running(t, c))
		if quantized := m.Info().Alone != ""; quantized != strings.Contains(file, "quantized") || m.Info().MaxTokens != 16 {
			t.Errorf("%s: got %+v, want the graph that was named, and 16 tokens", file, m.Info())
		}
	}
}

func predicted(t testing.TB, m *Model, texts []string) []pipeline.Prediction {
	t.Helper()
	predictions, faults, err := m.Predict(context.Background(), batching.Online, Texts(texts...))
	if err != nil {
		t.Fatal(err)
	}
	for i, fault := range faults {
		if fault != nil {
			t.Fatalf("%q: %v", texts[i], fault)
		}
	}
	return predictions
}

// agrees compares a prediction with logits; labels whose probabilities are as close as the tolerance may change places.
func (e export) agrees(t testing.TB, text string, p pipeline.Prediction, logits []float64, tolerance float64) {
	t.Helper()
	if err := e.differs(p, logits, tolerance); err != nil {
		t.Errorf("%q: %v", text, err)
	}
}

// differs says how a prediction differs from what the logits say.
func (e export) differs(p pipeline.Prediction, logits []float64, tolerance float64) error {
	value := p.Columns[0].Value
	if e.Problem == "multi_label_classification" {
		return e.differsByLabel(value, logits, tolerance)
	}
	if len(e.Labels) == 0 {
		if d := math.Abs(value.Float - logits[0]); !(d <= tolerance) {
			return fmt.Errorf("got %g, want %g within %g", value.Float, logits[0], tolerance)
		}
		return nil
	}
	label, _ := value.Lookup("label")
	score, _ := value.Lookup("score")
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(v - slices.Max(logits))
	}
	at := slices.Index(e.Labels, label.Str)
	if at < 0 {
		return fmt.Errorf("got label %q, want one of %v", label.Str, e.Labels)
	}
	best, probability := 1/sum, math.Exp(logits[at]-slices.Max(logits))/sum
	if !(math.Abs(score.Float-probability) <= tolerance) || best-probability > 2*tolerance {
		return fmt.Errorf("got %s %g, want %g for it and %g for the best label, within %g", label.Str, score.Float, probability, best, tolerance)
	}
	return nil
}

// differsByLabel compares what reaches one half, each label by itself.
func (e export) differsByLabel(value pipeline.Value, logits []float64, tolerance float64) error {
	found, _ := value.Lookup("labels")
	got := map[string]float64{}
	for _, item := range found.List {
		label, _ := item.Lookup("label")
		score, _ := item.Lookup("score")
		got[label.Str] = score.Float
	}
	for i, label := range e.Labels {
		want := 1 / (1 + math.Exp(-logits[i]))
		score, given := got[label]
		if given && math.Abs(score-want) > tolerance || given != (want >= 0.5) && math.Abs(want-0.5) > tolerance {
			return fmt.Errorf("got %s %g, given: %v, want %g within %g", label, score, given, want, tolerance)
		}
	}
	return nil
}
