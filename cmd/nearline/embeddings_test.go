//go:build cgo

package main

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"nearline/batching"
	"nearline/internal/config"
	"nearline/models"
	"nearline/pipeline"
	"nearline/schemas"
)

// sentences is what models/testdata/sentences/make.py wrote.
const sentences = "../../models/testdata/sentences"

// vectors adds a tiny folder of sentence-transformers to a repository, under the name of the example, and returns its texts with
// the vectors that sentence-transformers makes of them.
func vectors(t *testing.T, repository string) (texts []string, want [][]float64) {
	t.Helper()
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(sentences, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	folder := filepath.Join(repository, "minilm", "1")
	for _, name := range []string{"model.onnx", "tokenizer.json", "tokenizer_config.json", "config.json"} {
		write(t, filepath.Join(folder, name), read(name))
	}
	var all struct {
		Texts []string
		Cases []struct {
			Files   map[string]json.RawMessage
			Vectors [][]float64
		}
	}
	if err := json.Unmarshal([]byte(read("cases.json")), &all); err != nil {
		t.Fatal(err)
	}
	for name, content := range all.Cases[0].Files {
		write(t, filepath.Join(folder, name), string(content))
	}
	return all.Texts, all.Cases[0].Vectors
}

func wantVector(t *testing.T, text string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%q: got %d numbers, want %d", text, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(float64(got[i])-want[i]) <= 1e-5) {
			t.Fatalf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestScoreGivesVectors(t *testing.T) {
	models := repository(t)
	texts, want := vectors(t, models)
	var in strings.Builder
	for _, text := range texts {
		line, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	r := execute(t, in.String(), "score", "--model", "minilm", "--models", models)
	r.ok(t)
	at := 0
	for line := range strings.Lines(r.out) {
		for strings.TrimSpace(texts[at]) == "" {
			at++ // a line without text is rejected
		}
		var result struct {
			Vector []float32 `json:"minilm"`
		}
		if err := json.Unmarshal([]byte(line), &result); err != nil {
			t.Fatal(err)
		}
		wantVector(t, texts[at], result.Vector, want[at])
		at++
	}
	if at != len(texts) {
		t.Errorf("got results up to text %d, want all %d: %s", at, len(texts), r.err)
	}
}

// The example as it stands, but for its repository and the broker.
func TestEmbeddingsExampleWritesVectorsInAvro(t *testing.T) {
	c, _, err := config.Load("../../examples/embeddings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.Models.Repository = repository(t)
	texts, want := vectors(t, c.Models.Repository)
	device := c.Models.NewDevice()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- device.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	p := c.Pipelines[0]
	decoder, err := schemas.NewDecoder(p.Input.InputConfig, p.Output.OutputConfig, schemas.Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := schemas.NewEncoder(p.Output.OutputConfig, p.Input.InputConfig)
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(map[string]string{"review_id": "r1", "item_id": "i1", "text": texts[1]})
	if err != nil {
		t.Fatal(err)
	}
	row, fault := decoder.Decode(&pipeline.Record{Topic: "reviews.raw", Value: value})
	if fault != nil {
		t.Fatal(fault)
	}
	var columns []pipeline.Field
	for _, step := range p.Steps {
		model, err := models.Load(ctx, c.Models, step.Predict.Model, device, models.NewMetrics(nil))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := model.Close(ctx); err != nil {
				t.Error(err)
			}
		}()
		predict := models.NewStep(model, batching.Stream, step.Predict.As, nil)
		columns = append(columns, predict.Columns()...)
		if err := predict.Run(ctx, []*pipeline.Row{row}); err != nil || row.Fault != nil {
			t.Fatal(err, row.Fault)
		}
	}
	if err := encoder.Check(columns); err != nil {
		t.Fatal(err)
	}
	out, fault := encoder.Append(nil, row)
	if fault != nil {
		t.Fatal(fault)
	}
	schema, err := os.ReadFile("../../examples/embeddings.avsc")
	if err != nil {
		t.Fatal(err)
	}
	codec, err := goavro.NewCodec(string(schema))
	if err != nil {
		t.Fatal(err)
	}
	native, rest, err := codec.NativeFromBinary(out)
	if err != nil || len(rest) > 0 {
		t.Fatalf("goavro cannot read the result: %v, %d bytes left", err, len(rest))
	}
	var vector []float32
	for _, v := range native.(map[string]any)["vector"].([]any) {
		vector = append(vector, v.(float32))
	}
	wantVector(t, texts[1], vector, want[1])
}
