package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// unigram takes the split of a word into tokens that has the highest sum of scores (Kudo, "Subword Regularization",
// 2018). It goes from left to right and keeps, for every place, the best way there; of two equal ways the first found
// stays. Scores are added up from the left: a sum in another order rounds differently, and ties are common in text such
// as "aaaa".
//
// Where no token of the vocabulary reaches across a place, every way leads through it, so the ids up to there are final.
// They are written at once. So a text that is one long word takes little memory, and ends early when it is cut.
type unigram struct {
	trie    *trie // values are ids
	scores  []float64
	longest int // bytes of the longest token

	unknown      int32
	unknownScore float64     // of one character
	bytes        *[256]int32 // what an unknown run is spelled with, if every byte has an id
}

// step is the best way to a place: its score, and the last token on it.
type step struct {
	score  float64
	length int32 // 0: no way yet
	id     int32
}

// unknownPenalty is how much worse an unknown character is than the worst token.
const unknownPenalty = 10

func parseUnigram(at string, raw json.RawMessage) (model, error) {
	var f struct {
		Type         string        `json:"type"`
		Unknown      *uint64       `json:"unk_id"`
		Vocab        []scoredToken `json:"vocab"`
		ByteFallback bool          `json:"byte_fallback"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Vocab == nil:
		return nil, missing(at, "vocab")
	case f.Unknown == nil:
		return nil, fmt.Errorf("%s.unk_id is missing or null: want the id of the unknown token, without which a text with a new character has no ids", at)
	case *f.Unknown >= uint64(len(f.Vocab)):
		return nil, fmt.Errorf("%s.unk_id is %d: want an id of %s.vocab, which has %d tokens", at, *f.Unknown, at, len(f.Vocab))
	case len(f.Vocab) > math.MaxInt32:
		return nil, fmt.Errorf("%s.vocab has %d tokens: want at most %d", at, len(f.Vocab), math.MaxInt32)
	}
	m := &unigram{scores: make([]float64, len(f.Vocab)), unknown: int32(*f.Unknown)}
	ids := make(map[string]int32, len(f.Vocab)) // of a token that is there twice, the last counts
	least := math.Inf(1)
	for id, t := range f.Vocab {
		ids[t.token] = int32(id)
		m.scores[id] = t.score
		m.longest = max(m.longest, len(t.token))
		least = min(least, t.score)
	}
	m.unknownScore = least - unknownPenalty
	m.trie = newTrie(ids)
	if f.ByteFallback {
		m.bytes = new([256]int32)
		for b := range m.bytes {
			id, ok := ids[fmt.Sprintf("<0x%02X>", b)]
			if !ok {
				id = noValue
			}
			m.bytes[b] = id
		}
	}
	return m, nil
}

func (m *unigram) appendIDs(dst []int64, word []byte, limit int, s *scratch) []int64 {
	base := 0 // ids up to here are written
	reach := 0
	s.steps = append(s.steps[:0], step{})
	steps := s.steps
	cells, scores := m.trie.cells, m.scores
	for at := 0; at < len(word); {
		if at == reach && at > base && steps[at-base].id != m.unknown {
			dst = m.appendWay(dst, word[base:at], steps)
			if len(dst) >= limit {
				s.steps = steps
				return dst
			}
			steps[0].score = steps[at-base].score
			clear(steps[1 : at-base+1])
			base = at
		}
		size := runeSize(word[at])
		for need := at - base + max(size, m.longest) + 1; len(steps) < need; {
			steps = append(steps, step{})
		}
		till, ways := steps[at-base].score, steps[at-base:]
		state, single := root, false
		for i, b := range word[at:] {
			next := cells[state].base + int32(b)
			if int(next) >= len(cells) || cells[next].parent != state {
				break
			}
			state = next
			id := cells[state].value
			if id == noValue {
				continue
			}
			length := i + 1
			if score := scores[id] + till; ways[length].length == 0 || score > ways[length].score {
				ways[length] = step{score, int32(length), id}
			}
			single = single || length == size
			reach = max(reach, at+length)
		}
		if !single {
			if score := m.unknownScore + till; ways[size].length == 0 || score > ways[size].score {
				ways[size] = step{score, int32(size), m.unknown}
			}
			reach = max(reach, at+size)
		}
		at += size
	}
	dst = m.appendWay(dst, word[base:], steps)
	s.steps = steps
	return dst
}

// appendWay appends the ids of the best way to the end of text, found backwards. Neighbouring unknowns are one.
func (m *unigram) appendWay(dst []int64, text []byte, steps []step) []int64 {
	begin := len(dst)
	for end := len(text); end > 0; {
		last := &steps[end]
		start := end - int(last.length)
		if last.id != m.unknown {
			dst = append(dst, int64(last.id))
			end = start
			continue
		}
		for start > 0 && steps[start].id == m.unknown {
			start -= int(steps[start].length)
		}
		dst = m.appendUnknown(dst, text[start:end])
		end = start
	}
	slices.Reverse(dst[begin:])
	return dst
}

// appendUnknown appends the ids of a run of unknowns, in reverse: of the token that it happens to be, of its bytes, or
// the unknown id.
func (m *unigram) appendUnknown(dst []int64, run []byte) []int64 {
	if id, n := m.trie.longest(root, run); n == len(run) {
		return append(dst, int64(id))
	}
	if m.bytes == nil {
		return append(dst, int64(m.unknown))
	}
	begin := len(dst)
	for _, b := range slices.Backward(run) {
		id := m.bytes[b]
		if id == noValue {
			return append(dst[:begin], int64(m.unknown))
		}
		dst = append(dst, int64(id))
	}
	return dst
}

// runeSize returns the length of the UTF-8 encoding that begins with b.
func runeSize(b byte) int {
	switch {
	case b < 0x80:
		return 1
	case b < 0xe0:
		return 2
	case b < 0xf0:
		return 3
	default:
		return 4
	}
}

func (m *unigram) id(token string) (int64, bool) {
	state := m.trie.find(token)
	if token == "" || state == noState || m.trie.cells[state].value == noValue {
		return 0, false
	}
	return int64(m.trie.cells[state].value), true
}

func (m *unigram) size() int      { return len(m.scores) }
func (m *unigram) idLimit() int64 { return int64(len(m.scores)) }

// scoredToken is a pair ["token", -3.5].
type scoredToken struct {
	token string
	score float64
}

func (t *scoredToken) UnmarshalJSON(b []byte) error {
	var score json.Number
	pair := []any{&t.token, &score}
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	var ok bool
	if t.score, ok = readScore(score.String()); len(pair) != 2 || !ok {
		return errors.New("want a token and its score")
	}
	return nil
}
