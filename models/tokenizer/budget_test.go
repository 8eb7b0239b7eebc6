package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// parsed is tinyFile with one top-level key replaced.
func parsed(t *testing.T, key, value string) *Tokenizer {
	t.Helper()
	tok, err := Parse(edited(t, key, value))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// A pattern that reads to the end of the text at each letter, as a few kilobytes of it take minutes.
func TestTextThatAPatternReadsOverAndOverIsGivenUp(t *testing.T) {
	const pattern = `x|\\p{L}[\\s\\S]*z`
	split := splitBy(pattern)
	for name, tok := range map[string]*Tokenizer{
		"split":      parsed(t, "pre_tokenizer", split),
		"sequence":   parsed(t, "pre_tokenizer", `{"type": "Sequence", "pretokenizers": [`+split+`, `+split+`]}`),
		"normalizer": parsed(t, "normalizer", `{"type": "Replace", "pattern": {"Regex": "`+pattern+`"}, "content": "b"}`),
	} {
		for _, text := range []string{strings.Repeat("ax", 40<<10), strings.Repeat("ax", 100<<10)} {
			for range 2 { // the same each time
				_, err := tok.TryAppendIDs(nil, text)
				if !errors.Is(err, ErrCostly) || !strings.Contains(err.Error(), fmt.Sprint(len(text))) {
					t.Errorf("%s: got %v for %d bytes, want ErrCostly, and how many they are", name, err, len(text))
				}
			}
			if _, err := tok.TryEncode(text); !errors.Is(err, ErrCostly) {
				t.Errorf("%s: TryEncode: got %v, want ErrCostly", name, err)
			}
		}
		// The text before costs the next nothing.
		if _, err := tok.TryEncode("ax"); err != nil {
			t.Errorf("%s: got %v for a short text, want no error", name, err)
		}
		if _, err := tok.TryEncode(strings.Repeat("ax", 1<<10)); err != nil {
			t.Errorf("%s: got %v for 2 KiB, want no error", name, err)
		}
	}
}

func TestOrdinaryPatternsReadAMegabyte(t *testing.T) {
	text := strings.Repeat("It's 12:30, and the kettle (a gift!) \u00e9t\u00e9 works\u2026\n", 1<<20/50)
	for _, pattern := range []string{`\\s+`, `\\w+|[^\\w\\s]+`, ` ?\\p{L}+| ?\\p{N}+|\\s+`, `[^\\n]*\\n`, `.`} {
		tok := parsed(t, "pre_tokenizer", splitBy(pattern))
		if _, err := tok.TryAppendIDs(nil, text); err != nil {
			t.Errorf("%s: got %v, want no error", pattern, err)
		}
	}
}

func TestCountedSearchesFindTheSame(t *testing.T) {
	text := []byte(strings.Repeat("It's 12:30, axaxaz \u00e9t\u00e9 works\u2026\n", 10))
	for _, pattern := range []string{`\s+`, `\w+|[^\w\s]+`, `x|\p{L}[\s\S]*z`, `a.*?z|.`, `(?:ax)+|\d{2}`} {
		find, err := compilePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		p := &splitter{find: find, behavior: isolated}
		all := span{0, len(text)}
		quick, counted := newBudget(len(text)), newBudget(len(text))
		counted.quick = 0
		want, got := p.appendWords(nil, text, all, &quick), p.appendWords(nil, text, all, &counted)
		if !slices.Equal(got, want) || quick.spent || counted.spent || counted.counted == newBudget(len(text)).counted {
			t.Errorf("%s: got %v with what is left of %+v, want %v", pattern, got, counted, want)
		}
	}
}

// Tokens that are spaces, and take the spaces around them. Looking at all of these for each would take hours, which go test ends.
func TestMegabytesOfSpacesThatAreTokens(t *testing.T) {
	const spaces = 4 << 20
	for _, c := range []struct {
		strips       string
		all, between int // ids
	}{
		{`"lstrip": true, "rstrip": false`, spaces, 8},
		{`"lstrip": false, "rstrip": true`, spaces, 8},
		{`"lstrip": true, "rstrip": true`, 1, 7}, // the first takes all, and the reference drops tokens of which nothing is left
	} {
		tok := parsed(t, "added_tokens", `[{"id": 1, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
			{"id": 9, "content": " ", "single_word": false, `+c.strips+`, "normalized": false, "special": true}]`)
		text := strings.Repeat(" ", spaces)
		around := len(tok.Encode("").IDs)
		if got := len(tok.Encode(text).IDs) - around; got != c.all {
			t.Errorf("%s: got %d ids for %d spaces, want %d", c.strips, got, spaces, c.all)
		}
		if got := len(tok.Encode("a   [SEP]  a \t a").IDs) - around; got < c.between {
			t.Errorf("%s: got %d ids, want at least %d: those of the words and of the spaces", c.strips, got, c.between)
		}
	}
}
