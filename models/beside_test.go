package models

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nearline/models/folder"
)

// tokenIDs reads a text with the tokenizer of a folder that has the files beside its tokenizer.json.
func tokenIDs(t *testing.T, files map[string]string, text string) ([]int64, error) {
	t.Helper()
	in := make(map[string]string)
	for name, content := range files {
		in["m/1/"+name] = content
	}
	c := repository(t, map[string]string{"m": "single_label"}, in)
	report, err := Inspect(t.Context(), c, filepath.Join(c.Repository, "m", "1"), InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.Repository, "m", "1")
	m, err := folder.ReadManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	p, wrong := folder.ReadParts("m", path, &m)
	if len(wrong) > 0 {
		if !slices.Contains(report.Problems, wrong[0].Error()) {
			t.Errorf("inspect says %q, want %q among it", report.Problems, wrong[0])
		}
		return nil, wrong[0]
	}
	short, err := p.Tokens.WithMaxTokens(5)
	if err != nil {
		t.Fatal(err)
	}
	return short.Encode(text).IDs, nil
}

func TestFilesBesideATokenizerCount(t *testing.T) {
	const text = "Good bad good good bad"
	plain, err := tokenIDs(t, nil, text)
	if err != nil {
		t.Fatal(err)
	}
	config := func(content string) map[string]string { return map[string]string{"tokenizer_config.json": content} }
	for name, c := range map[string]struct {
		files map[string]string
		same  bool
	}{
		"nothing said":         {config(`{"tokenizer_class": "BertTokenizer"}`), true},
		"the end is kept":      {config(`{"truncation_side": "left"}`), false},
		"case counts":          {config(`{"tokenizer_class": "BertTokenizer", "do_lower_case": false}`), false},
		"by type of the model": {map[string]string{"tokenizer_config.json": `{"do_lower_case": false}`, "config.json": `{"model_type": "bert", "id2label": {"0": "a", "1": "b", "2": "c"}}`}, false},
		"of no such class":     {config(`{"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": false}`), true},
		"padding":              {config(`{"padding_side": "left", "clean_up_tokenization_spaces": true}`), true},
		"an added token":       {map[string]string{"added_tokens.json": `{"Good bad": 2000}`}, false},
		"a special token":      {map[string]string{"special_tokens_map.json": `{"additional_special_tokens": ["bad good"]}`}, false},
		"flags of a token":     {config(`{"added_tokens_decoder": {"2000": {"content": "good bad", "special": false, "normalized": true}}}`), false},
	} {
		got, err := tokenIDs(t, c.files, text)
		if err != nil || slices.Equal(got, plain) != c.same {
			t.Errorf("%s: got %v, %v, want the ids to be %v: %v", name, got, err, plain, c.same)
		}
	}
	for content, want := range map[string]string{
		`{"truncation_side": "middle"}`:                                                            `tokenizer_config.json: truncation_side is "middle": want left or right`,
		`{"tokenizer_class": "BertTokenizer", "do_lower_case": "no"}`:                              `do_lower_case is "no": want true or false`,
		`{"tokenizer_class": "ConvBertTokenizer", "do_lower_case": false}`:                         "do_lower_case is false, and the normalizer of tokenizer.json has true: transformers 4 and 5 do not agree",
		`{"tokenizer_class": "BertTokenizer", "cls_token": "[MASK]"}`:                              `cls_token is "[MASK]", and the post_processor`,
		`{"tokenizer_class": "RoFormerTokenizer"}`:                                                 "RoFormerTokenizer of tokenizer_config.json cuts Chinese words with jieba",
		`{"added_tokens_decoder": {"x": {"content": "a"}}}`:                                        `added_tokens_decoder: "x" is no id`,
		`{"split_special_tokens": 1}`:                                                              "split_special_tokens is 1: want true or false",
		`{"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": true, "split_by_punct": true}`: "split_by_punct is true, and tokenizer.json says otherwise",
		`{"tokenizer_class": "AlbertTokenizer", "do_lower_case": false}`:                           "do_lower_case is false, and tokenizer.json says otherwise",
		`{"tokenizer_class": "LlamaTokenizer", "add_bos_token": false}`:                            "add_bos_token is false, and the post_processor of tokenizer.json adds 1 tokens there",
		`[]`: "tokenizer_config.json",
	} {
		if _, err := tokenIDs(t, config(content), text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", content, err, want)
		}
	}
}
