package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// template is what every supported post-processor comes down to for a single text: special tokens before and after it.
type template struct {
	before, after []special
	typeID        int64 // of the text's own tokens
}

type special struct{ id, typeID int64 }

func (t *template) added() int { return len(t.before) + len(t.after) }

func appendSpecials(dst []int64, specials []special) []int64 {
	for _, s := range specials {
		dst = append(dst, s.id)
	}
	return dst
}

func parsePostProcessor(at string, raw json.RawMessage) (template, error) {
	kind, err := partType(at, raw)
	if err != nil {
		return template{}, err
	}
	switch kind {
	case "":
		return template{}, nil
	case "TemplateProcessing":
		return parseTemplate(at, raw)
	case "BertProcessing":
		return parseBertProcessing(at, raw)
	case "RobertaProcessing":
		return parseRobertaProcessing(at, raw)
	case "ByteLevel": // changes offsets only
		_, err := parseByteLevel(at, raw)
		return template{}, err
	case "Sequence":
		return parseProcessors(at, raw)
	default:
		return template{}, unsupported(at+".type", kind, "BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence",
			"TemplateProcessing")
	}
}

// parseProcessors applies each processor to what the one before gives.
func parseProcessors(at string, raw json.RawMessage) (template, error) {
	var f struct {
		Type       string            `json:"type"`
		Processors []json.RawMessage `json:"processors"`
	}
	if err := decode(at, raw, &f); err != nil {
		return template{}, err
	}
	if f.Processors == nil {
		return template{}, missing(at, "processors")
	}
	var t template
	templated := false
	for i, raw := range f.Processors {
		at := fmt.Sprintf("%s.processors[%d]", at, i)
		outer, err := parsePostProcessor(at, raw)
		if err != nil {
			return template{}, err
		}
		kind, _ := partType(at, raw)
		if kind == "ByteLevel" {
			continue
		}
		if templated { // the reference takes the parts of the template for a pair of texts, or panics
			return template{}, fmt.Errorf("%s is a %s after a TemplateProcessing, which is not supported: "+
				"want the special tokens of both in one TemplateProcessing", at, kind)
		}
		templated = kind == "TemplateProcessing" || kind == "Sequence"
		t = t.wrappedIn(outer)
	}
	return t, nil
}

// wrappedIn is outer around t: for outer, all of t is the text, so it has the type of the text.
func (t template) wrappedIn(outer template) template {
	retyped := func(specials []special) []special {
		specials = slices.Clone(specials)
		for i := range specials {
			specials[i].typeID = outer.typeID
		}
		return specials
	}
	return template{
		before: slices.Concat(outer.before, retyped(t.before)),
		after:  slices.Concat(retyped(t.after), outer.after),
		typeID: outer.typeID,
	}
}

func parseTemplate(at string, raw json.RawMessage) (template, error) {
	type piece struct {
		ID     string `json:"id"`
		TypeID uint32 `json:"type_id"`
	}
	var f struct {
		Type   string `json:"type"`
		Single []struct {
			Sequence     *piece `json:"Sequence"`
			SpecialToken *piece `json:"SpecialToken"`
		} `json:"single"`
		Pair          []json.RawMessage `json:"pair"` // we encode one text at a time
		SpecialTokens map[string]struct {
			ID     string   `json:"id"`
			IDs    []uint32 `json:"ids"`
			Tokens []string `json:"tokens"`
		} `json:"special_tokens"`
	}
	if err := decode(at, raw, &f); err != nil {
		return template{}, err
	}
	switch {
	case f.Single == nil:
		return template{}, missing(at, "single")
	case f.Pair == nil:
		return template{}, missing(at, "pair")
	}
	var t template
	texts := 0
	for i, p := range f.Single {
		switch {
		case (p.Sequence == nil) == (p.SpecialToken == nil):
			return t, fmt.Errorf("%s.single[%d]: want a Sequence or a SpecialToken", at, i)
		case p.Sequence != nil && p.Sequence.ID != "A":
			return t, fmt.Errorf("%s.single[%d].Sequence.id is %q: want A", at, i, p.Sequence.ID)
		case p.Sequence != nil:
			texts++
			t.typeID = int64(p.Sequence.TypeID)
		default:
			tokens, ok := f.SpecialTokens[p.SpecialToken.ID]
			if !ok {
				return t, fmt.Errorf("%s.single[%d]: %q is not in %s.special_tokens", at, i, p.SpecialToken.ID, at)
			}
			for _, id := range tokens.IDs {
				s := special{int64(id), int64(p.SpecialToken.TypeID)}
				if texts == 0 {
					t.before = append(t.before, s)
				} else {
					t.after = append(t.after, s)
				}
			}
		}
	}
	if texts != 1 {
		return t, fmt.Errorf("%s.single has the text %d times: want it once", at, texts)
	}
	return t, nil
}

func parseBertProcessing(at string, raw json.RawMessage) (template, error) {
	var f struct {
		Type string   `json:"type"`
		Sep  *tokenID `json:"sep"`
		Cls  *tokenID `json:"cls"`
	}
	if err := decode(at, raw, &f); err != nil {
		return template{}, err
	}
	return ends(at, f.Cls, f.Sep)
}

func parseRobertaProcessing(at string, raw json.RawMessage) (template, error) {
	var f struct {
		Type        string   `json:"type"`
		Sep         *tokenID `json:"sep"`
		Cls         *tokenID `json:"cls"`
		TrimOffsets *bool    `json:"trim_offsets"` // we give no offsets
		AddSpace    *bool    `json:"add_prefix_space"`
	}
	if err := decode(at, raw, &f); err != nil {
		return template{}, err
	}
	t, err := ends(at, f.Cls, f.Sep)
	switch {
	case err != nil:
	case f.TrimOffsets == nil:
		err = missing(at, "trim_offsets")
	case f.AddSpace == nil:
		err = missing(at, "add_prefix_space")
	}
	return t, err
}

// ends is one token before the text and one after it.
func ends(at string, cls, sep *tokenID) (template, error) {
	switch {
	case sep == nil:
		return template{}, missing(at, "sep")
	case cls == nil:
		return template{}, missing(at, "cls")
	}
	return template{before: []special{{id: cls.id}}, after: []special{{id: sep.id}}}, nil
}

// tokenID is a pair ["[SEP]", 102].
type tokenID struct {
	token string
	id    int64
}

func (t *tokenID) UnmarshalJSON(b []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return errors.New("want a token and its id")
	}
	var id uint32
	if err := errors.Join(json.Unmarshal(pair[0], &t.token), json.Unmarshal(pair[1], &id)); err != nil {
		return err
	}
	t.id = int64(id)
	return nil
}
