package tokenizer

import (
	"slices"
	"testing"
)

func TestWindowsDoNotChangeTheIDs(t *testing.T) {
	g, base := loadGoldenFile(t, "bpe.jsonl.gz"), loadVocabulary(t)
	for i := range g.cases {
		c := &g.cases[i]
		text := c.text()
		if len(text) > 20_000 || i%4 != 0 && c.Group != "pieces" {
			continue
		}
		tok := *g.build(t, c.Config, base)
		for _, size := range []int{1, 7, 64} {
			tok.windowBytes = size
			if !c.matches(tok.Encode(text)) {
				t.Fatalf("%s, windows of %d bytes: Encode(%.200q) = %v, want %v", c.Config, size, text, head(tok.Encode(text).IDs), head(c.IDs))
			}
		}
	}
}

func TestWindowsEndOnlyWhereTheyMay(t *testing.T) {
	for _, c := range []struct {
		cuts cuts
		text string
		size int
		want []int
	}{
		{cutAtSpaces, "ab cd  ef", 4, []int{2, 5, 9}},
		{cutAfterWords, "ab cd  ef", 4, []int{2, 5, 9}},
		{cutAfterWords, "ab!  .  c d", 3, []int{9, 11}},
		{cutAfterWords, "    ", 2, []int{4}},
		{cutAtSpaces, "abcdefgh i", 3, []int{8, 10}},
		{cutNever, "a b c", 1, []int{5}},
		{cutNeutral, "a b c", 1, []int{5}},
	} {
		var got []int
		for at := 0; at < len(c.text); {
			at += c.cuts.windowEnd([]byte(c.text[at:]), c.size)
			got = append(got, at)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("cuts %d, windows of %d bytes of %q end at %v, want %v", c.cuts, c.size, c.text, got, c.want)
		}
	}
}
