package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// finder returns the first match in text, never an empty one, or false, as once the budget is spent.
type finder func(text []byte, b *budget) (at span, ok bool)

// behavior says what becomes of matches.
type behavior int

const (
	removed behavior = iota
	isolated
	mergedWithPrevious
	mergedWithNext
	contiguous // runs of matches are one word
)

var behaviors = map[string]behavior{
	"Removed": removed, "Isolated": isolated, "MergedWithPrevious": mergedWithPrevious, "MergedWithNext": mergedWithNext,
	"Contiguous": contiguous,
}

var behaviorNames = []string{"Contiguous", "Isolated", "MergedWithNext", "MergedWithPrevious", "Removed"}

// splitter cuts words at matches.
type splitter struct {
	find     finder
	behavior behavior
	invert   bool // what is between the matches counts as match, and the matches do not
	at       cuts
}

func (p *splitter) cuts() cuts { return p.at }

func (p *splitter) split(dst, src *pieces) {
	dst.keepText(src)
	for _, at := range src.words {
		dst.words = p.appendWords(dst.words, src.text, at, src.budget)
	}
	dst.first = src.first && len(dst.words) > 0 && dst.words[0].start == src.words[0].start
}

func (p *splitter) appendWords(words []span, text []byte, at span, b *budget) []span {
	c := cutter{behavior: p.behavior, begin: len(words), pending: -1}
	for i := at.start; i < at.end; {
		match, ok := p.find(text[i:at.end], b)
		if !ok {
			words = c.add(words, span{i, at.end}, p.invert)
			break
		}
		if match.start > 0 {
			words = c.add(words, span{i, i + match.start}, p.invert)
		}
		words = c.add(words, span{i + match.start, i + match.end}, !p.invert)
		i += match.end
	}
	return c.end(words, at.end)
}

// cutter turns matches, and what is between them, into words.
type cutter struct {
	behavior behavior
	begin    int  // the words of this text begin here
	before   bool // the part before was a match
	pending  int  // the start of a match that waits for the next part, or -1
}

func (c *cutter) add(words []span, part span, match bool) []span {
	before := c.before
	c.before = match
	joins := false
	switch c.behavior {
	case removed:
		if match {
			return words
		}
	case contiguous:
		joins = match == before
	case mergedWithPrevious:
		joins = match && !before
	case mergedWithNext:
		start := c.pending
		c.pending = -1
		switch {
		case match:
			c.pending = part.start
			if start < 0 {
				return words
			}
			part = span{start, part.start}
		case start >= 0:
			part.start = start
		}
	}
	if joins && len(words) > c.begin {
		words[len(words)-1].end = part.end
		return words
	}
	return append(words, part)
}

func (c *cutter) end(words []span, end int) []span {
	if c.pending >= 0 {
		words = append(words, span{c.pending, end})
	}
	return words
}

// scanned is the split by a pattern that is written out and matches everywhere.
type scanned struct{ scan scan }

func (scanned) cuts() cuts { return cutAfterWords }

func (p scanned) split(dst, src *pieces) {
	dst.keepText(src)
	for _, w := range src.words {
		dst.words = appendScanned(dst.words, src.text, w, p.scan)
	}
}

func parseSplit(at string, raw json.RawMessage) (preTokenizer, error) {
	var f struct {
		Type    string `json:"type"`
		Pattern struct {
			String *string `json:"String"`
			Regex  *string `json:"Regex"`
		} `json:"pattern"`
		Behavior *string `json:"behavior"`
		Invert   *bool   `json:"invert"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	switch {
	case (f.Pattern.String == nil) == (f.Pattern.Regex == nil):
		return nil, fmt.Errorf("%s.pattern: want a String or a Regex", at)
	case f.Behavior == nil:
		return nil, missing(at, "behavior")
	case f.Invert == nil:
		return nil, missing(at, "invert")
	}
	b, ok := behaviors[*f.Behavior]
	if !ok {
		return nil, unsupported(at+".behavior", *f.Behavior, behaviorNames...)
	}
	if f.Pattern.String != nil {
		if *f.Pattern.String == "" {
			return nil, fmt.Errorf("%s.pattern.String is empty: want at least one character", at)
		}
		return newLiteralSplit(*f.Pattern.String, b, *f.Invert), nil
	}
	if scan, ok := scans[*f.Pattern.Regex]; ok {
		if b == isolated || b == removed && *f.Invert {
			return scanned{scan}, nil
		}
		find := func(text []byte, _ *budget) (span, bool) { return span{0, scan(text)}, true }
		return &splitter{find: find, behavior: b, invert: *f.Invert, at: cutNever}, nil
	}
	find, err := compilePattern(*f.Pattern.Regex)
	if err != nil {
		return nil, fmt.Errorf("%s.pattern.Regex %q %w", at, *f.Pattern.Regex, err)
	}
	return &splitter{find: find, behavior: b, invert: *f.Invert, at: cutNever}, nil
}

func newLiteralSplit(literal string, b behavior, invert bool) *splitter {
	key := []byte(literal)
	p := &splitter{behavior: b, invert: invert, at: cutNever, find: func(text []byte, _ *budget) (span, bool) {
		i := bytes.Index(text, key)
		return span{i, i + len(key)}, i >= 0
	}}
	switch {
	case literal == " " && !invert && (b == removed || b == isolated || b == mergedWithNext):
		p.at = cutAtSpaces
	case bytes.IndexByte(key, ' ') < 0:
		p.at = cutNeutral
	}
	return p
}

// newClassSplit is a split at each rune of one of the kinds.
func newClassSplit(kinds class, b behavior) *splitter {
	return &splitter{behavior: b, at: cutNeutral, find: func(text []byte, _ *budget) (span, bool) {
		for i := 0; i < len(text); {
			c, size := classAt(text, i)
			if c&kinds != 0 {
				return span{i, i + size}, true
			}
			i += size
		}
		return span{}, false
	}}
}

func parseDigits(at string, raw json.RawMessage) (preTokenizer, error) {
	var f struct {
		Type       string `json:"type"`
		Individual *bool  `json:"individual_digits"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	if f.Individual == nil {
		return nil, missing(at, "individual_digits")
	}
	if *f.Individual {
		return newClassSplit(classNumeric, isolated), nil
	}
	return newClassSplit(classNumeric, contiguous), nil
}

func parsePunctuation(at string, raw json.RawMessage) (preTokenizer, error) {
	f := struct {
		Type     string `json:"type"`
		Behavior string `json:"behavior"`
	}{Behavior: "Isolated"}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	b, ok := behaviors[f.Behavior]
	if !ok {
		return nil, unsupported(at+".behavior", f.Behavior, behaviorNames...)
	}
	return newClassSplit(classPunctuation, b), nil
}

func parseCharDelimiterSplit(at string, raw json.RawMessage) (preTokenizer, error) {
	var f struct {
		Type      string `json:"type"`
		Delimiter string `json:"delimiter"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	if _, n := utf8.DecodeRuneInString(f.Delimiter); n == 0 || n != len(f.Delimiter) {
		return nil, fmt.Errorf("%s.delimiter is %q: want one character", at, f.Delimiter)
	}
	return newLiteralSplit(f.Delimiter, removed, false), nil
}
