package tokenizer

import (
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The reference mixes Unicode versions: unicode_categories 0.1.1 (control characters, punctuation, Mn) and
// unicode-normalization-alignments 0.1.12 (decompositions, combining classes, combining marks) stop at versions 8 and 9,
// Rust's own to_lowercase is at 17 and the regex crate's \w at 16, where Go and x/text are at 15. The tables below are
// what differs, found by giving the reference every code point; a range also runs over neighbours that have the property
// in neither. TestEveryCodePointReadsAsInReference fails when a new Go or a new reference moves them.
var (
	notOther = &unicode.RangeTable{
		R16: []unicode.Range16{{Lo: 0x0890, Hi: 0x08e2, Stride: 1}},
		R32: []unicode.Range32{{Lo: 0x110cd, Hi: 0x1343f, Stride: 1}},
	}
	notPunctuation = &unicode.RangeTable{
		R16: []unicode.Range16{
			{Lo: 0x061d, Hi: 0x061d, Stride: 1}, {Lo: 0x09fd, Hi: 0x0a76, Stride: 1}, {Lo: 0x0c77, Hi: 0x0c84, Stride: 1},
			{Lo: 0x1b7d, Hi: 0x1b7e, Stride: 1}, {Lo: 0x2e43, Hi: 0x2e5d, Stride: 1},
		},
		R32: []unicode.Range32{
			{Lo: 0x10ead, Hi: 0x10f89, Stride: 1}, {Lo: 0x1144b, Hi: 0x1145d, Stride: 1}, {Lo: 0x11660, Hi: 0x116b9, Stride: 1},
			{Lo: 0x1183b, Hi: 0x11fff, Stride: 1}, {Lo: 0x12ff1, Hi: 0x12ff2, Stride: 1}, {Lo: 0x16e97, Hi: 0x16fe2, Stride: 1},
			{Lo: 0x1e95e, Hi: 0x1e95f, Stride: 1},
		},
	}
	notNonspacing = &unicode.RangeTable{
		R16: []unicode.Range16{
			{Lo: 0x07fd, Hi: 0x07fd, Stride: 1}, {Lo: 0x0898, Hi: 0x08e1, Stride: 1}, {Lo: 0x09fe, Hi: 0x09fe, Stride: 1},
			{Lo: 0x0afa, Hi: 0x0aff, Stride: 1}, {Lo: 0x0b55, Hi: 0x0b55, Stride: 1}, {Lo: 0x0c04, Hi: 0x0c3c, Stride: 1},
			{Lo: 0x0d00, Hi: 0x0d00, Stride: 1}, {Lo: 0x0d3b, Hi: 0x0d3c, Stride: 1}, {Lo: 0x0d81, Hi: 0x0d81, Stride: 1},
			{Lo: 0x0eba, Hi: 0x0eba, Stride: 1}, {Lo: 0x0ece, Hi: 0x0ece, Stride: 1}, {Lo: 0x180f, Hi: 0x1886, Stride: 1},
			{Lo: 0x1abf, Hi: 0x1ace, Stride: 1}, {Lo: 0x1df6, Hi: 0x1dfb, Stride: 1}, {Lo: 0xa82c, Hi: 0xa82c, Stride: 1},
			{Lo: 0xa8c5, Hi: 0xa8c5, Stride: 1}, {Lo: 0xa8ff, Hi: 0xa8ff, Stride: 1}, {Lo: 0xa9bd, Hi: 0xa9bd, Stride: 1},
		},
		R32: []unicode.Range32{
			{Lo: 0x10d24, Hi: 0x10f85, Stride: 1}, {Lo: 0x11070, Hi: 0x11074, Stride: 1}, {Lo: 0x110c2, Hi: 0x110c2, Stride: 1},
			{Lo: 0x111c9, Hi: 0x111c9, Stride: 1}, {Lo: 0x111cf, Hi: 0x111cf, Stride: 1}, {Lo: 0x1123e, Hi: 0x11241, Stride: 1},
			{Lo: 0x1133b, Hi: 0x1133b, Stride: 1}, {Lo: 0x11438, Hi: 0x1145e, Stride: 1}, {Lo: 0x1182f, Hi: 0x13455, Stride: 1},
			{Lo: 0x16f4f, Hi: 0x16f4f, Stride: 1}, {Lo: 0x16fe4, Hi: 0x16fe4, Stride: 1}, {Lo: 0x1cf00, Hi: 0x1cf46, Stride: 1},
			{Lo: 0x1e000, Hi: 0x1e4ef, Stride: 1}, {Lo: 0x1e944, Hi: 0x1e94a, Stride: 1},
		},
	}
	notMark = &unicode.RangeTable{
		R16: []unicode.Range16{
			{Lo: 0x07fd, Hi: 0x07fd, Stride: 1}, {Lo: 0x0898, Hi: 0x08d3, Stride: 1}, {Lo: 0x09fe, Hi: 0x09fe, Stride: 1},
			{Lo: 0x0afa, Hi: 0x0aff, Stride: 1}, {Lo: 0x0b55, Hi: 0x0b55, Stride: 1}, {Lo: 0x0c04, Hi: 0x0c3c, Stride: 1},
			{Lo: 0x0cf3, Hi: 0x0d00, Stride: 1}, {Lo: 0x0d3b, Hi: 0x0d3c, Stride: 1}, {Lo: 0x0d81, Hi: 0x0d81, Stride: 1},
			{Lo: 0x0eba, Hi: 0x0eba, Stride: 1}, {Lo: 0x0ece, Hi: 0x0ece, Stride: 1}, {Lo: 0x1715, Hi: 0x1715, Stride: 1},
			{Lo: 0x180f, Hi: 0x180f, Stride: 1}, {Lo: 0x1abf, Hi: 0x1ace, Stride: 1}, {Lo: 0x1cf7, Hi: 0x1cf7, Stride: 1},
			{Lo: 0x1df6, Hi: 0x1dfa, Stride: 1}, {Lo: 0xa82c, Hi: 0xa82c, Stride: 1}, {Lo: 0xa8ff, Hi: 0xa8ff, Stride: 1},
		},
		R32: []unicode.Range32{
			{Lo: 0x10d24, Hi: 0x10f85, Stride: 1}, {Lo: 0x11070, Hi: 0x11074, Stride: 1}, {Lo: 0x110c2, Hi: 0x110c2, Stride: 1},
			{Lo: 0x11145, Hi: 0x11146, Stride: 1}, {Lo: 0x111c9, Hi: 0x111c9, Stride: 1}, {Lo: 0x111ce, Hi: 0x111cf, Stride: 1},
			{Lo: 0x11241, Hi: 0x11241, Stride: 1}, {Lo: 0x1133b, Hi: 0x1133b, Stride: 1}, {Lo: 0x1145e, Hi: 0x1145e, Stride: 1},
			{Lo: 0x1182c, Hi: 0x11a99, Stride: 1}, {Lo: 0x11d31, Hi: 0x13455, Stride: 1}, {Lo: 0x16f4f, Hi: 0x16f4f, Stride: 1},
			{Lo: 0x16f7f, Hi: 0x16f87, Stride: 1}, {Lo: 0x16fe4, Hi: 0x16ff1, Stride: 1}, {Lo: 0x1cf00, Hi: 0x1cf46, Stride: 1},
			{Lo: 0x1e08f, Hi: 0x1e4ef, Stride: 1},
		},
	}
	// notNormalized have neither a decomposition nor a combining class.
	notNormalized = &unicode.RangeTable{
		R16: []unicode.Range16{
			{Lo: 0x07fd, Hi: 0x07fd, Stride: 1}, {Lo: 0x0898, Hi: 0x08d3, Stride: 1}, {Lo: 0x09fe, Hi: 0x09fe, Stride: 1},
			{Lo: 0x0c3c, Hi: 0x0c3c, Stride: 1}, {Lo: 0x0d3b, Hi: 0x0d3c, Stride: 1}, {Lo: 0x0eba, Hi: 0x0eba, Stride: 1},
			{Lo: 0x1715, Hi: 0x1715, Stride: 1}, {Lo: 0x1abf, Hi: 0x1ace, Stride: 1}, {Lo: 0x1df6, Hi: 0x1dfa, Stride: 1},
			{Lo: 0x32ff, Hi: 0x32ff, Stride: 1}, {Lo: 0xa7f2, Hi: 0xa7f4, Stride: 1}, {Lo: 0xa82c, Hi: 0xa82c, Stride: 1},
			{Lo: 0xab69, Hi: 0xab69, Stride: 1},
		},
		R32: []unicode.Range32{
			{Lo: 0x10781, Hi: 0x107ba, Stride: 1}, {Lo: 0x10d24, Hi: 0x10f85, Stride: 1}, {Lo: 0x11070, Hi: 0x11070, Stride: 1},
			{Lo: 0x1133b, Hi: 0x1133b, Stride: 1}, {Lo: 0x1145e, Hi: 0x1145e, Stride: 1}, {Lo: 0x11839, Hi: 0x11a99, Stride: 1},
			{Lo: 0x11d42, Hi: 0x11f42, Stride: 1}, {Lo: 0x16ff0, Hi: 0x16ff1, Stride: 1}, {Lo: 0x1e030, Hi: 0x1e4ef, Stride: 1},
			{Lo: 0x1f16c, Hi: 0x1f16c, Stride: 1}, {Lo: 0x1fbf0, Hi: 0x1fbf9, Stride: 1},
		},
	}
	// newerWord came with Unicode 15.1 and 16.
	newerWord = &unicode.RangeTable{
		R16: []unicode.Range16{
			{Lo: 0x0897, Hi: 0x0897, Stride: 1}, {Lo: 0x1c89, Hi: 0x1c8a, Stride: 1}, {Lo: 0xa7cb, Hi: 0xa7cd, Stride: 1},
			{Lo: 0xa7da, Hi: 0xa7dc, Stride: 1},
		},
		R32: []unicode.Range32{
			{Lo: 0x105c0, Hi: 0x105f3, Stride: 1}, {Lo: 0x10d40, Hi: 0x10d65, Stride: 1}, {Lo: 0x10d69, Hi: 0x10d6d, Stride: 1},
			{Lo: 0x10d6f, Hi: 0x10d85, Stride: 1}, {Lo: 0x10ec2, Hi: 0x10ec4, Stride: 1}, {Lo: 0x10efc, Hi: 0x10efc, Stride: 1},
			{Lo: 0x11380, Hi: 0x11389, Stride: 1}, {Lo: 0x1138b, Hi: 0x1138b, Stride: 1}, {Lo: 0x1138e, Hi: 0x1138e, Stride: 1},
			{Lo: 0x11390, Hi: 0x113b5, Stride: 1}, {Lo: 0x113b7, Hi: 0x113c0, Stride: 1}, {Lo: 0x113c2, Hi: 0x113c2, Stride: 1},
			{Lo: 0x113c5, Hi: 0x113c5, Stride: 1}, {Lo: 0x113c7, Hi: 0x113ca, Stride: 1}, {Lo: 0x113cc, Hi: 0x113d3, Stride: 1},
			{Lo: 0x113e1, Hi: 0x113e2, Stride: 1}, {Lo: 0x116d0, Hi: 0x116e3, Stride: 1}, {Lo: 0x11bc0, Hi: 0x11be0, Stride: 1},
			{Lo: 0x11bf0, Hi: 0x11bf9, Stride: 1}, {Lo: 0x11f5a, Hi: 0x11f5a, Stride: 1}, {Lo: 0x13460, Hi: 0x143fa, Stride: 1},
			{Lo: 0x16100, Hi: 0x16139, Stride: 1}, {Lo: 0x16d40, Hi: 0x16d6c, Stride: 1}, {Lo: 0x16d70, Hi: 0x16d79, Stride: 1},
			{Lo: 0x18cff, Hi: 0x18cff, Stride: 1}, {Lo: 0x1ccf0, Hi: 0x1ccf9, Stride: 1}, {Lo: 0x1e5d0, Hi: 0x1e5fa, Stride: 1},
			{Lo: 0x2ebf0, Hi: 0x2ee5d, Stride: 1},
		},
	}
)

// isOther reports whether the reference takes r for a control, format or private use character.
func isOther(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) && !unicode.Is(notOther, r)
}

