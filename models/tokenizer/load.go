package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"

	"nearline/internal/files"
)

// MaxBytes bounds a tokenizer.json. The largest that is known, of a vocabulary of 256,000 tokens, has 34 MB.
const MaxBytes = 512 << 20

// Load reads a tokenizer.json. What it does not know, it refuses by name.
func Load(path string) (*Tokenizer, error) { return LoadWith(path, nil) }

// LoadWith reads a tokenizer.json as transformers does, which heeds the files beside it.
func LoadWith(path string, c *Companions) (*Tokenizer, error) {
	data, err := files.ReadText(path, MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	t, err := ParseWith(data, c)
	if err != nil {
		return nil, fmt.Errorf("load tokenizer %s: %w", path, err)
	}
	return t, nil
}

// Parse reads the content of a tokenizer.json.
func Parse(data []byte) (*Tokenizer, error) { return ParseWith(data, nil) }

// ParseWith reads the content of a tokenizer.json and of the files beside it.
func ParseWith(data []byte, c *Companions) (*Tokenizer, error) {
	s, err := c.read()
	if err != nil {
		return nil, err
	}
	t, err := parse(data, &s)
	if beside := (besideError{}); errors.As(err, &beside) {
		return nil, beside.error
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

// file is a tokenizer.json.
type file struct {
	Version       *string           `json:"version"`
	Truncation    json.RawMessage   `json:"truncation"`
	Padding       json.RawMessage   `json:"padding"`
	Added         []json.RawMessage `json:"added_tokens"`
	Normalizer    json.RawMessage   `json:"normalizer"`
	PreTokenizer  json.RawMessage   `json:"pre_tokenizer"`
	PostProcessor json.RawMessage   `json:"post_processor"`
	Decoder       json.RawMessage   `json:"decoder"` // turns ids into text, which nobody asks of us
	Model         json.RawMessage   `json:"model"`

	tokens []addedFile // of Added
}

func parse(data []byte, s *settings) (*Tokenizer, error) {
	var f file
	if err := decode("file", data, &f); err != nil {
		return nil, err
	}
	if f.Version != nil && *f.Version != "1.0" {
		return nil, unsupported("version", *f.Version, "1.0")
	}
	var err error
	if f.tokens, err = parseAddedTokens("added_tokens", f.Added); err != nil {
		return nil, err
	}
	if err := s.obey(&f); err != nil {
		return nil, err
	}
	normalizer, err := parseNormalizer("normalizer", f.Normalizer)
	if err != nil {
		return nil, err
	}
	preTokenizer, err := parsePreTokenizer("pre_tokenizer", f.PreTokenizer)
	if err != nil {
		return nil, err
	}
	whole := preTokenizer
	model, err := parseModel("model", f.Model, preTokenizer.endInBytes())
	if err != nil {
		return nil, err
	}
	template, err := parsePostProcessor("post_processor", f.PostProcessor)
	if err != nil {
		return nil, err
	}
	if m, ok := model.(*bpe); ok && m.bytes {
		preTokenizer = preTokenizer[:len(preTokenizer)-1]
	}
	added, err := makeAddedTokens("added_tokens", [][]addedFile{f.tokens, s.added}, s.unsplit, model, normalizer)
	if err != nil {
		return nil, err
	}
	if err := whole.checkFirst("pre_tokenizer", normalizer, added.normal); err != nil {
		return nil, err
	}
	if err := s.checkEnds(template, func(token string) (int64, bool) { return lookUp(token, added, model) }); err != nil {
		return nil, err
	}
	if err := s.checkNormal(slices.Concat(f.tokens, s.added), normalizer); err != nil {
		return nil, err
	}
	limits, err := parseTruncation("truncation", f.Truncation, template.added())
	if err != nil {
		return nil, err
	}
	if s.keepEnd != nil {
		limits.keepEnd = *s.keepEnd
	}
	padID, err := parsePadding("padding", f.Padding)
	if err != nil {
		return nil, err
	}

	t := &Tokenizer{
		rawTokens:    added.raw,
		normalTokens: added.normal,
		normalizer:   normalizer,
		preTokenizer: preTokenizer,
		model:        model,
		template:     template,
		maxTokens:    limits.maxTokens,
		keepEnd:      limits.keepEnd,
		cuts:         max(preTokenizer.cuts(), normalizer.cuts()),
		windowBytes:  defaultWindow,
	}
	top := max(model.idLimit(), added.limit)
	for _, added := range append(slices.Clip(template.before), template.after...) {
		top = max(top, added.id+1)
	}
	t.vocabSize = int(top)
	for _, token := range []string{"<pad>", "[PAD]"} { // of RoBERTa's kin and of BERT's
		if id, ok := lookUp(token, added, model); ok {
			t.padID = id
		}
	}
	if padID != nil {
		t.padID = *padID
	}
	return t, nil
}

func lookUp(token string, added addedTokens, m model) (int64, bool) {
	if id, ok := added.ids[token]; ok {
		return id, true
	}
	return m.id(token)
}

// parseModel makes a model that takes words as bytes if it can, for which byteChars must not be applied to them.
func parseModel(at string, raw json.RawMessage, bytes bool) (model, error) {
	if isNull(raw) {
		return nil, missing("file", at)
	}
	kind, err := modelType(at, raw)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "Unigram":
		return parseUnigram(at, raw)
	case "WordPiece":
		return parseWordPiece(at, raw)
	case "WordLevel":
		return parseWordLevel(at, raw)
	case "BPE":
		return parseBPE(at, raw, bytes)
	default:
		return nil, unsupported(at+".type", kind, "BPE", "Unigram", "WordLevel", "WordPiece")
	}
}

// modelType is what the file says, or what the reference takes a model for whose file is older than such types, as some of gpt2, roberta and t5
// are: the first of BPE, WordPiece, WordLevel and Unigram that its keys make.
func modelType(at string, raw json.RawMessage) (string, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return "", fmt.Errorf("%s: %w", at, err)
	}
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(name string) bool { _, ok := keys[name]; return !ok })
	}
	switch vocab := bytes.TrimSpace(keys["vocab"]); {
	case has("type"):
		return partType(at, raw)
	case bytes.HasPrefix(vocab, []byte("[")):
		return "Unigram", nil
	case has("vocab", "merges"):
		return "BPE", nil
	case has("vocab", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word"):
		return "WordPiece", nil
	case has("vocab", "unk_token"):
		return "WordLevel", nil
	}
	return "", fmt.Errorf("%s has no \"type\", nor the keys of one: want a type, or vocab with merges (BPE), with unk_token (WordLevel), with "+
		"unk_token, continuing_subword_prefix and max_input_chars_per_word (WordPiece), or as a list of tokens with scores (Unigram)", at)
}

