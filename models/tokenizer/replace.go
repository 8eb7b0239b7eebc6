package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// replace puts text in the place of every match of a pattern.
type replace struct {
	find    finder
	content string
	between cuts
}

func parseReplace(at string, raw json.RawMessage) (normalizer, error) {
	var f struct {
		Type    string `json:"type"`
		Pattern struct {
			String *string `json:"String"`
			Regex  *string `json:"Regex"`
		} `json:"pattern"`
		Content *string `json:"content"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Content == nil:
		return nil, missing(at, "content")
	case (f.Pattern.String == nil) == (f.Pattern.Regex == nil):
		return nil, fmt.Errorf("%s.pattern: want a String or a Regex", at)
	case f.Pattern.Regex != nil:
		n, err := newRegexReplace(*f.Pattern.Regex, *f.Content)
		if err != nil {
			return nil, fmt.Errorf("%s.pattern.Regex %q %w", at, *f.Pattern.Regex, err)
		}
		return n, nil
	case *f.Pattern.String == "":
		return nil, fmt.Errorf("%s.pattern.String is empty: want text to look for, or no such part", at)
	default:
		return newReplace(*f.Pattern.String, *f.Content), nil
	}
}

func newReplace(pattern, content string) *replace {
	n := &replace{content: content, between: cutBetweenWords}
	key := []byte(pattern)
	n.find = func(text []byte, _ *budget) (at span, ok bool) {
		i := bytes.Index(text, key)
		return span{i, i + len(key)}, i >= 0
	}
	for i := range key {
		if isASCIIWord(key[i]) || key[i] == ' ' {
			n.between = cutNever
		}
	}
	return n
}

// newRegexReplace knows the expressions that occur, for runs of spaces, without Go's regular expressions.
func newRegexReplace(pattern, content string) (*replace, error) {
	switch pattern {
	case " +", " {1,}":
		return newSpaceReplace(1, content), nil
	case " {2,}", "  +":
		return newSpaceReplace(2, content), nil
	}
	find, err := compilePattern(pattern)
	if err != nil {
		return nil, err
	}
	return &replace{find: find, content: content, between: cutNever}, nil
}

func newSpaceReplace(least int, content string) *replace {
	n := &replace{content: content, between: cutBetweenWords}
	if least == 1 && content != " " {
		n.between = cutNever // what stands in a word's place must still be a space
	}
	spaces := bytes.Repeat([]byte(" "), least)
	n.find = func(text []byte, _ *budget) (at span, ok bool) {
		start := bytes.Index(text, spaces)
		if start < 0 {
			return at, false
		}
		end := start + least
		for end < len(text) && text[end] == ' ' {
			end++
		}
		return span{start, end}, true
	}
	return n
}

func (n *replace) cuts() cuts { return n.between }

func (n *replace) appendNormal(dst, src []byte, s *scratch) []byte {
	at, ok := n.find(src, &s.budget)
	if ok && at.start == 0 && !s.follows {
		_, size := utf8.DecodeRune(src) // what is put in is aligned with the last character of the match
		s.shifted = s.shifted || n.content == "" || at.end > size
	}
	for ok {
		dst = append(append(dst, src[:at.start]...), n.content...)
		src = src[at.end:]
		at, ok = n.find(src, &s.budget)
	}
	return append(dst, src...)
}
