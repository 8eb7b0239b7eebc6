package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"nearline/models/tokenizer"
	"nearline/schemas"
)

// tokenizing is our tokenizer against the reference on the same texts, one thread each.
func tokenizing(ctx context.Context, b *bench) ([]figure, error) {
	events, source, err := reviews(b.reviews, 5000)
	if err != nil {
		return nil, err
	}
	decoder, err := schemas.NewDecoder(schemas.InputConfig{}, schemas.OutputConfig{})
	if err != nil {
		return nil, err
	}
	texts := texts(decoder, events)
	file, err := writeTexts(texts)
	if err != nil {
		return nil, err
	}
	defer os.Remove(file)
	vocabulary := filepath.Join("models", "zoo", "sentiment", "2", "tokenizer.json")
	ours, err := tokenizer.Load(vocabulary)
	if err == nil {
		ours, err = ours.WithMaxTokens(128) // as the reference's script sets it
	}
	if err != nil {
		return nil, err
	}
	var ids []int64
	a := func(int) (float64, error) {
		began, done := time.Now(), 0
		for ; time.Since(began) < 2*time.Second; done += len(texts) {
			for _, text := range texts {
				ids = ours.AppendIDs(ids[:0], text)
			}
		}
		return float64(done) / time.Since(began).Seconds(), nil
	}
	reference := func(int) (float64, error) {
		command := exec.CommandContext(ctx, pythonWithTokenizers(), "models/tokenizer/testdata/bench_reference.py", vocabulary, file, "2")
		command.Stderr = os.Stderr
		out, err := command.Output()
		if err != nil {
			return 0, fmt.Errorf("the reference tokenizer: %w", err)
		}
		return fastest(string(out))
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

// fastest of the ways that the reference was run in: it goes text by text, and in batches.
func fastest(out string) (best float64, err error) {
	for _, match := range regexp.MustCompile(`: (\d+) reviews/s`).FindAllStringSubmatch(out, -1) {
		rate, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			return 0, err
		}
		best = max(best, rate)
	}
	if best == 0 {
		return 0, fmt.Errorf("the reference tokenizer printed no rate: %q", out)
	}
	return best, nil
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
