package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// bpe is byte-pair encoding: a word is cut into characters, and neighbours are merged, pair by pair, in the order in which
// training found the pairs.
//
// Most words come out as one token. Which do is found when the file is loaded, so those take one walk through a trie;
// the others are merged. A cache of words, as the reference has it, is not needed then, and nothing grows.
type bpe struct {
	vocab  map[string]int32
	limit  int64
	whole  *trie // words that come out as one token
	merges *merges

	// bytes: the word is raw bytes, though the vocabulary is written with one character a byte (see byteChars).
	bytes     bool
	byteIDs   [256]int32
	alphabets [4]*alphabet // by position: in the middle, first, last, both

	unknown  int32 // or noValue: what is unknown is dropped
	fuse     bool  // neighbouring unknowns are one
	fallback *fallback
	// ordered is for vocabularies in which different pairs may make the same token: see mergeLong.
	ordered bool
}

// alphabet is the tokens of single characters.
type alphabet struct {
	ascii  [utf8.RuneSelf]int32
	others map[rune]int32
}

func (a *alphabet) id(r rune) int32 {
	if r < utf8.RuneSelf {
		return a.ascii[r]
	}
	if id, ok := a.others[r]; ok {
		return id
	}
	return noValue
}

const (
	positionFirst = 1
	positionLast  = 2
)

// fallback is the tokens <0x00> to <0xFF>, for characters that have none.
type fallback struct {
	ids            [256]int32
	prefix, suffix string // the reference takes apart what it looked up, these included
}

// shortWord is the most symbols that are merged by looking at all of them.
const shortWord = 48

