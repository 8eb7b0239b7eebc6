package tokenizer

import (
	"encoding/json"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// bertNormalizer is four steps in one pass: clean, set Chinese characters apart, decompose and strip accents, lower case.
//
// Only a mark that stripping leaves in place can move, by canonical ordering, and such marks are rare. So each rune has
// one answer of its own, kept in a table, and a run that begins with such a mark goes the long way.
type bertNormalizer struct {
	clean, chinese, strip, lower bool

	ascii   [utf8.RuneSelf]byte
	answers runeTable[answer]
}

// answer is the rune to write, or one of the constants.
type answer rune

const (
	answerDrop    answer = -1 - iota // write nothing
	answerChinese                    // write the rune between spaces
	answerLong                       // see appendRun
)

const asciiDrop = 0xff

func parseBertNormalizer(at string, raw json.RawMessage) (normalizer, error) {
	var f struct {
		Type    string `json:"type"`
		Clean   *bool  `json:"clean_text"`
		Chinese *bool  `json:"handle_chinese_chars"`
		Strip   *bool  `json:"strip_accents"` // null: as lowercase
		Lower   *bool  `json:"lowercase"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Clean == nil:
		return nil, missing(at, "clean_text")
	case f.Chinese == nil:
		return nil, missing(at, "handle_chinese_chars")
	case f.Lower == nil:
		return nil, missing(at, "lowercase")
	}
	if f.Strip == nil {
		f.Strip = f.Lower
	}
	return newBertNormalizer(*f.Clean, *f.Chinese, *f.Strip, *f.Lower), nil
}

func newBertNormalizer(clean, chinese, strip, lower bool) *bertNormalizer {
	n := &bertNormalizer{clean: clean, chinese: chinese, strip: strip, lower: lower}
	n.answers.f = n.answer
	for i := range n.ascii {
		n.ascii[i] = asciiDrop
		if a := n.answer(rune(i)); a != answerDrop {
			n.ascii[i] = byte(a)
		}
	}
	return n
}

// cuts: a space is a starter, which no accent moves across.
func (n *bertNormalizer) cuts() cuts { return cutNeutral }

// isRemoved reports whether cleaning drops r.
func isRemoved(r rune) bool {
	switch r {
	case '\t', '\n', '\r':
		return false
	case utf8.RuneError:
		return true
	}
	return isOther(r)
}

func (n *bertNormalizer) answer(r rune) answer {
	if n.clean {
		if isRemoved(r) {
			return answerDrop
		}
		if unicode.IsSpace(r) {
			return ' '
		}
	}
	out := []rune{r}
	if n.strip {
		out = decompose(nil, r, utf8.AppendRune(nil, r), norm.NFD)
		if slices.ContainsFunc(out, func(r rune) bool { return !isNonspacing(r) && combiningClasses.at(r) != 0 }) {
			return answerLong
		}
		out = slices.DeleteFunc(out, isNonspacing)
	}
	if len(out) == 0 {
		return answerDrop
	}
	if len(out) > 1 {
		return answerLong
	}
	first := out[0]
	if n.lower {
		var second rune
		if first, second = lower(first); second != 0 {
			return answerLong
		}
	}
	if n.chinese && isChinese(r) {
		if first == r {
			return answerChinese
		}
		return answerLong
	}
	return answer(first)
}

func (n *bertNormalizer) appendNormal(dst, src []byte, s *scratch) []byte {
	if r, size := utf8.DecodeRune(src); size > 0 && (n.answers.at(r) == answerDrop || n.answers.at(r) == answerLong) {
		s.shifted = s.shifted || n.dropsFirst(src, s)
	}
	for i := 0; i < len(src); {
		if src[i] < utf8.RuneSelf {
			var used int
			dst, used = n.appendASCII(dst, src[i:])
			i += used
			continue
		}
		r, size := utf8.DecodeRune(src[i:])
		switch a := n.answers.at(r); a {
		case answerDrop:
			i += size
		case answerChinese:
			dst = append(dst, ' ')
			dst = append(dst, src[i:i+size]...)
			dst = append(dst, ' ')
			i += size
		case answerLong:
			var used int
			dst, used = n.appendRun(dst, src[i:], s)
			i += used
		default:
			dst = utf8.AppendRune(dst, rune(a))
			i += size
		}
	}
	return dst
}

// dropsFirst says whether nothing is left of what src begins with. Stripping drops by place, after the marks are in their order: what comes first
// then stands for the first character, whichever it was.
func (n *bertNormalizer) dropsFirst(src []byte, s *scratch) bool {
	if r, _ := utf8.DecodeRune(src); !n.strip || n.clean && isRemoved(r) {
		return n.answers.at(r) == answerDrop
	}
	least, dropped := 256, false
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		i += size
		if n.clean && isRemoved(r) {
			continue
		}
		s.runes = decompose(s.runes[:0], r, src[i-size:], norm.NFD)
		for _, d := range s.runes {
			class := int(combiningClasses.at(d))
			if class < least && (class > 0 || least == 256) {
				least, dropped = class, isNonspacing(d)
			}
			if class == 0 {
				return dropped
			}
		}
	}
	return dropped
}

// appendASCII normalizes src up to its first byte that is not ASCII, and returns how far that is.
func (n *bertNormalizer) appendASCII(dst, src []byte) ([]byte, int) {
	length := len(dst)
	out := slices.Grow(dst, len(src))[:length+len(src)]
	for i, b := range src {
		if b >= utf8.RuneSelf {
			return out[:length], i
		}
		a := n.ascii[b]
		out[length] = a
		if a != asciiDrop {
			length++
		}
	}
	return out[:length], len(src)
}

// appendRun takes src rune by rune through every step, until no mark waits for its place. It returns how many bytes it
// took.
func (n *bertNormalizer) appendRun(dst, src []byte, s *scratch) ([]byte, int) {
	s.marks = s.marks[:0]
	i := 0
	for i == 0 || i < len(src) && len(s.marks) > 0 {
		r, size := utf8.DecodeRune(src[i:])
		i += size
		switch {
		case n.clean && isRemoved(r):
		case n.clean && unicode.IsSpace(r):
			dst = append(n.appendMarks(dst, s), ' ')
		case n.chinese && isChinese(r):
			dst = append(n.appendMarks(dst, s), ' ')
			dst = n.appendRune(dst, r, src[i-size:], s)
			dst = append(n.appendMarks(dst, s), ' ')
		default:
			dst = n.appendRune(dst, r, src[i-size:], s)
		}
	}
	return n.appendMarks(dst, s), i
}

// appendRune strips and lowers r, which encoded begins with. A mark is kept back until the next starter.
func (n *bertNormalizer) appendRune(dst []byte, r rune, encoded []byte, s *scratch) []byte {
	if !n.strip {
		return n.appendCased(dst, r)
	}
	s.runes = decompose(s.runes[:0], r, encoded, norm.NFD)
	for _, d := range s.runes {
		class, dropped := combiningClasses.at(d), isNonspacing(d)
		if class == 0 {
			dst = n.appendMarks(dst, s)
			if !dropped {
				dst = n.appendCased(dst, d)
			}
		} else if !dropped {
			s.marks = append(s.marks, mark{d, class})
		}
	}
	return dst
}

func (n *bertNormalizer) appendMarks(dst []byte, s *scratch) []byte {
	sortMarks(s.marks)
	for _, m := range s.marks {
		dst = n.appendCased(dst, m.r)
	}
	s.marks = s.marks[:0]
	return dst
}

func (n *bertNormalizer) appendCased(dst []byte, r rune) []byte {
	if n.lower {
		return appendLower(dst, r)
	}
	return utf8.AppendRune(dst, r)
}
