package tokenizer

import (
	"encoding/json"
	"unicode/utf8"
)

// byteLevel splits by the pattern of GPT-2, after putting a space before each word that has none. The reference then
// writes each byte as a character of its own; that is byteChars' part, or nobody's.
type byteLevel struct {
	addSpace bool
	scan     scan // nil: no split
}

// parseByteLevel returns the two pre-tokenizers that a ByteLevel comes to.
func parseByteLevel(at string, raw json.RawMessage) (preTokenizers, error) {
	f := struct {
		Type        string `json:"type"`
		AddSpace    *bool  `json:"add_prefix_space"`
		TrimOffsets *bool  `json:"trim_offsets"` // we give no offsets
		UseRegex    bool   `json:"use_regex"`
	}{UseRegex: true}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	switch {
	case f.AddSpace == nil:
		return nil, missing(at, "add_prefix_space")
	case f.TrimOffsets == nil:
		return nil, missing(at, "trim_offsets")
	}
	p := byteLevel{addSpace: *f.AddSpace}
	if f.UseRegex {
		p.scan = scanGPT2
	}
	return preTokenizers{p, byteChars{}}, nil
}

func (p byteLevel) cuts() cuts {
	if p.scan == nil {
		return cutNeutral
	}
	return cutAfterWords
}

func (p byteLevel) split(dst, src *pieces) {
	if !p.addSpace || allBegin(src, ' ') {
		dst.keepText(src)
		for _, w := range src.words {
			dst.words = p.appendWords(dst.words, src.text, w)
		}
		return
	}
	dst.newText(src)
	for _, w := range src.words {
		start := len(dst.own)
		if src.text[w.start] != ' ' {
			dst.own = append(dst.own, ' ')
		}
		dst.own = append(dst.own, src.text[w.start:w.end]...)
		dst.words = p.appendWords(dst.words, dst.own, span{start, len(dst.own)})
	}
	dst.text = dst.own
}

func allBegin(p *pieces, b byte) bool {
	for _, w := range p.words {
		if p.text[w.start] != b {
			return false
		}
	}
	return true
}

func (p byteLevel) appendWords(words []span, text []byte, at span) []span {
	if p.scan == nil {
		return append(words, at)
	}
	return appendScanned(words, text, at, p.scan)
}

// appendScanned appends the matches that cover text[at.start:at.end].
func appendScanned(words []span, text []byte, at span, scan scan) []span {
	for i := at.start; i < at.end; {
		n := scan(text[i:at.end])
		words = append(words, span{i, i + n})
		i += n
	}
	return words
}

// byteChars writes each byte of a word as one printable character. A vocabulary whose tokens are read back into bytes
// does without it.
type byteChars struct{}

func (byteChars) cuts() cuts { return cutNever }

func (byteChars) split(dst, src *pieces) {
	dst.newText(src)
	for _, w := range src.words {
		start := len(dst.own)
		for _, b := range src.text[w.start:w.end] {
			dst.own = utf8.AppendRune(dst.own, byteRunes[b])
		}
		dst.words = append(dst.words, span{start, len(dst.own)})
	}
	dst.text = dst.own
}

// byteRunes is the alphabet of GPT-2: bytes that are printable in Latin-1 stand for themselves, the others for U+0100
// and what follows, in order.
var byteRunes = func() (table [256]rune) {
	next := rune(0x100)
	for b := range table {
		if '!' <= b && b <= '~' || 0xa1 <= b && b <= 0xac || 0xae <= b {
			table[b] = rune(b)
		} else {
			table[b] = next
			next++
		}
	}
	return table
}()

var runeBytes = func() map[rune]byte {
	table := make(map[rune]byte, len(byteRunes))
	for b, r := range byteRunes {
		table[r] = byte(b)
	}
	return table
}()

// bytesOf returns the bytes that a token of a byte-level vocabulary stands for, or false for one that no text gives.
func bytesOf(token string) (string, bool) {
	out := make([]byte, 0, len(token))
	for _, r := range token {
		b, ok := runeBytes[r]
		if !ok {
			return "", false
		}
		out = append(out, b)
	}
	return string(out), true
}