func parseBPE(at string, raw json.RawMessage, bytes bool) (*bpe, error) {
	var f struct {
		Type         string            `json:"type"`
		Dropout      *float64          `json:"dropout"`
		Unknown      *string           `json:"unk_token"`
		Prefix       orNull[string]    `json:"continuing_subword_prefix"`
		Suffix       orNull[string]    `json:"end_of_word_suffix"`
		FuseUnknown  orNull[bool]      `json:"fuse_unk"`
		ByteFallback orNull[bool]      `json:"byte_fallback"`
		IgnoreMerges orNull[bool]      `json:"ignore_merges"`
		Vocab        map[string]uint32 `json:"vocab"`
		Merges       json.RawMessage   `json:"merges"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Vocab == nil:
		return nil, missing(at, "vocab")
	case isNull(f.Merges):
		return nil, missing(at, "merges")
	case f.Dropout != nil && *f.Dropout != 0:
		return nil, fmt.Errorf("%s.dropout is %v, which makes the ids of a text a matter of chance: want null", at, *f.Dropout)
	}
	vocab, limit, err := parseVocab(at, f.Vocab)
	if err != nil {
		return nil, err
	}
	m := &bpe{vocab: vocab, limit: limit, unknown: noValue, fuse: f.FuseUnknown.value}
	m.bytes = bytes && f.Prefix.value == "" && f.Suffix.value == "" && !f.ByteFallback.value
	if err := m.readMerges(at, f.Merges, len(f.Prefix.value)); err != nil {
		return nil, err
	}
	complete := m.readAlphabet(f.Prefix.value, f.Suffix.value)
	if f.Unknown != nil {
		unknown, ok := vocab[*f.Unknown]
		if !ok && !complete {
			return nil, fmt.Errorf("%s.unk_token %q is not in %s.vocab", at, *f.Unknown, at)
		}
		if ok {
			m.unknown = unknown
		}
	}
	if f.ByteFallback.value {
		m.fallback = newFallback(vocab, f.Prefix.value, f.Suffix.value)
	}
	m.whole = newTrie(m.wholeWords(f.Suffix.value, f.IgnoreMerges.value))
	return m, nil
}

// readMerges reads pairs, each a list of two tokens, or as it was once written, a string with a space in it.
func (m *bpe) readMerges(at string, raw json.RawMessage, prefix int) error {
	var pairs [][]string
	if err := json.Unmarshal(raw, &pairs); err != nil {
		pairs = nil
		var lines []string
		if err := json.Unmarshal(raw, &lines); err != nil {
			return fmt.Errorf("%s.merges: want pairs of tokens, as lists or as strings: %w", at, err)
		}
		for i, line := range lines {
			if strings.HasPrefix(line, "#version") {
				continue
			}
			pair := strings.Split(line, " ")
			if len(pair) != 2 {
				return fmt.Errorf("%s.merges[%d] is %q: want two tokens with a space between them", at, i, line)
			}
			pairs = append(pairs, pair)
		}
	}
	m.merges = newMerges(len(pairs))
	seen := make(map[int32]bool, len(m.vocab))
	for _, id := range m.vocab {
		m.ordered = m.ordered || seen[id]
		seen[id] = true
	}
	for rank, pair := range pairs {
		if len(pair) != 2 {
			return fmt.Errorf("%s.merges[%d] has %d tokens: want 2", at, rank, len(pair))
		}
		left, ok := m.vocab[pair[0]]
		if !ok {
			return fmt.Errorf("%s.merges[%d]: %q is not in %s.vocab", at, rank, pair[0], at)
		}
		right, ok := m.vocab[pair[1]]
		if !ok {
			return fmt.Errorf("%s.merges[%d]: %q is not in %s.vocab", at, rank, pair[1], at)
		}
		if len(pair[1]) < prefix {
			return fmt.Errorf("%s.merges[%d]: %q is shorter than %s.continuing_subword_prefix", at, rank, pair[1], at)
		}
		made, ok := m.vocab[pair[0]+pair[1][prefix:]]
		if !ok {
			return fmt.Errorf("%s.merges[%d] makes %q, which is not in %s.vocab", at, rank, pair[0]+pair[1][prefix:], at)
		}
		m.ordered = m.ordered || len(pair[1]) == prefix || pair[0] == ""
		m.merges.put(left, right, merge{int32(rank), made})
	}
	return nil
}

// readAlphabet finds the tokens of single characters and says whether every character has one.
func (m *bpe) readAlphabet(prefix, suffix string) (complete bool) {
	if m.bytes {
		complete = true
		for b := range m.byteIDs {
			id, ok := m.vocab[string(byteRunes[b])]
			if !ok {
				id, complete = noValue, false
			}
			m.byteIDs[b] = id
		}
		return complete
	}
	for position := range m.alphabets {
		if position > 0 && prefix == "" && suffix == "" {
			m.alphabets[position] = m.alphabets[0]
			continue
		}
		before, after := prefix, ""
		if position&positionFirst != 0 {
			before = ""
		}
		if position&positionLast != 0 {
			after = suffix
		}
		a := &alphabet{others: make(map[rune]int32)}
		for r := range a.ascii {
			a.ascii[r] = noValue
		}
		for token, id := range m.vocab {
			rest, ok := strings.CutPrefix(token, before)
			if !ok {
				continue
			}
			if rest, ok = strings.CutSuffix(rest, after); !ok {
				continue
			}
			if r, n := utf8.DecodeRuneInString(rest); n == 0 || n != len(rest) {
				continue
			} else if r < utf8.RuneSelf {
				a.ascii[r] = id
			} else {
				a.others[r] = id
			}
		}
		m.alphabets[position] = a
	}
	return false
}

func newFallback(vocab map[string]int32, prefix, suffix string) *fallback {
	f := &fallback{prefix: prefix, suffix: suffix}
	for b := range f.ids {
		id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id = noValue
		}
		f.ids[b] = id
	}
	return f
}

// wholeWords finds the words that are one token: with ignoreMerges any token is, and otherwise those that merging leads to.
func (m *bpe) wholeWords(suffix string, ignoreMerges bool) map[string]int32 {
	words := make(map[string]int32, len(m.vocab))
	s := new(scratch)
	var ids []int64
	for token, id := range m.vocab {
		word := token
		if m.bytes {
			var ok bool
			if word, ok = bytesOf(token); !ok {
				continue
			}
		}
		if ignoreMerges {
			words[word] = id
			continue
		}
		word, ok := strings.CutSuffix(word, suffix)
		if !ok || word == "" {
			continue
		}
		if ids = m.appendMerged(ids[:0], []byte(word), s); len(ids) == 1 {
			words[word] = int32(ids[0])
		}
	}
	return words
}

func (m *bpe) appendIDs(dst []int64, word []byte, _ int, s *scratch) []int64 {
	if id := m.whole.lookUp(word); id != noValue {
		return append(dst, int64(id))
	}
	return m.appendMerged(dst, word, s)
}

func (m *bpe) appendMerged(dst []int64, word []byte, s *scratch) []int64 {
	s.symbols = m.appendSymbols(s.symbols[:0], word)
	if len(s.symbols) <= shortWord && !m.ordered {
		for _, sym := range m.merges.mergeShort(s.symbols) {
			dst = append(dst, int64(sym.id))
		}
		return dst
	}
	s.links = s.links[:0]
	for i, sym := range s.symbols {
		s.links = append(s.links, link{sym.id, int32(i - 1), int32(i + 1)})
	}
	if n := len(s.links); n > 0 {
		s.links[n-1].next = -1
	}
	s.heap = m.merges.mergeLong(s.links, s.heap)
	for _, l := range s.links {
		if l.id != noValue {
			dst = append(dst, int64(l.id))
		}
	}
	return dst
}

// appendSymbols cuts a word into characters. An unknown one is held back until the next known one, as in the reference:
// what a byte fallback gives overtakes it.
func (m *bpe) appendSymbols(dst []symbol, word []byte) []symbol {
	pending := noValue
	unknown := func() {
		if pending != noValue && !m.fuse {
			dst = append(dst, symbol{id: pending})
		}
		pending = m.unknown
	}
	if m.bytes {
		for _, b := range word {
			id := m.byteIDs[b]
			if id == noValue {
				unknown()
				continue
			}
			if pending != noValue {
				dst = append(dst, symbol{id: pending})
				pending = noValue
			}
			dst = append(dst, symbol{id: id})
		}
	} else {
		for i := 0; i < len(word); {
			r, size := utf8.DecodeRune(word[i:])
			position := 0
			if i == 0 {
				position |= positionFirst
			}
			if i+size == len(word) {
				position |= positionLast
			}
			id := m.alphabets[position].id(r)
			char := word[i : i+size]
			i += size
			if id == noValue {
				var ok bool
				if dst, ok = m.fallback.append(dst, char, position); !ok {
					unknown()
				}
				continue
			}
			if pending != noValue {
				dst = append(dst, symbol{id: pending})
				pending = noValue
			}
			dst = append(dst, symbol{id: id})
		}
	}
	if pending != noValue {
		dst = append(dst, symbol{id: pending})
	}
	return dst
}

// append takes a character apart into bytes, unless one of those has no token.
func (f *fallback) append(dst []symbol, char []byte, position int) ([]symbol, bool) {
	if f == nil {
		return dst, false
	}
	begin, ok := len(dst), true
	add := func(b byte) {
		dst = append(dst, symbol{id: f.ids[b]})
		ok = ok && f.ids[b] != noValue
	}
	if position&positionFirst == 0 {
		for i := range len(f.prefix) {
			add(f.prefix[i])
		}
	}
	for _, b := range char {
		add(b)
	}
	if position&positionLast != 0 {
		for i := range len(f.suffix) {
			add(f.suffix[i])
		}
	}
	if !ok {
		dst = dst[:begin]
	}
	return dst, ok
}

func (m *bpe) id(token string) (int64, bool) {
	id, ok := m.vocab[token]
	return int64(id), ok
}

func (m *bpe) size() int      { return len(m.vocab) }
func (m *bpe) idLimit() int64 { return m.limit }
