package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
func edited(t testing.TB, key, value string) []byte {
	t.Helper()
	var file map[string]json.RawMessage
	mustUnmarshal(t, []byte(tinyFile), &file)
	file[key] = json.RawMessage(value)
	return mustMarshal(t, file)
}

// splitBy is a Split at a pattern, which is written as in JSON.
func splitBy(pattern string) string {
	return `{"type": "Split", "pattern": {"Regex": "` + pattern + `"}, "behavior": "Isolated", "invert": false}`
}

func TestParseRefusesByName(t *testing.T) {
	const normalizerTail = `" is not supported: want one of BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip, StripAccents`
	for _, c := range []struct{ key, value, want string }{
		{"normalizer", `{"type": "Punycode"}`, `normalizer.type "Punycode` + normalizerTail},
		{"normalizer", `{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Fold"}]}`, `normalizer.normalizers[1].type "Fold` + normalizerTail},
		{"normalizer", `{"type": "BertNormalizer", "clean_text": true, "lowercase": true}`, `normalizer has no "handle_chinese_chars"`},
		{"normalizer", `{"type": "NFC", "version": 15}`, `normalizer: json: unknown field "version"`},
		{"normalizer", `{}`, `normalizer has no "type"`},
		{"pre_tokenizer", `{"type": "FixedLength"}`, `pre_tokenizer.type "FixedLength" is not supported: want one of BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, Metaspace, Punctuation, Sequence, Split, Whitespace, WhitespaceSplit`},
		{"pre_tokenizer", `{"type": "Sequence", "pretokenizers": [{"type": "UnicodeScripts"}]}`, `pre_tokenizer.pretokenizers[0].type "UnicodeScripts" is not supported`},
		{"pre_tokenizer", `{"type": "ByteLevel", "use_regex": true}`, `pre_tokenizer has no "add_prefix_space"`},
		{"pre_tokenizer", `{"type": "Digits"}`, `pre_tokenizer has no "individual_digits"`},
		{"pre_tokenizer", `{"type": "Punctuation", "behavior": "Dropped"}`, `pre_tokenizer.behavior "Dropped" is not supported: want one of Contiguous, Isolated, MergedWithNext, MergedWithPrevious, Removed`},
		{"pre_tokenizer", `{"type": "CharDelimiterSplit", "delimiter": "ab"}`, `pre_tokenizer.delimiter is "ab": want one character`},
		{"pre_tokenizer", `{"type": "Split", "pattern": {"String": ""}, "behavior": "Removed", "invert": false}`, `pre_tokenizer.pattern.String is empty: want at least one character`},
		{"pre_tokenizer", `{"type": "Split", "pattern": {}, "behavior": "Removed", "invert": false}`, `pre_tokenizer.pattern: want a String or a Regex`},
		{"pre_tokenizer", `{"type": "Split", "pattern": {"Regex": "a"}, "invert": false}`, `pre_tokenizer has no "behavior"`},
		{"pre_tokenizer", splitBy(`a+(?!b)`), `pre_tokenizer.pattern.Regex "a+(?!b)" is not supported: (?!b: want literals, classes`},
		{"pre_tokenizer", splitBy(`(?i:a)`), `(?i:: want literals`},
		{"pre_tokenizer", splitBy(`a*`), `"a*" matches the empty text`},
		{"pre_tokenizer", splitBy(`a++`), `"++": want literals`},
		{"pre_tokenizer", splitBy(`a{2}?`), `"{2}?": want literals`},
		{"pre_tokenizer", splitBy(`[a[bc]]`), `"[" in a class: want literals`},
		{"pre_tokenizer", splitBy(`[a&&b]`), `"&" in a class: want literals`},
		{"pre_tokenizer", splitBy(`^a`), `'^' at this place: want literals`},
		{"pre_tokenizer", splitBy(`\\bx`), `"\\b": want literals`},
		{"pre_tokenizer", splitBy(`(a)\\1`), `"\\1": want literals`},
		{"pre_tokenizer", splitBy(`\\p{Greek}`), `\p{Greek}: want one of Han, Hangul, Hiragana, Katakana, L, Ll`},
		{"pre_tokenizer", splitBy(`(a`), `a ( has no )`},
		{"pre_tokenizer", splitBy(`a)`), `it has a ) too many`},
		{"pre_tokenizer", splitBy(`[a`), `a [ has no ]`},
		{"model", `{"type": "Morfessor"}`, `model.type "Morfessor" is not supported: want one of BPE, Unigram, WordLevel, WordPiece`},
		{"model", `{"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}`, `model.dropout is 0.1, which makes the ids of a text a matter of chance: want null`},
		{"model", `{"type": "BPE", "merges": []}`, `model has no "vocab"`},
		{"model", `{"type": "BPE", "vocab": {}, "merges": null}`, `model has no "merges"`},
		{"model", `{"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}`, `model.merges[0] is "a": want two tokens with a space between them`},
		{"model", `{"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}`, `model.merges[0] has 1 tokens: want 2`},
		{"model", `{"type": "BPE", "vocab": {"a": 0}, "merges": 7}`, `model.merges: want pairs of tokens, as lists or as strings`},
		{"model", `{"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}`, `model.merges[0]: "b" is not in model.vocab`},
		{"model", `{"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a"]]}`, `model.merges[0] makes "aa", which is not in model.vocab`},
		{"model", `{"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a"]], "continuing_subword_prefix": "##"}`, `model.merges[0]: "a" is shorter than model.continuing_subword_prefix`},
		{"model", `{"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "?"}`, `model.unk_token "?" is not in model.vocab`},
		{"model", `{"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"}`, `model.unk_token "?" is not in model.vocab`},
		{"model", `null`, `file has no "model"`},
		{"model", `{"type": "WordPiece", "unk_token": "[U]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 1, "vocab": {"a": 0}}`, `model.unk_token "[U]" is not in model.vocab`},
		{"model", `{"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 1, "vocab": {"a": 4000000000}}`, `model.vocab["a"] is 4000000000`},
		{"post_processor", `{"type": "RobertaProcessing", "cls": ["<s>", 0]}`, `post_processor has no "sep"`},
		{"post_processor", `{"type": "Chain"}`, `post_processor.type "Chain" is not supported: want one of BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing`},
		{"post_processor", `{"type": "Sequence", "processors": [{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {}}, {"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 4]}]}`, `post_processor.processors[1] is a BertProcessing after a TemplateProcessing, which is not supported`},
		{"post_processor", `{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}], "pair": [], "special_tokens": {}}`, `post_processor.single[0].Sequence.id is "B": want A`},
		{"post_processor", `{"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}`, `post_processor.single has the text 0 times: want it once`},
		{"post_processor", `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}], "pair": [], "special_tokens": {}}`, `"[X]" is not in post_processor.special_tokens`},
		{"post_processor", `{"type": "BertProcessing", "sep": ["[SEP]"], "cls": ["[CLS]", 4]}`, `post_processor: want a token and its id`},
		{"truncation", `{"max_length": 1, "strategy": "LongestFirst", "stride": 0}`, `truncation.max_length is 1: want at least 2`},
		{"truncation", `{"max_length": 5, "strategy": "LongestFirst", "stride": 3}`, `truncation.stride is 3: want less than the 3 tokens`},
		{"truncation", `{"max_length": 5, "strategy": "OnlySecond", "stride": 0}`, `truncation.strategy "OnlySecond" is not supported: want one of LongestFirst, OnlyFirst`},
		{"truncation", `{"max_length": 5, "strategy": "OnlyFirst", "stride": 0, "direction": "Up"}`, `truncation.direction "Up" is not supported: want one of Left, Right`},
		{"padding", `{"strategy": "BatchLongest"}`, `padding has no "pad_id"`},
		{"added_tokens", `[{"id": 9, "content": "\u0301", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": false}]`, "added_tokens[0] \"\u0301\" is empty once normalized"},
		{"added_tokens", `[{"id": 9, "content": "Ä", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": false}, {"id": 10, "content": "a", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": false}]`, `added_tokens[1] "a" reads "a" once normalized, as another added token does`},
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
	for _, c := range loadGoldenFile(f, "bpe.jsonl.gz").words {
		f.Add(edited(f, "pre_tokenizer", string(c.Part)))
	}
	f.Add(edited(f, "model", `{"type": "BPE", "vocab": {"a": 0, "##b": 1, "ab": 2, "<0x41>": 3}, "merges": [["a", "##b"]], "unk_token": "a",
		"continuing_subword_prefix": "##", "end_of_word_suffix": "</w>", "fuse_unk": true, "byte_fallback": true, "ignore_merges": true}`))
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

func TestModelsWithoutATypeAreWhatTheirKeysMake(t *testing.T) {
	for _, c := range []struct{ model, text, want string }{
		{`{"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}`, "ab", "[2]"},
		{`{"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [], "unk_token": "a", "dropout": null}`, "ab", "[0 1]"},
		{`{"unk_token": "a", "continuing_subword_prefix": "", "max_input_chars_per_word": 9, "vocab": {"a": 0, "b": 1}}`, "ab", "[0 1]"},
		{`{"unk_token": "a", "vocab": {"a": 0, "b": 1}}`, "b", "[1]"},
		{`{"unk_id": 0, "vocab": [["a", -1], ["b", -2], ["ab", -1]]}`, "bab", "[1 2]"},
	} {
		tok, err := Parse([]byte(`{"model": ` + c.model + `}`))
		if err != nil {
			t.Errorf("%s: %v", c.model, err)
			continue
		}
		if got := fmt.Sprint(tok.Encode(c.text).IDs); got != c.want {
			t.Errorf("%s: Encode(%s) = %s, want %s", c.model, c.text, got, c.want)
		}
	}
	for _, model := range []string{`{"vocab": {"a": 0}}`, `{"type": null, "vocab": {"a": 0}, "unk_token": "a"}`} {
		if _, err := Parse([]byte(`{"model": ` + model + `}`)); err == nil || !strings.Contains(err.Error(), `model has no "type"`) {
			t.Errorf("%s: got %v, want it refused for want of a type", model, err)
		}
	}
}
