package tokenizer

import (
	"encoding/json"
	"fmt"
)

// wordLevel looks whole words up.
type wordLevel struct {
	vocab   map[string]int32
	unknown int64
	limit   int64
}

func parseWordLevel(at string, raw json.RawMessage) (model, error) {
	var f struct {
		Type    string            `json:"type"`
		Unknown *string           `json:"unk_token"`
		Vocab   map[string]uint32 `json:"vocab"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Unknown == nil:
		return nil, missing(at, "unk_token")
	case f.Vocab == nil:
		return nil, missing(at, "vocab")
	}
	vocab, limit, err := parseVocab(at, f.Vocab)
	if err != nil {
		return nil, err
	}
	unknown, ok := vocab[*f.Unknown]
	if !ok {
		return nil, fmt.Errorf("%s.unk_token %q is not in %s.vocab", at, *f.Unknown, at)
	}
	return &wordLevel{vocab: vocab, unknown: int64(unknown), limit: limit}, nil
}

func (m *wordLevel) appendIDs(dst []int64, word []byte, _ int, _ *scratch) []int64 {
	if id, ok := m.vocab[string(word)]; ok {
		return append(dst, int64(id))
	}
	return append(dst, m.unknown)
}

func (m *wordLevel) id(token string) (int64, bool) {
	id, ok := m.vocab[token]
	return int64(id), ok
}

func (m *wordLevel) size() int      { return len(m.vocab) }
func (m *wordLevel) idLimit() int64 { return m.limit }
