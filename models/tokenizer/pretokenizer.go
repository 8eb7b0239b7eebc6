package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
)

var preTokenizerTypes = []string{"BertPreTokenizer", "Sequence", "Whitespace", "WhitespaceSplit"}

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
	case "Whitespace":
		return preTokenizers{wordRuns{}}, decode(at, raw, &bare)
	case "WhitespaceSplit":
		return preTokenizers{spaceSplit{}}, decode(at, raw, &bare)
	case "Sequence":
		var f struct {
			Type          string            `json:"type"`
			PreTokenizers []json.RawMessage `json:"pretokenizers"`
		}
		if err := decode(at, raw, &f); err != nil {
			return nil, err
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

// preTokenizers splits the words of each further by the next; none leaves the text one word.
type preTokenizers []preTokenizer

func (ps preTokenizers) split(words []span, text []byte, at span) []span {
	begin := len(words)
	words = append(words, at)
	for _, p := range ps {
		end := len(words)
		for i := begin; i < end; i++ {
			words = p.split(words, text, words[i])
		}
		words = words[:begin+copy(words[begin:], words[end:])]
	}
	return words
}

func (ps preTokenizers) splitsAtSpaces() bool {
	return slices.ContainsFunc(ps, preTokenizer.splitsAtSpaces)
}
