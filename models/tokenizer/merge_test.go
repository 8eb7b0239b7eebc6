package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// randomMerges makes pairs of ids below alphabet, and of what those make.
func randomMerges(rng *rand.Rand, alphabet, count int) *merges {
	t := newMerges(count)
	for rank := range count {
		made := int32(alphabet + rank)
		t.put(rng.Int32N(made), rng.Int32N(made), merge{int32(rank), made})
	}
	return t
}

func TestShortAndLongWordsMergeAlike(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var heap []candidate
	for range 2000 {
		table := randomMerges(rng, 1+rng.IntN(4), 30)
		word := make([]symbol, 1+rng.IntN(60))
		links := make([]link, len(word))
		for i := range word {
			word[i].id = rng.Int32N(4)
			links[i] = link{word[i].id, int32(i - 1), int32(i + 1)}
		}
		links[len(links)-1].next = -1
		var short, long []int32
		for _, s := range table.mergeShort(word) {
			short = append(short, s.id)
		}
		heap = table.mergeLong(links, heap)
		for _, l := range links {
			if l.id != noValue {
				long = append(long, l.id)
			}
		}
		if !slices.Equal(short, long) {
			t.Fatalf("a short word merges into %v, a long one into %v", short, long)
		}
	}
}

// A text without a space is one word. Looking at all of it for each merge would take hours, which go test ends.
func TestMegabyteWithoutASpace(t *testing.T) {
	tok := loadGoldenFile(t, "bpe.jsonl.gz").build(t, "gpt2", loadVocabulary(t))
	for _, part := range []string{"a", "\U0001f44d", "shaingly"} {
		text := strings.Repeat(part, 1<<20/len(part))
		if n := len(tok.Encode(text).IDs); n == 0 || n > len(text) {
			t.Errorf("%d ids for a megabyte of %q", n, part)
		}
	}
}
