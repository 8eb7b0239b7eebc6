//go:build cgo

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nearline/models/onnx"
	"nearline/pipeline"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "broker" { // this binary is its own broker's, as the program is
		if err := serveBroker(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// tinyCheck is a short one, on CPU, with a tiny model.
func tinyCheck(t *testing.T) gpuCheck {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "mood", "1"), os.DirFS(filepath.Join("..", "..", "..", "models", "onnx", "testdata", "single_label"))); err != nil {
		t.Fatal(err)
	}
	return gpuCheck{
		device: "cpu", repository: root, model: "mood", members: 2, compared: 20, round: time.Millisecond, n: 300, rounds: 1,
		with: "batch: {max_items: 8, buckets: [8, 16, 64]}",
	}
}

// The whole of make gpu-check, on CPU.
func TestGPUCheckRunsOnCPU(t *testing.T) {
	g := tinyCheck(t)
	g.reference = t.TempDir() // another repository of the same model
	if err := os.CopyFS(g.reference, os.DirFS(g.repository)); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := g.run(t.Context(), &out); err != nil {
		t.Fatalf("got %v after\n%s", err, out.String())
	}
	for _, want := range []string{
		"device       cpu, ", "texts        300 made up, 31 tokens on average", "100.00% of 20 labels equal", "graph alone  slots 1;",
		"end to end   ", "GPU busy not sampled", "rows a batch",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", out.String(), want)
		}
	}
	if strings.Contains(out.String(), "end to end   0 texts/s") {
		t.Errorf("got\n%s\nwant a rate", out.String())
	}
	if n := strings.Count(out.String(), "answers      "); n != 2 {
		t.Errorf("got %d comparisons, want one for each reference", n)
	}
}

func TestGPUCheckNamesWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	g := tinyCheck(t)
	g.device = "cuda:1"
	err := g.run(t.Context(), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "there is no NVIDIA GPU 1 here: nvidia-smi is not on the path") {
		t.Errorf("got %v, want an error that says that there is no GPU", err)
	}
	g.device = "tpu"
	if err := g.run(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "-device") {
		t.Errorf("got %v, want an error of -device", err)
	}
}

// A stand-in for nvidia-smi: one answer, or a sample a line until it is killed.
const standIn = `#!/bin/sh
case "$*" in
*-lms*) echo 50; echo "[N/A]"; echo 100; exec sleep 60 ;;
*"-i 7"*) echo "No devices were found"; exit 6 ;;
*) echo "NVIDIA Example,  1.2.3, 80 GiB" ;;
esac
`

func TestGPUIsNamedAndWatched(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "nvidia-smi"), []byte(standIn), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	name, err := deviceName(t.Context(), onnx.Device{CUDA: true})
	if err != nil || name != "NVIDIA Example, 1.2.3, 80 GiB" {
		t.Errorf("got %q, %v, want the name that nvidia-smi says", name, err)
	}
	if _, err := deviceName(t.Context(), onnx.Device{CUDA: true, Index: 7}); err == nil || !strings.Contains(err.Error(), "No devices were found") {
		t.Errorf("got %v, want what nvidia-smi says", err)
	}
	if got, want := percentages([]byte("50\n[N/A]\n 100\n")), []float64{50, 100}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if got := watchGPU(ctx, onnx.Device{}).end(); got != "not sampled" {
		t.Errorf("on CPU: got %q, want that nothing was sampled", got)
	}
	watchGPU(ctx, onnx.Device{CUDA: true}).end() // it is killed, however little it has said
}

func TestAgreementCountsLabelsAndDistances(t *testing.T) {
	answer := func(label string, score, number float64) pipeline.Prediction {
		return pipeline.Prediction{Columns: []pipeline.Field{
			{Name: "a", Value: pipeline.ObjectValue(
				pipeline.Field{Name: "label", Value: pipeline.StringValue(label)},
				pipeline.Field{Name: "score", Value: pipeline.FloatValue(score)})},
			{Name: "b", Value: pipeline.FloatValue(number)},
		}}
	}
	got := compareAnswers(
		[]pipeline.Prediction{answer("x", 0.75, 1), answer("x", 0.5, 2)},
		[]pipeline.Prediction{answer("x", 0.5, 1), answer("y", 0.625, 2)})
	if want := (agreement{labels: 2, same: 1, furthest: 0.25}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMadeUpTextsAreAsLongAsReviews(t *testing.T) {
	g := gpuCheck{repository: filepath.Join("..", "..", "..", "models", "zoo"), model: "sentiment", device: "cpu"}
	texts, source, err := g.texts(3000)
	if err != nil {
		t.Fatal(err)
	}
	var mean, high float64
	if _, err := fmt.Sscanf(source, "3000 made up, %f tokens on average, 95th percentile %f", &mean, &high); err != nil {
		t.Fatalf("%q: %v", source, err)
	}
	if len(texts) != 3000 || mean < 78 || mean > 84 || high < 130 || high > 140 {
		t.Errorf("got %d texts of %v tokens, 95th percentile %v, want 3000 of 81, 135", len(texts), mean, high)
	}
}
