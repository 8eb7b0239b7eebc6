package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// replace puts text in the place of every match of a pattern.
type replace struct {
	find    func(text []byte) (start, end int) // start is -1 where there is none
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
	n.find = func(text []byte) (start, end int) {
		i := bytes.Index(text, key)
		return i, i + len(key)
	}
	for i := range key {
		if isASCIIWord(key[i]) || key[i] == ' ' {
			n.between = cutNever
		}
	}
	return n
}

// spaceRun is the expression that occurs: a run of spaces from a certain length.
var spaceRun = regexp.MustCompile(`^( *) (\+|\{[12],\})$`)

func newRegexReplace(pattern, content string) (*replace, error) {
	if m := spaceRun.FindStringSubmatch(pattern); m != nil {
		least := len(m[1]) + 1
		if m[2] == "{2,}" {
			least++
		}
		return newSpaceReplace(least, content), nil
	}
	re, err := translate(pattern)
	if err != nil {
		return nil, err
	}
	n := &replace{content: content, between: cutNever}
	n.find = func(text []byte) (start, end int) {
		m := re.FindIndex(text)
		if m == nil {
			return -1, -1
		}
		return m[0], m[1]
	}
	return n, nil
}

func newSpaceReplace(least int, content string) *replace {
	n := &replace{content: content, between: cutBetweenWords}
	if least == 1 && content != " " {
		n.between = cutNever // what stands in a word's place must still be a space
	}
	spaces := bytes.Repeat([]byte(" "), least)
	n.find = func(text []byte) (start, end int) {
		start = bytes.Index(text, spaces)
		if start < 0 {
			return -1, -1
		}
		end = start + least
		for end < len(text) && text[end] == ' ' {
			end++
		}
		return start, end
	}
	return n
}

func (n *replace) cuts() cuts { return n.between }

func (n *replace) appendNormal(dst, src []byte, s *scratch) []byte {
	if !s.follows {
		if start, end := n.find(src); start == 0 {
			_, size := utf8.DecodeRune(src)
			s.shifted = s.shifted || n.content == "" || end > size
		}
	}
	for {
		start, end := n.find(src)
		if start < 0 {
			return append(dst, src...)
		}
		dst = append(append(dst, src[:start]...), n.content...)
		src = src[end:]
	}
}

// unicodeSpace is what \s of the reference's expressions matches.
const unicodeSpace = `\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}`

// translate takes an expression of Oniguruma's to one of Go's, as far as both surely mean the same: characters, \s,
// simple classes, groups, alternatives, and greedy quantifiers of a single character.
func translate(pattern string) (*regexp.Regexp, error) {
	var b strings.Builder
	const quantifiers = "*+?{"
	atom, repeated := false, false // what stands before: something to repeat; its quantifier
	for rest := pattern; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		piece := regexp.QuoteMeta(rest[:size])
		isAtom := true
		switch r {
		case '\\':
			var err error
			if piece, size, err = translateEscape(rest, false); err != nil {
				return nil, err
			}
		case '[':
			var err error
			if piece, size, err = translateClass(rest); err != nil {
				return nil, err
			}
		case '(', ')', '|':
			if piece = string(r); strings.HasPrefix(rest, "(?:") {
				piece, size = "(?:", 3
			} else if strings.HasPrefix(rest, "(?") {
				return nil, fmt.Errorf("has %q, which is not supported: want groups (?:…)", rest[:min(3, len(rest))])
			}
			isAtom = false
		case '*', '+', '?', '{':
			if !atom || repeated {
				return nil, fmt.Errorf("repeats %q, which is not supported: want quantifiers of single characters only", rest)
			}
			if piece = string(r); r == '{' {
				if piece = quantifier.FindString(rest); piece == "" {
					return nil, fmt.Errorf("has %q, which is not supported: want {n}, {n,} or {n,m}", rest)
				}
				size = len(piece)
			}
			b.WriteString(piece)
			rest, repeated = rest[size:], true
			continue
		case '.', '^', '$', ']', '}':
			return nil, fmt.Errorf("has %q, which is not supported: want characters, \\s, [classes], (?:groups), | and one of %s", r, quantifiers)
		}
		b.WriteString(piece)
		rest, atom, repeated = rest[size:], isAtom, false
	}
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, err
	}
	if re.MatchString("") {
		return nil, fmt.Errorf("matches the empty text, which is not supported: want at least one character")
	}
	return re, nil
}

var quantifier = regexp.MustCompile(`^\{[0-9]{1,3}(,[0-9]{0,3})?\}`)

// translateEscape reads the escape that text begins with.
func translateEscape(text string, inClass bool) (piece string, size int, err error) {
	if len(text) > 1 {
		switch c := text[1]; {
		case c == 's' && inClass:
			return unicodeSpace, 2, nil
		case c == 's':
			return "[" + unicodeSpace + "]", 2, nil
		case c == 't' || c == 'n' || c == 'r':
			return text[:2], 2, nil
		case c > ' ' && c < 0x7f && !isASCIIWord(c) && c != '_':
			return `\` + string(rune(c)), 2, nil
		}
	}
	return "", 0, fmt.Errorf("has %q, which is not supported: want \\s, \\t, \\n, \\r or an escaped sign", text[:min(2, len(text))])
}

// translateClass reads the class that text begins with: characters, ranges, escapes.
func translateClass(text string) (piece string, size int, err error) {
	var b strings.Builder
	b.WriteByte('[')
	i := 1
	if strings.HasPrefix(text, "[^") {
		b.WriteByte('^')
		i++
	}
	for first := true; i < len(text); first = false {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == ']' && !first:
			b.WriteByte(']')
			return b.String(), i + 1, nil
		case r == '\\':
			var escaped string
			if escaped, n, err = translateEscape(text[i:], true); err != nil {
				return "", 0, err
			}
			b.WriteString(escaped)
		case r == '[' || r == ']' || r == '&' || r == '^' || r == '-' && (first || strings.HasPrefix(text[i+1:], "]")):
			return "", 0, fmt.Errorf("has %q in a class, which is not supported: escape it", r)
		default:
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	return "", 0, fmt.Errorf("has a class without end")
}
