package folder

import (
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

func TestPositionsAreWhatTheModelTypeCounts(t *testing.T) {
	for _, c := range []struct {
		config      string
		limit       int
		first       int64
		relative    bool
		roomForMore bool // max_tokens 1024 is taken
		tokenizers  int64
		pad         int64
	}{
		{config: `{"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}`, limit: 512},
		{config: `{"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}`, limit: 512, first: 2, pad: 1},
		{config: `{"model_type": "roberta", "max_position_embeddings": 130, "pad_token_id": 1}`, limit: 128, first: 2, pad: 1},
		{config: `{"model_type": "xlm-roberta", "max_position_embeddings": 514}`, limit: 512, first: 2, tokenizers: 1, pad: 1},
		{config: `{"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": 1}`, limit: 512, first: 2, pad: 1},
		{config: `{"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}`, limit: 512, first: 2, pad: 1},
		{config: `{"model_type": "longformer", "max_position_embeddings": 4098, "pad_token_id": 1}`, limit: 4096, first: 2, roomForMore: true, pad: 1},
		{config: `{"model_type": "albert", "max_position_embeddings": 512, "pad_token_id": 0}`, limit: 512},
		{config: `{"model_type": "deberta-v2", "max_position_embeddings": 512, "position_biased_input": false, "pad_token_id": 0}`,
			limit: 512, relative: true, roomForMore: true},
		{config: `{"model_type": "deberta-v2", "max_position_embeddings": 512, "position_biased_input": true}`, limit: 512},
		{config: `{"model_type": "gpt2", "n_positions": 1024, "pad_token_id": 50256, "vocab_size": 50257}`, limit: 1024, roomForMore: true, pad: 50256},
		{config: `{"model_type": "gpt2", "n_positions": 1024, "pad_token_id": 50257, "vocab_size": 50257}`, limit: 1024, roomForMore: true, tokenizers: 7, pad: 7},
		{config: `{"model_type": "llama", "max_position_embeddings": 4096, "pad_token_id": -1}`, limit: 4096, roomForMore: true, tokenizers: 2, pad: 2},
		{config: `{"model_type": "modernbert", "max_position_embeddings": 8192, "pad_token_id": 50283}`, limit: 8192, roomForMore: true, pad: 50283},
		{config: `{"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 9223372036854775807}`, limit: 512, first: 2, pad: math.MaxInt64},
	} {
		s := readConfig(t, c.config)
		limit, _, err := maxTokens(manifest{}, s, 0)
		if err != nil || limit != c.limit || s.relative != c.relative {
			t.Errorf("%s: got %d tokens, relative: %v, %v, want %d, %v", c.config, limit, s.relative, err, c.limit, c.relative)
		}
		if s.first != c.first {
			t.Errorf("%s: got first position %d, want %d", c.config, s.first, c.first)
		}
		if got := s.padID(c.tokenizers); got != c.pad {
			t.Errorf("%s: got padding %d, want %d", c.config, got, c.pad)
		}
		if _, _, err := maxTokens(manifest{MaxTokens: 1024}, s, 0); (err == nil) != c.roomForMore {
			t.Errorf("%s: max_tokens 1024: got %v, want it taken: %v", c.config, err, c.roomForMore)
		}
	}
}

func TestLabelsAreWhatConfigSaysOrTransformersNames(t *testing.T) {
	for config, want := range map[string][]string{
		`{"model_type": "bert", "id2label": {"1": "b", "0": "a"}}`:    {"a", "b"},
		`{"model_type": "bert", "id2label": {"0": 1, "1": 2.5}}`:      {"1", "2.5"},
		`{"model_type": "bert", "id2label": {"0": false, "1": true}}`: {"false", "true"},
		`{"model_type": "bert"}`:                                      {"LABEL_0", "LABEL_1"},
		`{"model_type": "bert", "id2label": null, "num_labels": 3}`:   {"LABEL_0", "LABEL_1", "LABEL_2"},
		`{"model_type": "bert", "id2label": {"1": "a", "2": "b"}}`:    nil,
		`{}`: {},
	} {
		s := readConfig(t, config)
		if got := s.labels(); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", config, got, want)
		}
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
	root := repository(t, nil, map[string]string{
		"m/1/config.json":           `{"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1, "id2label": {"1": "b", "0": "a"}}`,
		"m/1/tokenizer_config.json": `{"model_max_length": 1000000000000000019884624838656}`,
	})
	s, err := ReadSettings(filepath.Join(root, "m", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Positions != 512 || s.tokensStated != 0 || !reflect.DeepEqual(s.labels(), []string{"a", "b"}) {
		t.Errorf("got %+v with labels %v, want 512 positions, no stated limit, labels a and b", s, s.labels())
	}
}
