package tokenizer

import "unicode/utf8"

// scan returns the length of the match that text, which is not empty, begins with. The patterns written out below match
// something everywhere.
type scan func(text []byte) int

// The patterns of well-known vocabularies look ahead, which Go's regexp cannot, so each is known by its text and
// written out by hand.
const (
	patternGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

	// cl100k, as Llama 3 and many others have it, and with single digits as Qwen 2 has it.
	patternCL100K = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	patternO200K = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` +
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` +
		`\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

var scans = map[string]scan{
	patternGPT2:   scanGPT2,
	patternCL100K: func(text []byte) int { return scanCL100K(text, 3) },
	patternQwen2:  func(text []byte) int { return scanCL100K(text, 1) },
	patternO200K:  scanO200K,
	// The first, as tiktoken writes it.
	`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: scanGPT2,
}

func scanGPT2(text []byte) int {
	if n := contraction(text, false); n > 0 {
		return n
	}
	i := 0
	if text[0] == ' ' && len(text) > 1 {
		i = 1
	}
	c, size := classAt(text, i)
	if c&classSpace != 0 {
		return spaces(text)
	}
	return runOf(c&(classLetter|classNumber|classSymbol), text, i+size)
}

// scanCL100K takes at most digits numbers at once.
func scanCL100K(text []byte, digits int) int {
	if n := contraction(text, true); n > 0 {
		return n
	}
	c, size := classAt(text, 0)
	if c&classLetter != 0 {
		return runOf(classLetter, text, size)
	}
	if text[0] != '\r' && text[0] != '\n' && c&classNumber == 0 && len(text) > size {
		if next, n := classAt(text, size); next&classLetter != 0 {
			return runOf(classLetter, text, size+n)
		}
	}
	return scanRest(text, c, size, digits, false)
}

func scanO200K(text []byte) int {
	c, size := classAt(text, 0)
	joins := 0 // the length of the one character that may go before letters
	if c&(classLetter|classNumber) == 0 && text[0] != '\r' && text[0] != '\n' && size < len(text) {
		joins = size
	}
	// Each alternative is tried with the character before it, and then without.
	for _, cased := range [...]func([]byte, int) int{lowerEnd, upperEnd} {
		end := 0
		if joins > 0 {
			end = cased(text, joins)
		}
		if end == 0 {
			end = cased(text, 0)
		}
		if end > 0 {
			return end + contraction(text[end:], true)
		}
	}
	return scanRest(text, c, size, 3, true)
}

// lowerEnd matches upper*lower+ at text[i:]. Some runes are both, so the last of what upper* takes may have to serve as
// lower+. It returns 0 for no match.
func lowerEnd(text []byte, i int) int {
	both := 0
	for i < len(text) {
		c, size := classAt(text, i)
		if c&classUpper == 0 {
			break
		}
		i += size
		if c&classLower != 0 {
			both = i
		}
	}
	if i < len(text) {
		if c, size := classAt(text, i); c&classLower != 0 {
			return runOf(classLower, text, i+size)
		}
	}
	return both
}

// upperEnd matches upper+lower* at text[i:], or returns 0.
func upperEnd(text []byte, i int) int {
	end := runOf(classUpper, text, i)
	if end == i {
		return 0
	}
	return runOf(classLower, text, end)
}

// scanRest is what the cl100k and o200k patterns have in common: numbers, symbols and spaces. c and size are those of the
// first rune.
func scanRest(text []byte, c class, size, digits int, slashes bool) int {
	i := 0
	if text[0] == ' ' && len(text) > 1 {
		i = 1
		c, size = classAt(text, 1)
	}
	switch {
	case c&classSymbol != 0:
		i = runOf(classSymbol, text, i+size)
		for i < len(text) && (text[i] == '\r' || text[i] == '\n' || slashes && text[i] == '/') {
			i++
		}
		return i
	case i == 1: // only symbols are joined to the space before them
		return spacesByLine(text)
	case c&classNumber != 0:
		for end := size; ; end += size {
			if digits--; digits == 0 || end == len(text) {
				return end
			}
			if c, size = classAt(text, end); c&classNumber == 0 {
				return end
			}
		}
	default:
		return spacesByLine(text)
	}
}

// spacesByLine matches \s*[\r\n]+|\s+(?!\S)|\s+ where text begins with a space.
func spacesByLine(text []byte) int {
	end := runOf(classSpace, text, 0)
	for i := end; i > 0; i-- {
		if text[i-1] == '\r' || text[i-1] == '\n' {
			return i
		}
	}
	return spacesTo(text, end)
}

// spaces matches \s+(?!\S)|\s+ where text begins with a space.
func spaces(text []byte) int { return spacesTo(text, runOf(classSpace, text, 0)) }

// spacesTo leaves the last space to the word that follows, if there are others.
func spacesTo(text []byte, end int) int {
	if end == len(text) {
		return end
	}
	if _, last := utf8.DecodeLastRune(text[:end]); last < end {
		return end - last
	}
	return end
}

// runOf returns the end of the runes of one of the kinds at text[i:].
func runOf(kinds class, text []byte, i int) int {
	for i < len(text) {
		c, size := classAt(text, i)
		if c&kinds == 0 {
			break
		}
		i += size
	}
	return i
}

// contraction matches 's, 't, 're, 've, 'm, 'll or 'd, in any case if fold.
func contraction(text []byte, fold bool) int {
	if len(text) < 2 || text[0] != '\'' {
		return 0
	}
	a, b := text[1], byte(0)
	if len(text) > 2 {
		b = text[2]
	}
	if fold {
		if a == 0xc5 && b == 0xbf { // U+017F, another s
			return 3
		}
		a, b = lowerASCII(a), lowerASCII(b)
	}
	switch a {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if b == 'e' {
			return 3
		}
	case 'l':
		if b == 'l' {
			return 3
		}
	}
	return 0
}

func lowerASCII(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		b |= 0x20
	}
	return b
}
