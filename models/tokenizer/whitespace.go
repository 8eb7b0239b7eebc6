package tokenizer

// spaceSplit splits at spaces, which it drops.
type spaceSplit struct{}

func (spaceSplit) cuts() cuts { return cutAtSpaces }

func (spaceSplit) split(dst, src *pieces) {
	dst.splitEach(src, func(words []span, text []byte, at span) []span {
		return splitRuns(words, text, at, func(c class) class { return c & classSpace })
	})
}

// wordRuns is the expression \w+|[^\w\s]+ : runs of word characters, and runs of what is neither that nor space.
type wordRuns struct{}

func (wordRuns) cuts() cuts { return cutAtSpaces }

func (wordRuns) split(dst, src *pieces) {
	dst.splitEach(src, func(words []span, text []byte, at span) []span {
		return splitRuns(words, text, at, func(c class) class { return c & (classSpace | classWord) })
	})
}

// splitRuns appends the runs of runes that kind calls the same, but not those of spaces.
func splitRuns(words []span, text []byte, at span, kind func(class) class) []span {
	start, current := at.start, classSpace
	for i := at.start; i < at.end; {
		c, size := classAt(text, i)
		if k := kind(c); k != current {
			if start < i && current != classSpace {
				words = append(words, span{start, i})
			}
			start, current = i, k
		}
		i += size
	}
	if start < at.end && current != classSpace {
		words = append(words, span{start, at.end})
	}
	return words
}
