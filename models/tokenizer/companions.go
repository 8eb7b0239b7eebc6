package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Companions are the files beside a tokenizer.json, by which transformers changes what that says; each nil where there is none. Versions 4 and
// 5 of transformers (as of 4.57 and 5.24) obey much the same; where they would give other ids, the file is refused, and the message names
// the key.
type Companions struct {
	Config        []byte // tokenizer_config.json
	SpecialTokens []byte // special_tokens_map.json
	AddedTokens   []byte // added_tokens.json

	// Of config.json: they say which class reads the files where tokenizer_config.json does not.
	Class, ModelType string
}

// configFile is what errors call it.
const configFile = "tokenizer_config.json"

// besideError is told of the file that it is of, and not of tokenizer.json.
type besideError struct{ error }

// settings is what tokenizer_config.json and its kin come to.
type settings struct {
	keys       map[string]json.RawMessage
	configured bool    // there is a tokenizer_config.json
	class      string  // without Fast
	family     *family // nil where no class rewrites what tokenizer.json says

	keepEnd          *bool // of truncation_side
	unsplit          bool  // split_special_tokens: the text of special tokens is no token
	added            []addedFile
	flags            map[string]addedFile       // of all tokens so far, by text
	normalizerBefore json.RawMessage            // as it was, if it was changed
	named            map[string]json.RawMessage // tokens by key, in the end

	specialTokens, addedTokens []byte // of older files
}

// read takes the companions apart and checks them.
func (c *Companions) read() (s settings, err error) {
	if c == nil {
		return s, nil
	}
	s.keys, s.specialTokens, s.addedTokens = make(map[string]json.RawMessage), c.SpecialTokens, c.AddedTokens
	if c.Config != nil {
		if err := json.Unmarshal(c.Config, &s.keys); err != nil {
			return s, fmt.Errorf("%s: %w", configFile, err)
		}
		if s.class, err = s.className(c); err != nil {
			return s, err
		}
		s.family, s.configured = families[s.class], true
	}
	if side, ok, err := text(s.keys, "truncation_side"); err != nil || ok && side != "left" && side != "right" {
		return s, s.bad("truncation_side", "left or right")
	} else if ok {
		left := side == "left"
		s.keepEnd = &left
	}
	unsplit, err := s.flag("split_special_tokens", false)
	if err != nil {
		return s, err
	}
	s.unsplit = unsplit
	return s, nil
}

// className is what reads the files: transformers' classes by the name of the older of their two forms.
func (s *settings) className(c *Companions) (string, error) {
	name, ok, err := text(s.keys, "tokenizer_class")
	if err != nil {
		return "", s.bad("tokenizer_class", "the name of a class")
	}
	if !ok {
		name = c.Class
	}
	if name == "" {
		name = modelClasses[c.ModelType]
	}
	return strings.TrimSuffix(name, "Fast"), nil
}

func (s *settings) bad(key, want string) error {
	return besideError{fmt.Errorf("%s: %s is %s: want %s", configFile, key, s.keys[key], want)}
}

// differs is the answer where the versions of transformers would give other ids.
func (s *settings) differs(key, stated string) error {
	said := "not said"
	if raw, ok := s.keys[key]; ok {
		said = string(raw)
	}
	by := s.class
	if by == "" {
		by = "no class of its own"
	}
	return besideError{fmt.Errorf("%s: %s is %s, and %s: transformers 4 and 5 do not agree on what counts (%s): want both files to say the same", configFile, key, said, stated, by)}
}

// text of a key; false where it is absent or null.
func text(keys map[string]json.RawMessage, key string) (value string, ok bool, err error) {
	raw, ok := keys[key]
	if !ok || isNull(raw) {
		return "", false, nil
	}
	return value, true, json.Unmarshal(raw, &value)
}

// flag is true, false, or what it is where nobody says.
func (s *settings) flag(key string, otherwise bool) (bool, error) {
	raw, ok := s.keys[key]
	if !ok {
		return otherwise, nil
	}
	var value bool
	if isNull(raw) || json.Unmarshal(raw, &value) != nil {
		return false, s.bad(key, "true or false")
	}
	return value, nil
}

// obey changes the parts of the file as transformers does.
func (s *settings) obey(f *file) error {
	if s.keys == nil {
		return nil
	}
	for _, step := range []func(*file) error{s.normalize, s.prefix, s.processed, s.unsaid, s.addTokens} {
		if err := step(f); err != nil {
			return err
		}
	}
	return nil
}

