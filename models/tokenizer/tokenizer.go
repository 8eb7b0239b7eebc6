// Package tokenizer reads a Hugging Face tokenizer.json and turns text into the same token ids, bit for bit, as the
// reference (the tokenizers library, version 0.23.3) does: normalizer, pre-tokenizer, model, truncation and special
// tokens. A part that it does not know is refused by name when the file is loaded.
//
// Padding and attention masks belong to whoever forms the batch.
package tokenizer

import (
	"fmt"
	"math"
	"sync"
	"unicode/utf8"
)

// Tokenizer turns text into token ids. It is immutable and safe for concurrent use.
type Tokenizer struct {
	rawTokens    *tokenMatcher // looked for in the text as it came
	normalTokens *tokenMatcher // looked for in normalized text
	normalizer   normalizers
	preTokenizer preTokenizers
	model        model
	template     template

	vocabSize int
	padID     int64
	maxTokens int
	keepEnd   bool // truncation drops the beginning

	cuts        cuts // where a text may be taken window by window
	windowBytes int
}

// Encoding is one text as a model takes it: two slices of equal length, without padding.
type Encoding struct {
	IDs     []int64
	TypeIDs []int64
}

// normalizer rewrites text before it is split into words. Both slices are valid UTF-8 and do not overlap.
type normalizer interface {
	appendNormal(dst, src []byte, s *scratch) []byte
	// cuts says where text may be cut so that its halves read as the whole does; neutral is anywhere before a space.
	cuts() cuts
}

// model turns one word, never empty, into ids.
type model interface {
	// appendIDs may stop once dst is limit long.
	appendIDs(dst []int64, word []byte, limit int, s *scratch) []int64
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
	pieces [2]pieces
	runes  []rune
	marks  []mark

	symbols []symbol
	links   []link
	heap    []candidate
	steps   []step

	// follows tells normalizers that another window of the same text stands before theirs.
	follows bool
	// budget of the text.
	budget budget
	// shifted says that what the normalizers made begins with something else than what the text began with.
	shifted bool
}

// maxScratch is the longest text whose buffers are kept for the next call: a guess, far above any review.
const maxScratch = 1 << 20

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Encode returns the ids of text, special tokens included, at most MaxTokens of them. It is for texts of one's own: see TryEncode.
func (t *Tokenizer) Encode(text string) Encoding {
	e, _ := t.TryEncode(text)
	return e
}

// TryEncode is Encode, and an error that wraps ErrCostly for a text that would take too long; its ids are of no use then.
func (t *Tokenizer) TryEncode(text string) (Encoding, error) {
	ids, err := t.TryAppendIDs(nil, text)
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
	return Encoding{IDs: ids, TypeIDs: types}, err
}

// AppendIDs appends the ids that Encode would return. It does not allocate once dst and the pooled buffers have grown.
// Bytes that are not UTF-8 count as U+FFFD each. It is for texts of one's own: see TryAppendIDs.
func (t *Tokenizer) AppendIDs(dst []int64, text string) []int64 {
	dst, _ = t.TryAppendIDs(dst, text)
	return dst
}

// TryAppendIDs is AppendIDs, and an error that wraps ErrCostly for a text that would take too long; its ids are of no use then.
func (t *Tokenizer) TryAppendIDs(dst []int64, text string) ([]int64, error) {
	s := scratches.Get().(*scratch) //nolint:errcheck // the pool holds nothing else
	s.budget = newBudget(len(text))
	dst = t.appendIDs(dst, text, s)
	err := s.budget.err(len(text))
	if cap(s.text) <= maxScratch && cap(s.heap) <= maxScratch {
		scratches.Put(s)
	}
	return dst, err
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
		dst = t.appendSegment(dst, m.before(), m.gap.start == 0, limit, s)
		dst = append(dst, m.token.id)
	}
	return t.appendSegment(dst, m.rest(), m.done == 0, limit, s)
}

// appendSegment appends the ids of text that holds no raw token; first says that it begins the input.
func (t *Tokenizer) appendSegment(dst []int64, text []byte, first bool, limit int, s *scratch) []int64 {
	switch {
	case len(t.normalizer) == 0:
		return t.appendNormalized(dst, text, first, limit, s)
	case t.normalTokens != nil: // which may hold a space, or look beyond it
		s.follows, s.shifted = false, false
		s.normal = t.normalizer.appendNormal(s.normal[:0], text, s)
		return t.appendNormalized(dst, s.normal, first && !s.shifted, limit, s)
	}
	s.follows, s.shifted = false, false
	for len(text) > 0 && len(dst) < limit {
		n := t.cuts.windowEnd(text, t.windowBytes)
		s.normal = t.normalizer.appendNormal(s.normal[:0], text[:n], s)
		dst = t.appendWords(dst, s.normal, first && !s.shifted, limit, s)
		text, first, s.follows = text[n:], false, true
	}
	return dst
}

func (t *Tokenizer) appendNormalized(dst []int64, text []byte, first bool, limit int, s *scratch) []int64 {
	m := t.normalTokens.matches(text)
	for len(dst) < limit && m.next() {
		dst = t.appendWindows(dst, m.before(), first && m.gap.start == 0, limit, s)
		dst = append(dst, m.token.id)
	}
	return t.appendWindows(dst, m.rest(), first && m.done == 0, limit, s)
}

func (t *Tokenizer) appendWindows(dst []int64, text []byte, first bool, limit int, s *scratch) []int64 {
	for len(text) > 0 && len(dst) < limit {
		n := t.cuts.windowEnd(text, t.windowBytes)
		dst = t.appendWords(dst, text[:n], first, limit, s)
		text, first = text[n:], false
	}
	return dst
}

// appendWords appends the ids of one window.
func (t *Tokenizer) appendWords(dst []int64, text []byte, first bool, limit int, s *scratch) []int64 {
	if len(text) == 0 {
		return dst
	}
	p := t.preTokenizer.split(s, text, first)
	for _, w := range p.words {
		if len(dst) >= limit {
			break
		}
		dst = t.model.appendIDs(dst, p.text[w.start:w.end], limit, s)
	}
	return dst
}

// PadID returns the id for the places that a batch leaves empty: padding.pad_id of the file, or else the id of [PAD] or
// <pad>, or else 0.
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