// isPunctuation reports whether BertPreTokenizer makes r a word of its own: the categories P, and ASCII's symbols.
func isPunctuation(r rune) bool {
	switch {
	case r < 0x80:
		return '!' <= r && r <= '/' || ':' <= r && r <= '@' || '[' <= r && r <= '`' || '{' <= r && r <= '~'
	case r == 0x166d || r == 0x111c9: // were of category Po until Unicode 12 and 11
		return true
	default:
		return unicode.Is(unicode.P, r) && !unicode.Is(notPunctuation, r)
	}
}

// isNonspacing reports whether BertNormalizer strips r as an accent.
func isNonspacing(r rune) bool {
	return unicode.Is(unicode.Mn, r) && !unicode.Is(notNonspacing, r) ||
		r == 0x1734 // was Mn until Unicode 14
}

// isMark reports whether StripAccents drops r.
func isMark(r rune) bool {
	return unicode.Is(unicode.M, r) && !unicode.Is(notMark, r) ||
		r == 0x1cf2 || r == 0x1cf3 // were Mc until Unicode 12
}

// isWord reports whether \w of the reference's regular expressions matches r.
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic,
		unicode.Join_Control, newerWord)
}

// isChinese reports whether BertNormalizer puts spaces around r.
func isChinese(r rune) bool {
	return r >= 0x3400 && (r <= 0x4dbf || r >= 0x4e00 && r <= 0x9fff || r >= 0xf900 && r <= 0xfaff ||
		r >= 0x20000 && r <= 0x2a6df || r >= 0x2a700 && r <= 0x2b81f || r >= 0x2b920 && r <= 0x2ceaf ||
		r >= 0x2f800 && r <= 0x2fa1f)
}

