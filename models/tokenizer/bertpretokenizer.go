package tokenizer

import "unicode/utf8"

// bertPreTokenizer splits at spaces, which it drops, and makes each punctuation character a word.
type bertPreTokenizer struct{}

func (bertPreTokenizer) cuts() cuts { return cutAtSpaces }

func (bertPreTokenizer) split(dst, src *pieces) { dst.splitEach(src, splitBert) }

func splitBert(words []span, text []byte, at span) []span {
	ends := func(c class) bool { return c&(classSpace|classPunctuation) != 0 }
	start := at.start
	for i := at.start; i < at.end; {
		c, size := classAt(text, i)
		if ends(c) {
			if start < i {
				words = append(words, span{start, i})
			}
			start = i + size
			if c&classPunctuation != 0 {
				words = append(words, span{i, start})
			}
		}
		i += size
	}
	if start < at.end {
		words = append(words, span{start, at.end})
	}
	return words
}

// asciiClasses spares most text the decoding of runes.
var asciiClasses = func() (table [utf8.RuneSelf]class) {
	for i := range table {
		table[i] = classify(rune(i))
	}
	return table
}()

// classAt returns the class and the size of the rune at text[i].
func classAt(text []byte, i int) (class, int) {
	if b := text[i]; b < utf8.RuneSelf {
		return asciiClasses[b], 1
	}
	r, size := utf8.DecodeRune(text[i:])
	return classes.at(r), size
}
