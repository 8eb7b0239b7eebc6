package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// addTokens finds the tokens that the companions add, or whose flags they change. With added_tokens_decoder, it alone counts and the named tokens of
// tokenizer_config.json; or else special_tokens_map.json, which goes before tokenizer_config.json, and added_tokens.json.
func (s *settings) addTokens(f *file) error {
	s.flags = make(map[string]addedFile)
	for _, t := range f.tokens {
		t.ID = nil
		s.flags[t.Content] = t
	}
	named := maps.Clone(s.keys)
	s.named = named
	s.named = named
	if raw, ok := s.keys["added_tokens_decoder"]; ok {
		if err := s.addDecoder(raw); err != nil {
			return err
		}
	} else if err := s.addLegacy(f, named); err != nil {
		return err
	}
	for _, key := range specialKeys {
		raw, said := named[key]
		t, ok, err := tokenOf(raw)
		if err != nil {
			return besideError{fmt.Errorf("%s: %s: %w", configFile, key, err)}
		}
		if !said && s.family != nil {
			t, ok = addedFile{Content: s.family.tokens[key], Special: true, LStrip: key == "mask_token" && s.family.masks}, s.family.tokens[key] != ""
		}
		if _, known := s.flags[t.Content]; ok && !known {
			t.Special = true
			s.add(t)
		}
	}
	return s.addExtra(named)
}

func (s *settings) addDecoder(raw json.RawMessage) error {
	var decoder map[string]json.RawMessage
	if err := json.Unmarshal(raw, &decoder); err != nil {
		return besideError{fmt.Errorf("%s: added_tokens_decoder: %w", configFile, err)}
	}
	ids, err := sortedByID(decoder)
	if err != nil {
		return besideError{fmt.Errorf("%s: added_tokens_decoder: %w", configFile, err)}
	}
	for _, id := range ids {
		t, ok, err := tokenOf(decoder[id])
		if err != nil {
			return besideError{fmt.Errorf("%s: added_tokens_decoder[%s]: %w", configFile, id, err)}
		}
		if ok {
			s.add(t)
		}
	}
	return nil
}

// addLegacy is for files that are older than added_tokens_decoder.
func (s *settings) addLegacy(f *file, named map[string]json.RawMessage) error {
	if s.specialTokens != nil {
		var special map[string]json.RawMessage
		if err := json.Unmarshal(s.specialTokens, &special); err != nil {
			return besideError{fmt.Errorf("special_tokens_map.json: %w", err)}
		}
		for key, raw := range special {
			if _, both := s.keys[key]; both && key == "additional_special_tokens" && !alike(named[key], raw) {
				return s.differs(key, fmt.Sprintf("special_tokens_map.json says %s", raw))
			}
			named[key] = raw
		}
	}
	if s.addedTokens == nil {
		return nil
	}
	var tokens map[string]int64
	if err := json.Unmarshal(s.addedTokens, &tokens); err != nil {
		return besideError{fmt.Errorf("added_tokens.json: %w", err)}
	}
	specials := make(map[string]bool)
	for _, key := range specialKeys {
		if t, ok, _ := tokenOf(named[key]); ok {
			specials[t.Content] = true
		}
	}
	for _, raw := range extraTokens(named) {
		if t, ok, _ := tokenOf(raw); ok {
			specials[t.Content] = true
		}
	}
	taken := make(map[int64]bool)
	for _, t := range f.tokens {
		if t.ID != nil {
			taken[int64(*t.ID)] = true
		}
	}
	contents := slices.SortedFunc(maps.Keys(tokens), func(a, b string) int { return cmp.Or(cmp.Compare(tokens[a], tokens[b]), cmp.Compare(a, b)) })
	for _, content := range contents {
		if content == "" || taken[tokens[content]] { // tokenizer.json has another for the id
			continue
		}
		s.add(addedFile{Content: content, Normalized: !specials[content], Special: specials[content]})
	}
	return nil
}

// extraTokens are those of additional_special_tokens, as they are called since version 5 extra_special_tokens.
func extraTokens(named map[string]json.RawMessage) (extra []json.RawMessage) {
	for _, key := range []string{"additional_special_tokens", "extra_special_tokens"} {
		var list []json.RawMessage
		var byName map[string]json.RawMessage
		if json.Unmarshal(named[key], &list) == nil {
			extra = append(extra, list...)
		} else if json.Unmarshal(named[key], &byName) == nil {
			for _, name := range slices.Sorted(maps.Keys(byName)) {
				extra = append(extra, byName[name])
			}
		}
	}
	return extra
}

// alike says whether the texts of two lists of tokens are the same.
func alike(a, b json.RawMessage) bool {
	texts := func(raw json.RawMessage) (texts []string) {
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list) // what is wrong with it is told where tokens are added
		for _, raw := range list {
			t, _, _ := tokenOf(raw)
			texts = append(texts, t.Content)
		}
		return texts
	}
	return slices.Equal(texts(a), texts(b))
}

// checkEnds refuses a post-processor that puts other tokens around a text than those that the class calls so: version 5 takes these, and 4 what
// tokenizer.json says.
func (s *settings) checkEnds(t template, id func(token string) (int64, bool)) error {
	if s.family == nil || !s.family.ends {
		return nil
	}
	for _, end := range []struct {
		key string
		has []special
	}{{"cls_token", t.before}, {"sep_token", t.after}} {
		token := s.family.tokens[end.key]
		if raw, said := s.named[end.key]; said {
			stated, _, err := tokenOf(raw)
			if err != nil {
				return s.bad(end.key, "a token")
			}
			token = stated.Content
		}
		if want, ok := id(token); !ok || len(end.has) != 1 || end.has[0].id != want {
			return s.differs(end.key, fmt.Sprintf("the post_processor of tokenizer.json does not put %q alone there", token))
		}
	}
	return nil
}

func (s *settings) addExtra(named map[string]json.RawMessage) error {
	for _, raw := range extraTokens(named) {
		t, ok, err := tokenOf(raw)
		if err != nil {
			return besideError{fmt.Errorf("%s: additional_special_tokens: %w", configFile, err)}
		}
		if !ok {
			continue
		}
		flags := t
		flags.ID = nil
		switch before, ok := s.flags[t.Content]; {
		case !ok && s.unsplit && !t.Special: // version 4 takes it for special all the same
			return s.differs("split_special_tokens", fmt.Sprintf("%q of additional_special_tokens says that it is not special", t.Content))
		case !ok:
			t.Special = true
			s.add(t)
		case bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) && before != flags:
			return s.differs("additional_special_tokens", fmt.Sprintf("%q is an added token with other flags", t.Content))
		}
	}
	return nil
}

// add a token, or change its flags.
func (s *settings) add(t addedFile) {
	s.added = append(s.added, t)
	t.ID = nil
	s.flags[t.Content] = t
}

// checkNormal refuses an added token that reads otherwise now that the normalizer is another: version 4 has added it before it changes the
// normalizer, and 5 after that.
func (s *settings) checkNormal(tokens []addedFile, now normalizers) error {
	if s.normalizerBefore == nil {
		return nil
	}
	before, err := parseNormalizer("normalizer", s.normalizerBefore)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		content := []byte(t.Content)
		if t.Normalized && !bytes.Equal(before.appendNormal(nil, content, new(scratch)), now.appendNormal(nil, content, new(scratch))) {
			return s.differs("do_lower_case", fmt.Sprintf("%q is an added token, which reads otherwise once normalized so", t.Content))
		}
	}
	return nil
}
