package tokenizer

import (
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"
)

// wordPiece takes the longest token that a word begins with, then the longest continuing token, and so on. A word that
// cannot be covered so, or is too long, is one unknown token.
type wordPiece struct {
	vocab      map[string]int32
	trie       *trie
	continuing int32 // the state after the continuing prefix, or noState
	unknown    int64
	maxChars   int
	limit      int64
}

func parseWordPiece(at string, raw json.RawMessage) (model, error) {
	var f struct {
		Type     string            `json:"type"`
		Unknown  *string           `json:"unk_token"`
		Prefix   *string           `json:"continuing_subword_prefix"`
		MaxChars *uint64           `json:"max_input_chars_per_word"`
		Vocab    map[string]uint32 `json:"vocab"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Unknown == nil:
		return nil, missing(at, "unk_token")
	case f.Prefix == nil:
		return nil, missing(at, "continuing_subword_prefix")
	case f.MaxChars == nil:
		return nil, missing(at, "max_input_chars_per_word")
	case f.Vocab == nil:
		return nil, missing(at, "vocab")
	}
	vocab, limit, err := parseVocab(at, f.Vocab)
	if err != nil {
		return nil, err
	}
	m := &wordPiece{vocab: vocab, limit: limit, maxChars: int(min(*f.MaxChars, math.MaxInt))}
	unknown, ok := m.vocab[*f.Unknown]
	if !ok {
		return nil, fmt.Errorf("%s.unk_token %q is not in %s.vocab", at, *f.Unknown, at)
	}
	m.unknown = int64(unknown)
	m.trie = newTrie(m.vocab)
	m.continuing = m.trie.find(*f.Prefix)
	return m, nil
}

func (m *wordPiece) appendIDs(dst []int64, word []byte, _ int, _ *scratch) []int64 {
	if len(word) > m.maxChars && countRunes(word) > m.maxChars {
		return append(dst, m.unknown)
	}
	begin, state := len(dst), root
	for len(word) > 0 {
		if state == noState {
			return append(dst[:begin], m.unknown)
		}
		id, n := m.trie.longest(state, word)
		if n == 0 {
			return append(dst[:begin], m.unknown)
		}
		dst = append(dst, int64(id))
		word = word[n:]
		state = m.continuing
	}
	return dst
}

// countRunes counts the runes of valid UTF-8. Go 1.26's utf8.RuneCount allocates.
func countRunes(text []byte) (n int) {
	for _, b := range text {
		if utf8.RuneStart(b) {
			n++
		}
	}
	return n
}

func (m *wordPiece) id(token string) (int64, bool) {
	id, ok := m.vocab[token]
	return int64(id), ok
}

func (m *wordPiece) size() int      { return len(m.vocab) }
func (m *wordPiece) idLimit() int64 { return m.limit }