// lower returns the lower case of r, which for U+0130 alone is two runes; second is 0 elsewhere. It knows nothing of
// context: a final sigma stays what it is.
func lower(r rune) (first, second rune) {
	switch {
	case r < 0x80:
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r, 0
	case r == 0x0130:
		return 'i', 0x0307
	}
	if l := unicode.ToLower(r); l != r {
		return l, 0
	}
	switch { // capitals of Unicode 16 and 17
	case r == 0xa7cb:
		return 0x0264, 0
	case r == 0xa7dc:
		return 0x019b, 0
	case r == 0x1c89, r == 0xa7cc, r == 0xa7ce, r == 0xa7d2, r == 0xa7d4, r == 0xa7da:
		return r + 1, 0
	case r >= 0x10d50 && r <= 0x10d65:
		return r + 0x20, 0
	case r >= 0x16ea0 && r <= 0x16eb8:
		return r + 0x1b, 0
	}
	return r, 0
}

// properties looks r up, where the reference's old tables know it; encoded begins with r. A Hangul syllable has no
// decomposition here.
func properties(r rune, encoded []byte, f norm.Form) (p norm.Properties, known bool) {
	if r < 0xa0 || unicode.Is(notNormalized, r) {
		return p, false
	}
	return f.Properties(encoded), true
}

