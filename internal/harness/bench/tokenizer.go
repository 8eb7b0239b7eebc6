package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"nearline/models/tokenizer"
	"nearline/schemas"
)

// A family is a kind of vocabulary, each of which spends its time in code of its own.
type family struct {
	name string
	file func() (path string, remove func(), err error) // its tokenizer.json
}

var families = []family{
	{"WordPiece", func() (string, func(), error) {
		return filepath.Join("models", "zoo", "sentiment", "2", "tokenizer.json"), func() {}, nil
	}},
	{"BPE of GPT-2, as RoBERTa splits", writeGPT2},
}

// tokenizing is our tokenizer against the reference on the same texts, one thread each, for each family.
func tokenizing(ctx context.Context, b *bench) ([]figure, error) {
	events, source, err := reviews(b.reviews, 5000)
	if err != nil {
		return nil, err
	}
	decoder, err := schemas.NewDecoder(schemas.InputConfig{}, schemas.OutputConfig{}, schemas.Wanted{})
	if err != nil {
		return nil, err
	}
	texts := texts(decoder, events)
	file, err := writeTexts(texts)
	if err != nil {
		return nil, err
	}
	defer os.Remove(file)
	var all []figure
	for _, f := range families {
		figure, err := b.tokenizingWith(ctx, f, texts, file)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(os.Stderr, "bench: no figure for %s: %v; models/tokenizer/testdata/fetch_real.sh fetches it\n", f.name, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		figure.note += ", " + source
		all = append(all, figure)
	}
	return all, nil
}

// tokenizingWith takes the texts as they are and, for the reference, in a file.
func (b *bench) tokenizingWith(ctx context.Context, f family, texts []string, file string) (figure, error) {
	vocabulary, remove, err := f.file()
	if err != nil {
		return figure{}, err
	}
	defer remove()
	ours, err := tokenizer.Load(vocabulary)
	if err == nil {
		ours, err = ours.WithMaxTokens(128) // as the reference's script sets it
	}
	if err != nil {
		return figure{}, err
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
		return figure{}, err
	}
	return figure{
		name: "tokenizer ÷ Hugging Face's, one core, " + f.name, floor: 1.5, aim: 5, rounds: ratios,
		note: fmt.Sprintf("%.0f reviews/s against %.0f", median(as), median(bs)),
	}, nil
}

// writeGPT2 makes a tokenizer.json of the two files in which GPT-2's vocabulary comes.
func writeGPT2() (string, func(), error) {
	folder := filepath.Join(".cache", "tokenizers", "gpt2")
	vocab, err := os.ReadFile(filepath.Join(folder, "encoder.json"))
	if err != nil {
		return "", nil, err
	}
	merges, err := os.ReadFile(filepath.Join(folder, "vocab.bpe"))
	if err != nil {
		return "", nil, err
	}
	ends := []any{"<|endoftext|>", 50256}
	data, err := json.Marshal(map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": []any{}, "normalizer": nil, "decoder": nil,
		"pre_tokenizer":  map[string]any{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
		"post_processor": map[string]any{"type": "RobertaProcessing", "cls": ends, "sep": ends, "trim_offsets": true, "add_prefix_space": true},
		"model": map[string]any{
			"type": "BPE", "vocab": json.RawMessage(vocab), "merges": strings.Split(strings.TrimSpace(string(merges)), "\n"),
		},
	})
	if err != nil {
		return "", nil, err
	}
	f, err := os.CreateTemp("", "nearline-bench-*.json")
	if err != nil {
		return "", nil, err
	}
	remove := func() { _ = os.Remove(f.Name()) }
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		remove()
		return "", nil, err
	}
	return f.Name(), remove, nil
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
