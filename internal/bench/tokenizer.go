package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nearline/models/tokenizer"
)

// tokenizing is our tokenizer against the reference on the same texts, one thread each.
func tokenizing(ctx context.Context, b *bench) ([]figure, error) {
	events, source, err := reviews(b.reviews, 5000)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(events))
	for i, event := range events {
		var r review
		if err := json.Unmarshal(event, &r); err != nil {
			continue // the sample stream has a few that are not JSON
		}
		texts[i] = r.Text
	}
	file, err := writeTexts(texts)
	if err != nil {
		return nil, err
	}
	defer os.Remove(file)
	vocabulary := filepath.Join("models", "zoo", "sentiment", "1", "tokenizer.json")
	ours, err := tokenizer.Load(vocabulary)
	if err != nil {
		return nil, err
	}
	var ids []int64
	a := func(int) (float64, error) {
		began := time.Now()
		for _, text := range texts {
			ids = ours.AppendIDs(ids[:0], text)
		}
		return float64(len(texts)) / time.Since(began).Seconds(), nil
	}
	reference := func(int) (float64, error) {
		command := exec.CommandContext(ctx, pythonWithTokenizers(), "models/tokenizer/bench_reference.py", "--tokenizer", vocabulary, file)
		command.Env = append(os.Environ(), "TOKENIZERS_PARALLELISM=false", "RAYON_NUM_THREADS=1")
		command.Stderr = os.Stderr
		out, err := command.Output()
		if err != nil {
			return 0, fmt.Errorf("the reference tokenizer: %w", err)
		}
		fields := strings.Fields(string(out))
		return strconv.ParseFloat(fields[0], 64)
	}
	ratios, as, bs, err := paired(b.rounds, a, reference)
	if err != nil {
		return nil, err
	}
	return []figure{{
		name: "tokenizer ÷ Hugging Face tokenizers, one core", floor: 1.5, aim: 5, rounds: ratios,
		note: fmt.Sprintf("%.0f reviews/s against %.0f, %s", median(as), median(bs), source),
	}}, nil
}

// pythonWithTokenizers is the one of the virtual environment that `make bench` prepares.
func pythonWithTokenizers() string {
	if python := ".cache/bench/venv/bin/python"; exec.Command(python, "-c", "import tokenizers").Run() == nil {
		return python
	}
	return "python3"
}

func writeTexts(texts []string) (string, error) {
	f, err := os.CreateTemp("", "nearline-bench-*.jsonl")
	if err != nil {
		return "", err
	}
	defer f.Close()
	encoder := json.NewEncoder(f)
	for _, text := range texts {
		if err := encoder.Encode(review{Text: text}); err != nil {
			return "", err
		}
	}
	return f.Name(), nil
}
