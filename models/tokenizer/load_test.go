package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// tinyFile is a complete tokenizer.json with four tokens.
const tinyFile = `{
	"version": "1.0", "truncation": null, "padding": null,
	"added_tokens": [{"id": 1, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
	"normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
	"pre_tokenizer": {"type": "BertPreTokenizer"},
	"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 4]},
	"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
	"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
		"vocab": {"[UNK]": 0, "[SEP]": 1, "a": 2, "##b": 3}}
}`

// edited returns tinyFile with one top-level key replaced.
func edited(t *testing.T, key, value string) []byte {
	t.Helper()
	var file map[string]json.RawMessage
	mustUnmarshal(t, []byte(tinyFile), &file)
	file[key] = json.RawMessage(value)
	return mustMarshal(t, file)
}

func TestParseRefusesByName(t *testing.T) {
	const normalizerTail = `" is not supported: want one of BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip, StripAccents`
	for _, c := range []struct{ key, value, want string }{
		{"normalizer", `{"type": "Punycode"}`, `normalizer.type "Punycode` + normalizerTail},
		{"normalizer", `{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Fold"}]}`, `normalizer.normalizers[1].type "Fold` + normalizerTail},
		{"normalizer", `{"type": "BertNormalizer", "clean_text": true, "lowercase": true}`, `normalizer has no "handle_chinese_chars"`},
		{"normalizer", `{"type": "NFC", "version": 15}`, `normalizer: json: unknown field "version"`},
		{"normalizer", `{}`, `normalizer has no "type"`},
		{"pre_tokenizer", `{"type": "CharDelimiterSplit"}`, `pre_tokenizer.type "CharDelimiterSplit" is not supported: want one of BertPreTokenizer, Metaspace, Sequence, Whitespace, WhitespaceSplit`},
		{"pre_tokenizer", `{"type": "Sequence", "pretokenizers": [{"type": "Digits"}]}`, `pre_tokenizer.pretokenizers[0].type "Digits" is not supported`},
		{"model", `{"type": "BPE", "vocab": {}, "merges": []}`, `model.type "BPE" is not supported: want one of Unigram, WordPiece`},
		{"model", `null`, `file has no "model"`},
		{"model", `{"type": "WordPiece", "unk_token": "[U]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 1, "vocab": {"a": 0}}`, `model.unk_token "[U]" is not in model.vocab`},
		{"model", `{"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 1, "vocab": {"a": 4000000000}}`, `model.vocab["a"] is 4000000000`},
		{"post_processor", `{"type": "RobertaProcessing"}`, `post_processor.type "RobertaProcessing" is not supported: want one of TemplateProcessing, BertProcessing`},
		{"post_processor", `{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}], "pair": [], "special_tokens": {}}`, `post_processor.single[0].Sequence.id is "B": want A`},
		{"post_processor", `{"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}`, `post_processor.single has the text 0 times: want it once`},
		{"post_processor", `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}], "pair": [], "special_tokens": {}}`, `"[X]" is not in post_processor.special_tokens`},
		{"post_processor", `{"type": "BertProcessing", "sep": ["[SEP]"], "cls": ["[CLS]", 4]}`, `post_processor: want a token and its id`},
		{"truncation", `{"max_length": 1, "strategy": "LongestFirst", "stride": 0}`, `truncation.max_length is 1: want at least 2`},
		{"truncation", `{"max_length": 5, "strategy": "LongestFirst", "stride": 3}`, `truncation.stride is 3: want less than the 3 tokens`},
		{"truncation", `{"max_length": 5, "strategy": "OnlySecond", "stride": 0}`, `truncation.strategy "OnlySecond" is not supported: want one of LongestFirst, OnlyFirst`},
		{"truncation", `{"max_length": 5, "strategy": "OnlyFirst", "stride": 0, "direction": "Up"}`, `truncation.direction "Up" is not supported: want one of Left, Right`},
		{"padding", `{"strategy": "BatchLongest"}`, `padding has no "pad_id"`},
		{"added_tokens", `[{"id": 9, "content": "\u0301", "normalized": true}]`, "added_tokens[0] \"\u0301\" is empty once normalized"},
		{"added_tokens", `[{"id": 9, "content": "Ä", "normalized": true}, {"id": 10, "content": "a", "normalized": true}]`, `added_tokens[1] "a" reads "a" once normalized, as another added token does`},
		{"version", `"2.0"`, `version "2.0" is not supported`},
		{"stemmer", `{}`, `unknown field "stemmer"`},
	} {
		_, err := Parse(edited(t, c.key, c.value))
		if err == nil || !strings.HasPrefix(err.Error(), "tokenizer.json: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse with %s %s: error %v, want %s", c.key, c.value, err, c.want)
		}
	}
	if _, err := Parse([]byte(tinyFile + "{}")); err == nil {
		t.Error("Parse of two values succeeded, want an error")
	}
}

func TestParseTakesPadding(t *testing.T) {
	const padding = `{"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 3, "pad_type_id": 0, "pad_token": "b"}`
	tok, err := Parse(edited(t, "padding", padding))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.PadID(); got != 3 {
		t.Errorf("PadID = %d, want 3", got)
	}
	if got := tok.Encode("ab").IDs; len(got) != 4 {
		t.Errorf("Encode = %v, want 4 ids without padding", got)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Load of no file: error %v, want not exist and the path", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(tinyFile))
	for _, config := range loadGolden(f).Configs {
		if config.Tokenizer != nil {
			f.Add([]byte(config.Tokenizer))
			continue
		}
		var file map[string]json.RawMessage
		mustUnmarshal(f, []byte(tinyFile), &file)
		for _, key := range []string{"truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "added_tokens"} {
			if value, ok := config.Patch[key]; ok {
				file[key] = value
			}
		}
		f.Add(mustMarshal(f, file))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := Parse(data)
		if err != nil {
			return
		}
		for _, text := range []string{"", "ab b [SEP] é 中 \u0130", string(data[:min(len(data), 200)]), string(bytes.Repeat([]byte("a\u0301\u0323"), 50))} {
			e := tok.Encode(text)
			for _, id := range e.IDs {
				if id < 0 || id >= int64(tok.VocabSize()) {
					t.Fatalf("id %d is not below %d", id, tok.VocabSize())
				}
			}
			if limit := tok.MaxTokens(); len(e.TypeIDs) != len(e.IDs) || limit > 0 && len(e.IDs) > limit {
				t.Fatalf("%d ids, %d types, limit %d", len(e.IDs), len(e.TypeIDs), limit)
			}
		}
	})
}
