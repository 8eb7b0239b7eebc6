package tokenizer

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// eachWord is a model with an id for each word, so that ids tell of every difference between words.
type eachWord struct{ model }

func (eachWord) appendIDs(dst []int64, word []byte, _ int, _ *scratch) []int64 {
	hash := fnv.New32a()
	_, _ = hash.Write(word)
	return append(dst, int64(hash.Sum32()))
}

// Whatever a part says of where texts may be cut must hold for it in every company: a wrong answer changes ids in texts that are longer than a window.
func TestNoPartIsCutWhereItsWordsWouldChange(t *testing.T) {
	normalizers := []string{
		`null`, `{"type":"Lowercase"}`, `{"type":"StripAccents"}`, `{"type":"NFC"}`, `{"type":"NFD"}`, `{"type":"NFKC"}`, `{"type":"Nmt"}`,
		`{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}`,
		`{"type":"Prepend","prepend":"▁"}`, `{"type":"Strip","strip_left":true,"strip_right":true}`, `{"type":"Strip","strip_left":true,"strip_right":false}`,
		`{"type":"Replace","pattern":{"String":"."},"content":"!!"}`, `{"type":"Replace","pattern":{"String":"..."},"content":"…"}`,
		`{"type":"Replace","pattern":{"String":" "},"content":"▁"}`, `{"type":"Replace","pattern":{"String":"a b"},"content":"x"}`,
		`{"type":"Replace","pattern":{"String":". ."},"content":"x"}`, `{"type":"Replace","pattern":{"String":"ab"},"content":"c d"}`,
		`{"type":"Replace","pattern":{"Regex":" +"},"content":"▁"}`, `{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}`,
		`{"type":"Replace","pattern":{"Regex":" {2,}"},"content":"▁"}`, `{"type":"Replace","pattern":{"Regex":"a b"},"content":"x"}`,
		`{"type":"Replace","pattern":{"Regex":"[.!] *"},"content":"-"}`,
		`{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}`,
		`{"type":"Sequence","normalizers":[{"type":"StripAccents"},{"type":"Prepend","prepend":"▁"}]}`,
		`{"type":"Sequence","normalizers":[{"type":"Nmt"},{"type":"Prepend","prepend":"▁"}]}`,
		`{"type":"Sequence","normalizers":[{"type":"Strip","strip_left":true,"strip_right":true},{"type":"Lowercase"}]}`,
	}
	preTokenizers := []string{
		`null`, `{"type":"BertPreTokenizer"}`, `{"type":"Whitespace"}`, `{"type":"WhitespaceSplit"}`,
		`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`,
		`{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`,
		`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}`,
		`{"type":"CharDelimiterSplit","delimiter":" "}`, `{"type":"CharDelimiterSplit","delimiter":"."}`, `{"type":"Digits","individual_digits":false}`,
		`{"type":"Digits","individual_digits":true}`, `{"type":"Punctuation","behavior":"Isolated"}`, `{"type":"Punctuation","behavior":"MergedWithNext"}`,
		`{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}`, `{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}`,
		`{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false}`,
		`{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}]}`,
		`{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]}`,
	}
	for _, behavior := range []string{"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"} {
		for _, pattern := range []string{`{"String":" "}`, `{"Regex":" +"}`, `{"Regex":"\\s+"}`, `{"String":"."}`, `{"Regex":"\\w+|[^\\w\\s]+"}`} {
			for _, invert := range []bool{false, true} {
				preTokenizers = append(preTokenizers, fmt.Sprintf(`{"type":"Split","pattern":%s,"behavior":%q,"invert":%t}`, pattern, behavior, invert))
			}
		}
	}
	// These are scanned.
	for _, pattern := range slices.Sorted(maps.Keys(scans)) {
		preTokenizers = append(preTokenizers, fmt.Sprintf(`{"type":"Split","pattern":{"Regex":%s},"behavior":"Isolated","invert":false}`, mustMarshal(t, pattern)))
	}
	random := rand.New(rand.NewPCG(1, 1))
	alphabet := []string{"a", "b", "ab", "B", "7", " ", " ", " ", "  ", "   ", "a b", ".", "...", ". .", "!", "'s", "\n", " \n", "\t", "é", "e\u0301", "\u0301", "\u00a0", "▁", "中", "\u3000"}
	texts := []string{"\u0301 a b", "\u0001 a b"} // of whose first window nothing may be left
	for range 25 {
		var text strings.Builder
		for range 1 + random.IntN(30) {
			text.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		texts = append(texts, text.String())
	}
	built := 0
	for _, normalizer := range normalizers {
		for _, preTokenizer := range preTokenizers {
			whole, err := Parse(fmt.Appendf(nil, `{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":%s,"pre_tokenizer":%s,`+
				`"post_processor":null,"decoder":null,"model":{"type":"WordLevel","vocab":{"[UNK]":0},"unk_token":"[UNK]"}}`, normalizer, preTokenizer))
			if err != nil {
				t.Fatalf("%s, %s: %v", normalizer, preTokenizer, err)
			}
			built++
			whole.model, whole.windowBytes = eachWord{whole.model}, 1<<20
			windows := *whole
			for _, text := range texts {
				want := whole.AppendIDs(nil, text)
				for _, size := range []int{1, 5} {
					windows.windowBytes = size
					if got := windows.AppendIDs(nil, text); !slices.Equal(got, want) {
						t.Fatalf("%s, %s: %q has other words when it is taken in windows of %d bytes: %v, want %v", normalizer, preTokenizer, text, size, got, want)
					}
				}
			}
		}
	}
	if built < 1000 {
		t.Errorf("%d combinations were tried: want 1000 or more", built)
	}
}

// Words and spaces are what texts are cut by: a map that makes something else of them leaves no place to cut at.
func TestMapThatRewritesWordsAndSpacesIsCutNowhere(t *testing.T) {
	for _, c := range []struct {
		from byte
		to   string
		want cuts
	}{
		{'A', "a", cutBetweenWords}, {'.', "", cutBetweenWords}, {'!', " ", cutBetweenWords}, {' ', " ", cutBetweenWords},
		{'a', "", cutNever}, {'a', "a b", cutNever}, {'7', ".", cutNever}, {'a', " ", cutNever}, {' ', "", cutNever}, {' ', "_", cutNever}, {' ', "  ", cutNever},
	} {
		n := &precompiled{texts: c.to}
		for i := range n.ascii {
			n.ascii[i].at = -1
		}
		n.ascii[c.from].at, n.ascii[c.from].n = 0, int32(len(c.to)) //nolint:gosec // a few
		if got := n.cuts(); got != c.want {
			t.Errorf("a map from %q to %q has cuts %d, want %d", c.from, c.to, got, c.want)
		}
	}
}
