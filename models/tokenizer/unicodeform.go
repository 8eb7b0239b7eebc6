package tokenizer

import (
	"cmp"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// unicodeForm is NFC, NFD, NFKC or NFKD of Unicode Standard Annex 15 as of Unicode 9. x/text has newer tables and breaks
// up long runs of marks, so only its tables are used, and those filtered.
type unicodeForm struct {
	form    norm.Form // NFD or NFKD
	compose bool
}

func newUnicodeForm(name string) unicodeForm {
	switch name {
	case "NFC":
		return unicodeForm{norm.NFD, true}
	case "NFKC":
		return unicodeForm{norm.NFKD, true}
	case "NFKD":
		return unicodeForm{norm.NFKD, false}
	default:
		return unicodeForm{norm.NFD, false}
	}
}

// mark is a decomposed rune with its combining class.
type mark struct {
	r     rune
	class uint8
}

// cuts: a space is joined to nothing before it.
func (u unicodeForm) cuts() cuts { return cutNeutral }

func (u unicodeForm) appendNormal(dst, src []byte, s *scratch) []byte {
	if isASCII(src) {
		return append(dst, src...)
	}
	s.marks = s.marks[:0]
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		s.runes = decompose(s.runes[:0], r, src[i:], u.form)
		for _, d := range s.runes {
			s.marks = append(s.marks, mark{d, combiningClasses.at(d)})
		}
		i += n
	}
	reorder(s.marks)
	if u.compose {
		s.marks = compose(s.marks)
	}
	for _, m := range s.marks {
		dst = utf8.AppendRune(dst, m.r)
	}
	return dst
}

func isASCII(text []byte) bool {
	for _, b := range text {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// reorder brings every run of marks between starters into canonical order.
func reorder(marks []mark) {
	for len(marks) > 0 {
		n := slices.IndexFunc(marks, func(m mark) bool { return m.class == 0 })
		if n < 0 {
			n = len(marks)
		}
		sortMarks(marks[:n])
		marks = marks[min(n+1, len(marks)):]
	}
}

func sortMarks(marks []mark) {
	if len(marks) > 1 {
		slices.SortStableFunc(marks, func(a, b mark) int { return cmp.Compare(a.class, b.class) })
	}
}

// compose joins each starter with the following marks that are not blocked from it, in place.
func compose(marks []mark) []mark {
	pairs := composites()
	out, starter := marks[:0], -1
	for _, m := range marks {
		if starter >= 0 {
			last := len(out) - 1
			if last == starter || out[last].class < m.class {
				if c, ok := composed(pairs, out[starter].r, m.r); ok {
					out[starter].r = c
					continue
				}
			}
		}
		if m.class == 0 {
			starter = len(out)
		}
		out = append(out, m)
	}
	return out
}

func composed(pairs map[[2]rune]rune, a, b rune) (rune, bool) {
	if lead, vowel := a-leadBase, b-vowelBase; 0 <= lead && lead < leadCount && 0 <= vowel && vowel < vowelCount {
		return hangulBase + (lead*vowelCount+vowel)*trailCount, true
	}
	if trail := b - trailBase; 0 < trail && trail < trailCount && isHangul(a) && (a-hangulBase)%trailCount == 0 {
		return a + trail, true
	}
	c, ok := pairs[[2]rune{a, b}]
	return c, ok
}

// composites maps pairs to their primary composite. x/text does not give its own map away, so each composite is taken
// apart again: all but the last rune of its decomposition, composed, and the last.
var composites = sync.OnceValue(func() map[[2]rune]rune {
	pairs := make(map[[2]rune]rune)
	for r := rune(0xc0); r <= unicode.MaxRune; r++ {
		if isHangul(r) || r >= 0xd800 && r < 0xe000 {
			continue
		}
		whole := string(r)
		p, known := properties(r, []byte(whole), norm.NFD)
		if !known || len(p.Decomposition()) == 0 || norm.NFC.String(whole) != whole {
			continue
		}
		parts := p.Decomposition()
		last, n := utf8.DecodeLastRune(parts)
		first := norm.NFC.Bytes(parts[:len(parts)-n])
		if a, n := utf8.DecodeRune(first); n == len(first) {
			pairs[[2]rune{a, last}] = r
		}
	}
	return pairs
})