// normalize has the classes of BERT's kin rewrite a BertNormalizer, by their defaults if nothing is said.
func (s *settings) normalize(f *file) error {
	if s.family != nil && s.family.jieba {
		return besideError{fmt.Errorf("%s of %s cuts Chinese words with jieba, which is not supported: want a model with another tokenizer", s.class, configFile)}
	}
	if s.family == nil || !s.family.bert {
		return nil
	}
	if isNull(f.Normalizer) {
		return besideError{fmt.Errorf("%s: tokenizer_class is %s, which wants a BertNormalizer, and tokenizer.json has no normalizer: want one, or another class", configFile, s.class)}
	}
	if kind, err := partType("normalizer", f.Normalizer); err != nil || kind != "BertNormalizer" {
		return err
	}
	lower, err := s.flag("do_lower_case", true)
	if err != nil {
		return err
	}
	chinese, err := s.flag("tokenize_chinese_chars", true)
	if err != nil {
		return err
	}
	strip := json.RawMessage("null")
	if raw, ok := s.keys["strip_accents"]; ok && !isNull(raw) {
		if _, err := s.flag("strip_accents", false); err != nil {
			return err
		}
		strip = raw
	}
	state := make(map[string]json.RawMessage)
	if err := json.Unmarshal(f.Normalizer, &state); err != nil {
		return fmt.Errorf("normalizer: %w", err)
	}
	stripped := func() string { // null is as lowercase
		if isNull(state["strip_accents"]) {
			return string(state["lowercase"])
		}
		return string(state["strip_accents"])
	}
	before, strippedBefore := maps.Clone(state), stripped()
	state["lowercase"], state["strip_accents"] = boolean(lower), strip
	state["handle_chinese_chars"] = boolean(chinese)
	for _, c := range []struct {
		setting, before, after string
		differs                bool
	}{
		{"do_lower_case", string(before["lowercase"]), string(state["lowercase"]), s.family.four},
		{"strip_accents", strippedBefore, stripped(), s.family.four},
		{"tokenize_chinese_chars", string(before["handle_chinese_chars"]), string(state["handle_chinese_chars"]), s.family.four || s.family.keepsChinese},
	} {
		if c.differs && c.before != c.after {
			return s.differs(c.setting, fmt.Sprintf("the normalizer of tokenizer.json has %s", c.before))
		}
	}
	s.normalizerBefore = f.Normalizer
	f.Normalizer, err = json.Marshal(state)
	return err
}

func boolean(b bool) json.RawMessage { return json.RawMessage(strconv.FormatBool(b)) }

// prefix is add_prefix_space. Transformers 4 gives it to every ByteLevel that is not in a sequence, and false where it is not said; 5 does so in
// the classes that make the tokenizer anew.
func (s *settings) prefix(f *file) error {
	if !s.configured || isNull(f.PreTokenizer) {
		return nil
	}
	const key = "add_prefix_space"
	raw, said := s.keys[key]
	if said && isNull(raw) {
		return nil
	}
	want, err := s.flag(key, false)
	if err != nil {
		return err
	}
	var state map[string]json.RawMessage
	if err := json.Unmarshal(f.PreTokenizer, &state); err != nil {
		return fmt.Errorf("pre_tokenizer: %w", err)
	}
	if kind, err := partType("pre_tokenizer", f.PreTokenizer); err != nil {
		return err
	} else if kind != "ByteLevel" {
		return s.marks(f, want, said)
	}
	var has bool
	if isNull(state[key]) {
		return nil // it is told of as missing
	}
	if err := json.Unmarshal(state[key], &has); err != nil {
		return fmt.Errorf("pre_tokenizer: %w", err)
	}
	if has == want {
		return nil
	}
	if s.family == nil || !s.family.byteLevel {
		return s.differs(key, fmt.Sprintf("pre_tokenizer of tokenizer.json has %v", has))
	}
	state[key] = boolean(want)
	f.PreTokenizer, err = json.Marshal(state)
	return err
}

// marks compares add_prefix_space with the mark that a tokenizer of SentencePiece's kin puts before a text. Transformers 4 makes some of them
// anew from the .model if it is said, and ignores it in others.
func (s *settings) marks(f *file, want, said bool) error {
	if s.family == nil || !s.family.marks && !(s.family.marksIfSaid && said) {
		return nil
	}
	want = want || !said
	found, marks := false, false
	for _, raw := range []json.RawMessage{f.Normalizer, f.PreTokenizer} {
		eachPart(raw, func(kind string, state map[string]json.RawMessage) {
			switch kind {
			case "Prepend":
				found, marks = true, true
			case "Metaspace":
				found = true
				marks = marks || !bytes.Equal(state["prepend_scheme"], []byte(`"never"`))
			}
		})
	}
	if found && marks != want {
		return s.differs("add_prefix_space", fmt.Sprintf("tokenizer.json has parts that make it %v", marks))
	}
	return nil
}

