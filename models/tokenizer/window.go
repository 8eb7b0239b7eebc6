package tokenizer

import "bytes"

// cuts says where text may be cut without changing the ids, from the most places to the fewest: a text that goes
// through several parts is cut where the strictest of them lets it.
type cuts int

const (
	cutNeutral    cuts = iota // the part leaves no mark of its own: where the others say
	cutAtSpaces               // before any ASCII space
	cutAfterWords             // before an ASCII space that follows an ASCII letter or digit
	cutNever
)

// defaultWindow bounds how much text is normalized before the limit is looked at again. At 4 KiB the cost of going by
// windows does not show, and it is longer than nearly every review.
const defaultWindow = 4 << 10

// windowEnd returns where to cut text, which is not empty, so that the window has about size bytes.
func (c cuts) windowEnd(text []byte, size int) int {
	if len(text) <= size || c == cutNever || c == cutNeutral {
		return len(text)
	}
	for end := size; end > 0; {
		if end = bytes.LastIndexByte(text[:end], ' '); end > 0 && c.allows(text, end) {
			return end
		}
	}
	for end := size; ; end++ {
		i := bytes.IndexByte(text[end:], ' ')
		if i < 0 {
			return len(text)
		}
		if end += i; c.allows(text, end) {
			return end
		}
	}
}

// allows looks at the space text[i], with i above 0.
func (c cuts) allows(text []byte, i int) bool {
	if c == cutAtSpaces {
		return true
	}
	b := text[i-1] | 0x20 // a letter in lower case; digits have the bit already
	return 'a' <= b && b <= 'z' || '0' <= text[i-1] && text[i-1] <= '9'
}
