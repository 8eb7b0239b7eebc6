// Package tokenizer reads a Hugging Face tokenizer.json and turns text into the same token ids, bit for bit, as the
// reference (the tokenizers library, version 0.23.3) does: normalizer, pre-tokenizer, model, truncation and special
// tokens. A part that it does not know is refused by name when the file is loaded.
//
// Padding and attention masks belong to whoever forms the batch.
package tokenizer

import (
	"bytes"
	"fmt"
	"math"
	"sync"
	"unicode/utf8"
)

// Tokenizer turns text into token ids. It is immutable and safe for concurrent use.
type Tokenizer struct {
	rawTokens    *tokenMatcher // looked for in the text as it came
	normalTokens *tokenMatcher // looked for in normalized text
	normalizer   normalizer
	preTokenizer preTokenizer
	model        model
	template     template

	vocabSize int
	padID     int64
	maxTokens int
	keepEnd   bool // truncation drops the beginning
	windowed  bool // the text may be taken in pieces that end before a space
}

// Encoding is one text as a model takes it: two slices of equal length, without padding.
type Encoding struct {
	IDs     []int64
	TypeIDs []int64
}

// normalizer rewrites text before it is split into words. Both slices are valid UTF-8 and do not overlap.
type normalizer interface {
	appendNormal(dst, src []byte, s *scratch) []byte
}

// preTokenizer splits text into words, in order, none of them empty.
type preTokenizer interface {
	// split appends the words of text[at.start:at.end].
	split(words []span, text []byte, at span) []span
	// splitsAtSpaces says whether a word can never hold an ASCII space.
	splitsAtSpaces() bool
}

// model turns one word, never empty, into ids.
type model interface {
	appendIDs(dst []int64, word []byte) []int64
	// id looks up a whole token.
	id(token string) (int64, bool)
	// size is the number of distinct tokens; ids are below idLimit.
	size() int
	idLimit() int64
}

// span is text[start:end].
type span struct{ start, end int }

// scratch holds the buffers of one call.
type scratch struct {
	text   []byte
	normal []byte
	stages [2][]byte // between the normalizers of a sequence
	words  []span
	runes  []rune
	marks  []mark
}

// maxScratch is the longest text whose buffers are kept for the next call: a guess, far above any review.
const maxScratch = 1 << 20

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Encode returns the ids of text, special tokens included, at most MaxTokens of them.
func (t *Tokenizer) Encode(text string) Encoding {
	ids := t.AppendIDs(nil, text)
	types := make([]int64, len(ids))
	body := len(ids) - len(t.template.after)
	for i := range types {
		switch {
		case i < len(t.template.before):
			types[i] = t.template.before[i].typeID
		case i < body:
			types[i] = t.template.typeID
		default:
			types[i] = t.template.after[i-body].typeID
		}
	}
	return Encoding{IDs: ids, TypeIDs: types}
}

// AppendIDs appends the ids that Encode would return. It does not allocate once dst and the pooled buffers have grown.
// Bytes that are not UTF-8 count as U+FFFD each.
func (t *Tokenizer) AppendIDs(dst []int64, text string) []int64 {
	s := scratches.Get().(*scratch) //nolint:errcheck // the pool holds nothing else
	dst = t.appendIDs(dst, text, s)
	if cap(s.text) <= maxScratch {
		scratches.Put(s)
	}
	return dst
}

func (t *Tokenizer) appendIDs(dst []int64, text string, s *scratch) []int64 {
	dst = appendSpecials(dst, t.template.before)
	begin, room := len(dst), math.MaxInt
	if t.maxTokens > 0 {
		room = t.maxTokens - t.template.added()
	}
	limit := math.MaxInt
	if room < math.MaxInt-begin && !t.keepEnd {
		limit = begin + room
	}
	if room > 0 {
		s.text = appendValid(s.text[:0], text)
		dst = t.appendText(dst, limit, s)
	}
	if excess := len(dst) - begin - room; excess > 0 {
		if t.keepEnd {
			copy(dst[begin:], dst[begin+excess:])
		}
		dst = dst[:begin+room]
	}
	return appendSpecials(dst, t.template.after)
}

// appendText appends the ids of s.text, and may stop once dst is limit long.
func (t *Tokenizer) appendText(dst []int64, limit int, s *scratch) []int64 {
	m := t.rawTokens.matches(s.text)
	for len(dst) < limit && m.next() {
		dst = t.appendSegment(dst, m.before(), limit, s)
		dst = append(dst, m.token.id)
	}
	return t.appendSegment(dst, m.rest(), limit, s)
}

// windowBytes bounds how much text is normalized before the limit is looked at again. At 4 KiB the cost of going by
// windows does not show, and it is longer than nearly every review.
const windowBytes = 4 << 10

func (t *Tokenizer) appendSegment(dst []int64, text []byte, limit int, s *scratch) []int64 {
	for len(text) > 0 && len(dst) < limit {
		n := len(text)
		if t.windowed {
			n = windowEnd(text)
		}
		s.normal = t.normalizer.appendNormal(s.normal[:0], text[:n], s)
		dst = t.appendNormalized(dst, s.normal, limit, s)
		text = text[n:]
	}
	return dst
}

// windowEnd returns where to cut: before an ASCII space, which no normalizer joins to what comes before it.
func windowEnd(text []byte) int {
	if len(text) <= windowBytes {
		return len(text)
	}
	if i := bytes.LastIndexByte(text[:windowBytes], ' '); i > 0 {
		return i
	}
	if i := bytes.IndexByte(text[windowBytes:], ' '); i >= 0 {
		return windowBytes + i
	}
	return len(text)
}

func (t *Tokenizer) appendNormalized(dst []int64, text []byte, limit int, s *scratch) []int64 {
	m := t.normalTokens.matches(text)
	for len(dst) < limit && m.next() {
		dst = t.appendWords(dst, m.before(), limit, s)
		dst = append(dst, m.token.id)
	}
	return t.appendWords(dst, m.rest(), limit, s)
}

func (t *Tokenizer) appendWords(dst []int64, text []byte, limit int, s *scratch) []int64 {
	if len(text) == 0 {
		return dst
	}
	s.words = t.preTokenizer.split(s.words[:0], text, span{0, len(text)})
	for _, w := range s.words {
		if len(dst) >= limit {
			break
		}
		dst = t.model.appendIDs(dst, text[w.start:w.end])
	}
	return dst
}

// PadID returns the id for the places that a batch leaves empty: padding.pad_id of the file, or else the id of [PAD],
// or else 0.
func (t *Tokenizer) PadID() int64 { return t.padID }

// VocabSize returns a number above every id: the rows that the model's embedding needs.
func (t *Tokenizer) VocabSize() int { return t.vocabSize }

// MaxTokens returns how many tokens a text is cut to, special tokens included; 0 means that it is not cut.
func (t *Tokenizer) MaxTokens() int { return t.maxTokens }

// WithMaxTokens returns a tokenizer that cuts texts to n tokens, special tokens included, at the same end as before.
// With n of 0 it does not cut.
func (t *Tokenizer) WithMaxTokens(n int) (*Tokenizer, error) {
	if least := max(1, t.template.added()); n < 0 || n > 0 && n < least {
		return nil, fmt.Errorf("token limit is %d: want at least %d, or 0 for none", n, least)
	}
	u := *t
	u.maxTokens = n
	return &u, nil
}

// appendValid appends text with a U+FFFD for each byte that is not UTF-8.
func appendValid(dst []byte, text string) []byte {
	if utf8.ValidString(text) {
		return append(dst, text...)
	}
	for _, r := range text {
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
