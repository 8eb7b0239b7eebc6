package tokenizer

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// compilePattern translates a pattern of the reference's regular expressions (Oniguruma, Ruby's syntax, Unicode 16) into
// Go's, which are of another Unicode version and take \s, \d and \w for ASCII. What Go's cannot say, or might say otherwise,
// is refused. Go's search allocates its answer; the patterns of known vocabularies do not come here.
func compilePattern(pattern string) (finder, error) {
	t := translator{in: pattern}
	if err := t.alternatives(); err != nil {
		return nil, fmt.Errorf("is not supported: %w", err)
	}
	if t.in != "" {
		return nil, errors.New("is not supported: it has a ) too many")
	}
	re, err := regexp.Compile(t.out.String())
	if err != nil {
		return nil, fmt.Errorf("is not supported: %w", err)
	}
	if re.MatchString("") {
		return nil, errors.New("matches the empty text, which splits every character off: want a pattern that does not")
	}
	return func(text []byte, b *budget) (span, bool) {
		var at []int
		switch {
		case b.spent:
		case b.affords(len(text)):
			at = re.FindIndex(text)
		default:
			at = re.FindReaderIndex(&counting{text, b})
		}
		if at == nil || b.spent {
			return span{}, false
		}
		return span{at[0], at[1]}, true
	}, nil
}

// translator reads a pattern from in and writes its translation to out.
type translator struct {
	in  string
	out strings.Builder
}

var errRemedy = errors.New("want literals, classes without classes in them, groups, | and greedy or lazy repetition, " +
	"or one of the known patterns (GPT-2, cl100k, o200k, Qwen2)")

func refuse(what string) error { return fmt.Errorf("%s: %w", what, errRemedy) }

func (t *translator) alternatives() error {
	for t.in != "" && t.in[0] != ')' {
		if t.in[0] == '|' {
			t.out.WriteByte('|')
			t.in = t.in[1:]
			continue
		}
		if err := t.atom(); err != nil {
			return err
		}
		if err := t.repetition(); err != nil {
			return err
		}
	}
	return nil
}

func (t *translator) atom() error {
	r, size := utf8.DecodeRuneInString(t.in)
	switch r {
	case '(':
		t.in = t.in[1:]
		if strings.HasPrefix(t.in, "?") && !strings.HasPrefix(t.in, "?:") {
			return refuse("(" + t.in[:min(3, len(t.in))])
		}
		t.in = strings.TrimPrefix(t.in, "?:")
		t.out.WriteString("(?:")
		if err := t.alternatives(); err != nil {
			return err
		}
		if t.in == "" {
			return errors.New("a ( has no )")
		}
		t.in = t.in[1:]
		t.out.WriteByte(')')
		return nil
	case '[':
		return t.class()
	case '\\':
		set, literal, err := t.escape(false)
		if err != nil {
			return err
		}
		if set != "" {
			t.out.WriteString("[" + set + "]")
		} else {
			t.out.WriteString(regexp.QuoteMeta(string(literal)))
		}
		return nil
	case '.':
		t.out.WriteByte('.')
	case '^', '$', '*', '+', '?', '{', '}', ']':
		return refuse(strconv.QuoteRune(r) + " at this place")
	default:
		t.out.WriteString(regexp.QuoteMeta(string(r)))
	}
	t.in = t.in[size:]
	return nil
}

var repetitions = regexp.MustCompile(`^(?:[*+?]|\{\d{1,3}\}|\{\d{1,3},\d{0,3}\})`)

func (t *translator) repetition() error {
	found := repetitions.FindString(t.in)
	if found == "" {
		return nil
	}
	t.out.WriteString(found)
	t.in = t.in[len(found):]
	if t.in == "" {
		return nil
	}
	if t.in[0] == '?' && found[0] != '{' {
		t.out.WriteByte('?')
		t.in = t.in[1:]
	} else if strings.IndexByte("?*+", t.in[0]) >= 0 || repetitions.MatchString(t.in) {
		return refuse(strconv.Quote(found + t.in[:1]))
	}
	return nil
}

func (t *translator) class() error {
	t.in = t.in[1:]
	t.out.WriteByte('[')
	if strings.HasPrefix(t.in, "^") {
		t.out.WriteByte('^')
		t.in = t.in[1:]
	}
	for first := true; ; first = false {
		if t.in == "" {
			return errors.New("a [ has no ]")
		}
		if t.in[0] == ']' {
			if first {
				return refuse("an empty class")
			}
			t.in = t.in[1:]
			t.out.WriteByte(']')
			return nil
		}
		set, low, err := t.member()
		if err != nil {
			return err
		}
		if set != "" {
			t.out.WriteString(set)
			if len(t.in) > 1 && t.in[0] == '-' && t.in[1] != ']' {
				return refuse("a range that begins with a set")
			}
			continue
		}
		high := low
		if len(t.in) > 1 && t.in[0] == '-' && t.in[1] != ']' {
			t.in = t.in[1:]
			if set, high, err = t.member(); err != nil {
				return err
			}
			if set != "" || high < low {
				return refuse("a range without an end above its beginning")
			}
		}
		t.out.WriteString(rangeOf(low, high))
	}
}