// combiningClasses are the canonical combining classes of runes that have no decomposition.
var combiningClasses = &runeTable[uint8]{f: func(r rune) uint8 {
	p, known := properties(r, utf8.AppendRune(nil, r), norm.NFD)
	if !known {
		return 0
	}
	return p.CCC()
}}

const (
	hangulBase, hangulEnd             = 0xac00, 0xd7a4
	leadBase, vowelBase, trailBase    = 0x1100, 0x1161, 0x11a7
	leadCount, vowelCount, trailCount = 19, 21, 28
)

func isHangul(r rune) bool { return hangulBase <= r && r < hangulEnd }

// decompose appends the full decomposition under f, which is NFD or NFKD, of the rune r that encoded begins with. Order
// is left to the caller.
func decompose(dst []rune, r rune, encoded []byte, f norm.Form) []rune {
	if isHangul(r) {
		r -= hangulBase
		dst = append(dst, leadBase+r/(vowelCount*trailCount), vowelBase+r/trailCount%vowelCount)
		if trail := r % trailCount; trail != 0 {
			dst = append(dst, trailBase+trail)
		}
		return dst
	}
	p, known := properties(r, encoded, f)
	if !known || p.Decomposition() == nil {
		return append(dst, r)
	}
	for d := p.Decomposition(); len(d) > 0; {
		r, n := utf8.DecodeRune(d)
		dst = append(dst, r)
		d = d[n:]
	}
	return dst
}

// runeTable holds f of every code point, found out a block of 256 at a time when text first needs it. It is safe for
// concurrent use.
type runeTable[T any] struct {
	f      func(rune) T
	blocks [(unicode.MaxRune + 1) / 256]atomic.Pointer[[256]T]
}

func (t *runeTable[T]) at(r rune) T {
	block := t.blocks[r>>8].Load()
	if block == nil {
		block = t.fill(r >> 8)
	}
	return block[r&0xff]
}

func (t *runeTable[T]) fill(i rune) *[256]T {
	block := new([256]T)
	for j := range block {
		block[j] = t.f(i<<8 + rune(j))
	}
	t.blocks[i].Store(block)
	return block
}

// class is what pre-tokenizers ask of a rune.
type class uint16

const (
	classSpace class = 1 << iota
	classPunctuation
	classWord
	classLetter  // \p{L}
	classNumber  // \p{N}
	classSymbol  // [^\s\p{L}\p{N}], marks among them
	classMark    // \p{M}
	classUpper   // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
	classLower   // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
	classNumeric // what Digits sets apart
)

var classes = &runeTable[class]{f: classify}

func classify(r rune) (c class) {
	if isPunctuation(r) {
		c |= classPunctuation
	}
	if isWord(r) {
		c |= classWord
	}
	number := inNewer(r, unicode.N)
	if number || r >= 0x11de0 && r <= 0x11de9 || r >= 0x16ff4 && r <= 0x16ff6 { // of Unicode 17
		c |= classNumeric
	}
	switch {
	case unicode.IsSpace(r):
		c |= classSpace
	case inNewer(r, unicode.L):
		c |= classLetter
		if !inNewer(r, unicode.Ll) {
			c |= classUpper
		}
		if !inNewer(r, unicode.Lu) && !unicode.Is(unicode.Lt, r) {
			c |= classLower
		}
	case number:
		c |= classNumber
	case inNewer(r, unicode.M):
		c |= classSymbol | classMark | classUpper | classLower
	default:
		c |= classSymbol
	}
	return c
}