// eachPart calls f for a part and for all that are in it.
func eachPart(raw json.RawMessage, f func(kind string, state map[string]json.RawMessage)) {
	var state map[string]json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &state) != nil {
		return
	}
	kind, _, _ := text(state, "type")
	f(kind, state)
	for _, key := range []string{"normalizers", "pretokenizers"} {
		var parts []json.RawMessage
		if json.Unmarshal(state[key], &parts) == nil {
			for _, part := range parts {
				eachPart(part, f)
			}
		}
	}
}

// processed refuses add_bos_token and add_eos_token where they are not what the post-processor does. The classes concerned write it anew by them in
// transformers 4; 5 leaves tokenizer.json as it is.
func (s *settings) processed(f *file) error {
	if s.family == nil || !s.family.llama {
		return nil
	}
	t, err := parsePostProcessor("post_processor", f.PostProcessor)
	if err != nil {
		return err
	}
	for _, end := range []struct {
		key string
		has int
	}{{"add_bos_token", len(t.before)}, {"add_eos_token", len(t.after)}} {
		if _, said := s.keys[end.key]; !said {
			continue
		}
		want, err := s.flag(end.key, false)
		if err != nil {
			return err
		}
		if want && end.has != 1 || !want && end.has != 0 {
			return s.differs(end.key, fmt.Sprintf("the post_processor of tokenizer.json adds %d tokens there", end.has))
		}
	}
	return nil
}

// unsaid refuses what transformers 5 obeys, making the tokenizer anew, and 4 does not, where tokenizer.json says otherwise.
func (s *settings) unsaid(f *file) error {
	if s.family == nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(s.family.five)) {
		want, err := s.flag(key, s.family.five[key])
		if err != nil {
			return err
		}
		kinds, inverted := map[string]string{"do_lower_case": "Lowercase", "keep_accents": "StripAccents", "split_by_punct": "Punctuation"}[key], key == "keep_accents"
		has := false
		for _, raw := range []json.RawMessage{f.Normalizer, f.PreTokenizer} {
			eachPart(raw, func(kind string, state map[string]json.RawMessage) {
				lowers := kind == "BertNormalizer" && key == "do_lower_case" && bytes.Equal(state["lowercase"], boolean(true))
				has = has || kind == kinds || lowers
			})
		}
		if has == inverted == want {
			return s.differs(key, "tokenizer.json says otherwise")
		}
	}
	if model := f.modelUnknown(); s.family.bert && model != "" {
		unknown, ok, err := tokenOf(s.keys["unk_token"])
		if err == nil && ok && unknown.Content != model {
			return s.differs("unk_token", fmt.Sprintf("model.unk_token of tokenizer.json is %q", model))
		}
	}
	return nil
}

func (f *file) modelUnknown() string {
	var model struct {
		Unknown string `json:"unk_token"`
	}
	_ = json.Unmarshal(f.Model, &model) // whatever is wrong with it is told elsewhere
	return model.Unknown
}

// specialKeys name one token each, in the order in which transformers adds them.
var specialKeys = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// tokenOf reads a token: its text, or an object with its flags.
func tokenOf(raw json.RawMessage) (t addedFile, ok bool, err error) {
	if isNull(raw) {
		return t, false, nil
	}
	if json.Unmarshal(raw, &t.Content) == nil {
		t.Special = true
		return t, t.Content != "", nil
	}
	var flags struct {
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
		Normalized *bool  `json:"normalized"`
		Special    bool   `json:"special"`
	}
	if err := json.Unmarshal(raw, &flags); err != nil {
		return t, false, err
	}
	t = addedFile{Content: flags.Content, SingleWord: flags.SingleWord, LStrip: flags.LStrip, RStrip: flags.RStrip, Special: flags.Special}
	t.Normalized = flags.Normalized != nil && *flags.Normalized || flags.Normalized == nil && !flags.Special
	return t, t.Content != "", nil
}

func sortedByID[T any](m map[string]T) ([]string, error) {
	ids := make(map[string]int, len(m))
	for key := range m {
		id, err := strconv.Atoi(key)
		if err != nil {
			return nil, fmt.Errorf("%q is no id", key)
		}
		ids[key] = id
	}
	keys := slices.Collect(maps.Keys(m))
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(ids[a], ids[b]) })
	return keys, nil
}