// member reads one character or set of a class.
func (t *translator) member() (set string, literal rune, err error) {
	r, size := utf8.DecodeRuneInString(t.in)
	switch {
	case r == '\\':
		return t.escape(true)
	case r == '[' || strings.HasPrefix(t.in, "&&"):
		return "", 0, refuse(strconv.Quote(t.in[:1]) + " in a class")
	}
	t.in = t.in[size:]
	return "", r, nil
}

var (
	codePoint = regexp.MustCompile(`^\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|x\{([0-9A-Fa-f]{1,6})\})`)
	property  = regexp.MustCompile(`^\\([pP])\{(\^?)(\w+)\}`)
	controls  = map[byte]rune{'n': '\n', 'r': '\r', 't': '\t', 'f': '\f', 'v': '\v', 'a': '\a', 'e': 0x1b}
)

// escape reads what begins with a backslash: a set, as members of a class, or a character.
func (t *translator) escape(inClass bool) (set string, literal rune, err error) {
	if m := codePoint.FindStringSubmatch(t.in); m != nil {
		value, _ := strconv.ParseUint(m[1]+m[2]+m[3], 16, 32)
		if value > unicode.MaxRune || !utf8.ValidRune(rune(value)) || m[1] != "" && value > 0x7f {
			return "", 0, refuse(m[0])
		}
		t.in = t.in[len(m[0]):]
		return "", rune(value), nil
	}
	if m := property.FindStringSubmatch(t.in); m != nil {
		is, ok := properties16[m[3]]
		if !ok {
			return "", 0, fmt.Errorf("%s: want one of %s", m[0], strings.Join(sortedKeys(properties16), ", "))
		}
		t.in = t.in[len(m[0]):]
		return rangesOf(m[3], is, (m[1] == "P") != (m[2] == "^")), 0, nil
	}
	if len(t.in) < 2 {
		return "", 0, errors.New("it ends with a backslash")
	}
	b := t.in[1]
	if is, ok := shorthands[b|0x20]; ok && isWord(rune(b)) {
		t.in = t.in[2:]
		name := string(b | 0x20)
		if name == "w" && inClass {
			name, is = "w in a class", isRubyWord
		}
		return rangesOf(name, is, b < 'a'), 0, nil
	}
	if r, ok := controls[b]; ok {
		t.in = t.in[2:]
		return "", r, nil
	}
	if b >= utf8.RuneSelf || isWord(rune(b)) {
		return "", 0, refuse(strconv.Quote(t.in[:2]))
	}
	t.in = t.in[2:]
	return "", rune(b), nil
}

var shorthands = map[byte]func(rune) bool{
	's': unicode.IsSpace,
	'd': func(r rune) bool { return inNewer(r, unicode.Nd) },
	'w': func(r rune) bool {
		return isRubyWord(r) || r == 0xb2 || r == 0xb3 || r == 0xb9 || 0xbc <= r && r <= 0xbe // but not in a class
	},
}

func isRubyWord(r rune) bool { return isWord(r) && !unicode.Is(unicode.Join_Control, r) }

// properties16 are those whose difference from Go's tables is known.
var properties16 = func() map[string]func(rune) bool {
	all := map[string]func(rune) bool{
		"Lt": unicode.IsTitle, "Z": func(r rune) bool { return unicode.Is(unicode.Z, r) },
	}
	for name, table := range map[string]*unicode.RangeTable{
		"L": unicode.L, "Lu": unicode.Lu, "Ll": unicode.Ll, "Lm": unicode.Lm, "Lo": unicode.Lo, "M": unicode.M, "N": unicode.N,
		"Nd": unicode.Nd, "P": unicode.P, "S": unicode.S, "Han": unicode.Han,
	} {
		all[name] = func(r rune) bool { return inNewer(r, table) }
	}
	for _, name := range []string{"Hiragana", "Katakana", "Hangul"} {
		table := unicode.Scripts[name]
		all[name] = func(r rune) bool { return unicode.Is(table, r) }
	}
	return all
}()

func sortedKeys(m map[string]func(rune) bool) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

var knownRanges sync.Map // by name and whether it is the complement

// rangesOf lists the code points of a set, or of all others, as members of a class.
func rangesOf(name string, is func(rune) bool, complement bool) string {
	key := fmt.Sprint(name, complement)
	if known, ok := knownRanges.Load(key); ok {
		return known.(string) //nolint:errcheck // the map holds nothing else
	}
	var out strings.Builder
	low := rune(-1)
	for r := rune(0); r <= unicode.MaxRune+1; r++ {
		in := r <= unicode.MaxRune && is(r) != complement
		if in && low < 0 {
			low = r
		} else if !in && low >= 0 {
			out.WriteString(rangeOf(low, r-1))
			low = -1
		}
	}
	knownRanges.Store(key, out.String())
	return out.String()
}

func rangeOf(low, high rune) string { return fmt.Sprintf(`\x{%x}-\x{%x}`, low, high) }
