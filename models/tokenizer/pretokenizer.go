package tokenizer

import (
	"encoding/json"
	"fmt"
)

// preTokenizer splits each word of src further, and may rewrite its text on the way.
type preTokenizer interface {
	// split writes dst anew, with words in order, none of them empty: by dst.splitEach, or after dst.keepText or
	// dst.newText.
	split(dst, src *pieces)
	// cuts says where the words of a text are those of its parts.
	cuts() cuts
}

// pieces is text cut into words.
type pieces struct {
	text  []byte
	words []span
	// first says that words[0] begins the input: nothing stands before it, not even an added token or a space that was
	// dropped.
	first bool

	own    []byte // memory for a text of its own
	budget *budget
}

// splitEach is for pre-tokenizers that rewrite nothing: f appends the words of text[at.start:at.end].
func (p *pieces) splitEach(src *pieces, f func(words []span, text []byte, at span) []span) {
	p.keepText(src)
	for _, at := range src.words {
		p.words = f(p.words, p.text, at)
	}
	p.first = src.first && len(p.words) > 0 && p.words[0].start == src.words[0].start
}

// keepText takes the text of src.
func (p *pieces) keepText(src *pieces) {
	// The memory goes with the text: who rewrites the next stage must not write over what it reads.
	p.own, src.own = src.own, p.own
	p.text, p.words, p.first = src.text, p.words[:0], src.first
}

// newText makes room for a text that the split appends to p.own; it ends with p.text = p.own.
func (p *pieces) newText(src *pieces) {
	p.own, p.words, p.first = p.own[:0], p.words[:0], src.first
}

var preTokenizerTypes = []string{
	"BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace", "Punctuation", "Sequence", "Split",
	"Whitespace", "WhitespaceSplit",
}

// parsePreTokenizer returns the pre-tokenizers to apply in turn.
func parsePreTokenizer(at string, raw json.RawMessage) (preTokenizers, error) {
	kind, err := partType(at, raw)
	if err != nil {
		return nil, err
	}
	var bare struct {
		Type string `json:"type"`
	}
	switch kind {
	case "":
		return nil, nil
	case "BertPreTokenizer":
		return preTokenizers{bertPreTokenizer{}}, decode(at, raw, &bare)
	case "Metaspace":
		p, err := parseMetaspace(at, raw)
		return preTokenizers{p}, err
	case "Whitespace":
		return preTokenizers{wordRuns{}}, decode(at, raw, &bare)
	case "WhitespaceSplit":
		return preTokenizers{spaceSplit{}}, decode(at, raw, &bare)
	case "ByteLevel":
		return parseByteLevel(at, raw)
	case "CharDelimiterSplit":
		return one(parseCharDelimiterSplit(at, raw))
	case "Digits":
		return one(parseDigits(at, raw))
	case "Punctuation":
		return one(parsePunctuation(at, raw))
	case "Split":
		return one(parseSplit(at, raw))
	case "Sequence":
		var f struct {
			Type          string            `json:"type"`
			PreTokenizers []json.RawMessage `json:"pretokenizers"`
		}
		if err := decode(at, raw, &f); err != nil {
			return nil, err
		}
		if f.PreTokenizers == nil {
			return nil, missing(at, "pretokenizers")
		}
		var all preTokenizers
		for i, raw := range f.PreTokenizers {
			p, err := parsePreTokenizer(fmt.Sprintf("%s.pretokenizers[%d]", at, i), raw)
			if err != nil {
				return nil, err
			}
			all = append(all, p...)
		}
		return all, nil
	default:
		return nil, unsupported(at+".type", kind, preTokenizerTypes...)
	}
}

func one(p preTokenizer, err error) (preTokenizers, error) {
	return preTokenizers{p}, err
}

// preTokenizers splits the words of each further by the next; none leaves the text one word.
type preTokenizers []preTokenizer

// split returns the words of text, which live until the next call with s. Text is not written to.
func (ps preTokenizers) split(s *scratch, text []byte, first bool) *pieces {
	src, dst := &s.pieces[0], &s.pieces[1]
	src.budget, dst.budget = &s.budget, &s.budget
	src.text, src.words, src.first = text, append(src.words[:0], span{0, len(text)}), first
	for _, p := range ps {
		p.split(dst, src)
		src, dst = dst, src
	}
	return src
}

// endInBytes says whether the last part writes bytes as characters.
func (ps preTokenizers) endInBytes() bool {
	return len(ps) > 0 && ps[len(ps)-1] == byteChars{}
}

// cuts are those of the first that splits at spaces: the next ones see its words only.
func (ps preTokenizers) cuts() cuts {
	for _, p := range ps {
		if c := p.cuts(); c != cutNeutral {
			return c
		}
	}
	return cutNever
}