type truncation struct {
	maxTokens int
	keepEnd   bool
}

// parseTruncation refuses limits at which the reference panics or, by wrapping around, cuts nothing.
func parseTruncation(at string, raw json.RawMessage, added int) (truncation, error) {
	if isNull(raw) {
		return truncation{}, nil
	}
	f := struct {
		Direction string  `json:"direction"`
		MaxLength *uint64 `json:"max_length"`
		Strategy  *string `json:"strategy"`
		Stride    *uint64 `json:"stride"`
	}{Direction: "Right"}
	if err := decode(at, raw, &f); err != nil {
		return truncation{}, err
	}
	switch {
	case f.MaxLength == nil:
		return truncation{}, missing(at, "max_length")
	case f.Strategy == nil:
		return truncation{}, missing(at, "strategy")
	case f.Stride == nil:
		return truncation{}, missing(at, "stride")
	}
	if s := *f.Strategy; s != "LongestFirst" && s != "OnlyFirst" { // the same for a single text
		return truncation{}, unsupported(at+".strategy", s, "LongestFirst", "OnlyFirst")
	}
	t := truncation{maxTokens: int(min(*f.MaxLength, math.MaxInt))}
	if least := max(1, added); t.maxTokens < least {
		return t, fmt.Errorf("%s.max_length is %d: want at least %d", at, t.maxTokens, least)
	}
	if room := t.maxTokens - added; room > 0 && *f.Stride >= uint64(room) {
		return t, fmt.Errorf("%s.stride is %d: want less than the %d tokens that %s.max_length leaves for text",
			at, *f.Stride, room, at)
	}
	switch f.Direction {
	case "Right":
	case "Left":
		t.keepEnd = true
	default:
		return t, unsupported(at+".direction", f.Direction, "Left", "Right")
	}
	return t, nil
}

// parsePadding reads the id to pad with and nothing else: how long a row gets is the batch's affair.
func parsePadding(at string, raw json.RawMessage) (*int64, error) {
	if isNull(raw) {
		return nil, nil
	}
	var f struct {
		ID *uint32 `json:"pad_id"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if f.ID == nil {
		return nil, missing(at, "pad_id")
	}
	id := int64(*f.ID)
	return &id, nil
}

func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// partType returns the type of a part, "" for a part that is absent or null.
func partType(at string, raw json.RawMessage) (string, error) {
	if isNull(raw) {
		return "", nil
	}
	var f struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return "", fmt.Errorf("%s: %w", at, err)
	}
	if f.Type == "" {
		return "", missing(at, "type")
	}
	return f.Type, nil
}

// decode reads raw into v, which must have a place for everything in it.
func decode(at string, raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: text follows the JSON value", at)
	}
	return refuseNull(at, raw, v)
}

// orNull is the zero value where it is null.
type orNull[T any] struct{ value T }

// UnmarshalJSON implements json.Unmarshaler.
func (n *orNull[T]) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &n.value) }

func (*orNull[T]) nullable() {}

// refuseNull refuses a null where v has no place for it, as the reference does: Go's decoder leaves a value as it was.
func refuseNull(at string, raw []byte, v any) error {
	t := reflect.TypeOf(v).Elem()
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	for field := range t.Fields() {
		if value, ok := keys[field.Tag.Get("json")]; !ok || !isNull(value) {
			continue
		}
		_, nullable := reflect.TypeAssert[interface{ nullable() }](reflect.New(field.Type))
		if !nullable && field.Type.Kind() != reflect.Pointer && field.Type != reflect.TypeFor[json.RawMessage]() {
			return fmt.Errorf("%s.%s is null: want a value, or no such key where there is a default", at, field.Tag.Get("json"))
		}
	}
	return nil
}

func missing(at, key string) error {
	return fmt.Errorf("%s has no %q", at, key)
}

func unsupported(key, value string, known ...string) error {
	return fmt.Errorf("%s %q is not supported: want one of %s", key, value, strings.Join(known, ", "))
}
