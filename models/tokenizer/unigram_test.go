package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

func TestParseRefusesUnigramPartsByName(t *testing.T) {
	charsmap := func(size uint32, rest string) string {
		data := append(binary.LittleEndian.AppendUint32(nil, size), rest...)
		return `{"type": "Precompiled", "precompiled_charsmap": "` + base64.StdEncoding.EncodeToString(data) + `"}`
	}
	replace := func(pattern string) string {
		return `{"type": "Replace", "pattern": {"Regex": ` + strconv.Quote(pattern) + `}, "content": " "}`
	}
	for _, c := range []struct{ key, value, want string }{
		{"model", `{"type": "Unigram", "unk_id": 0}`, `model has no "vocab"`},
		{"model", `{"type": "Unigram", "vocab": [["a", -1]]}`, `model.unk_id is missing or null: want the id of the unknown token`},
		{"model", `{"type": "Unigram", "unk_id": null, "vocab": [["a", -1]]}`, `model.unk_id is missing or null`},
		{"model", `{"type": "Unigram", "unk_id": 1, "vocab": [["a", -1]]}`, `model.unk_id is 1: want an id of model.vocab, which has 1 tokens`},
		{"model", `{"type": "Unigram", "unk_id": -1, "vocab": [["a", -1]]}`, `model: json: cannot unmarshal`},
		{"model", `{"type": "Unigram", "unk_id": 0, "vocab": [["a"]]}`, `want a token and its score`},
		{"model", `{"type": "Unigram", "unk_id": 0, "vocab": [["a", -1, 2]]}`, `want a token and its score`},
		{"model", `{"type": "Unigram", "unk_id": 0, "vocab": [["a", 1e999]]}`, `want a token and its score`},
		{"model", `{"type": "Unigram", "unk_id": 0, "vocab": [["a", -1]], "alpha": 0.1}`, `model: json: unknown field "alpha"`},
		{"normalizer", `{"type": "Precompiled"}`, `normalizer has no "precompiled_charsmap"`},
		{"normalizer", `{"type": "Precompiled", "precompiled_charsmap": "a"}`, `normalizer.precompiled_charsmap: illegal base64`},
		{"normalizer", `{"type": "Precompiled", "precompiled_charsmap": ""}`, `normalizer.precompiled_charsmap has 0 bytes: want at least 8`},
		{"normalizer", charsmap(8, "\x00\x00\x00\x00"), `normalizer.precompiled_charsmap says that its trie has 8 bytes: want 4 to the 4 that follow`},
		{"normalizer", charsmap(0, "\x00\x00\x00\x00"), `says that its trie has 0 bytes`},
		{"normalizer", charsmap(4, "\x00\x00\x00\x00\xff"), `normalizer.precompiled_charsmap has texts that are not UTF-8`},
		{"normalizer", `{"type": "Strip", "strip_left": true}`, `normalizer has no "strip_right"`},
		{"normalizer", `{"type": "Prepend", "prepend": ""}`, `normalizer.prepend is empty`},
		{"normalizer", `{"type": "Replace", "pattern": {"String": ""}, "content": "x"}`, `normalizer.pattern.String is empty`},
		{"normalizer", `{"type": "Replace", "pattern": {}, "content": "x"}`, `normalizer.pattern: want a String or a Regex`},
		{"normalizer", `{"type": "Replace", "pattern": {"String": "a"}}`, `normalizer has no "content"`},
		{"normalizer", replace(`(?<=a)b`), `normalizer.pattern.Regex "(?<=a)b" is not supported: (?<`},
		{"normalizer", replace(`a*`), `normalizer.pattern.Regex "a*" matches the empty text`},
		{"pre_tokenizer", `{"type": "Metaspace"}`, `pre_tokenizer has no "replacement"`},
		{"pre_tokenizer", `{"type": "Metaspace", "replacement": "__"}`, `pre_tokenizer.replacement is "__": want one character`},
		{"pre_tokenizer", `{"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"}`, `pre_tokenizer.prepend_scheme "last" is not supported: want one of always, first, never`},
		{"pre_tokenizer", `{"type": "Metaspace", "replacement": "_", "add_prefix_space": false}`, `pre_tokenizer.add_prefix_space is false: want pre_tokenizer.prepend_scheme to be never`},
	} {
		_, err := Parse(edited(t, c.key, c.value))
		if err == nil || !strings.HasPrefix(err.Error(), "tokenizer.json: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse with %s %s: error %v, want %s", c.key, c.value, err, c.want)
		}
	}
}

// A double array may lead anywhere. The reference panics there; nothing is found here.
func TestBrokenCharsmapFindsNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		data := binary.LittleEndian.AppendUint32(nil, 1024)
		for range 256 {
			unit := random.Uint32()
			if random.IntN(2) == 0 { // found more often: no high bits, and a label that fits
				unit = unit&0x3ffff | 1<<8
			}
			data = binary.LittleEndian.AppendUint32(data, unit)
		}
		n, err := newPrecompiled(append(data, "ab\x00\u00e9\u0301\x00\U0001f44d"...))
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			text := make([]byte, 40)
			for i := range text {
				text[i] = byte(random.Uint32())
			}
			valid := bytes.ToValidUTF8(text, []byte("\u0301"))
			if out := n.appendNormal(nil, valid, new(scratch)); !utf8.Valid(out) {
				t.Fatalf("%x of %x becomes %x, which is not UTF-8", data, valid, out)
			}
		}
	}
}

// precompiled looks for clusters only where two runes may belong to one: that must be everywhere where they do.
func TestClustersAreFoundWhereverTheyAre(t *testing.T) {
	n := loadOursPrecompiled(t)
	random := rand.New(rand.NewPCG(3, 4))
	pool := []rune("ab \r\n\u0300\u0301\u200d\u0600\u0903\u0915\u094d\u0924\u0e01\u0e33\u1100\u1161\u11a8\uac00\uac01\u302e\ufe0f" +
		"\U0001f1e9\U0001f1ea\U0001f468\U0001f469\U0001f3fd\u2764\U000110bd\U0001d165\u0d4e\x00\u00ad\u200b")
	for range 20000 {
		var text []byte
		for range 1 + random.IntN(8) {
			r := pool[random.IntN(len(pool))]
			if random.IntN(8) == 0 {
				r = rune(random.IntN(0x20000))
			}
			text = utf8.AppendRune(text, r)
		}
		for rest := text; len(rest) > 0; {
			a, size := n.at(rest)
			got := size
			if size < len(rest) {
				if b, _ := n.at(rest[size:]); b.joinsPrevious || a.joinsNext {
					got = clusterSize(rest)
				}
			}
			clusters := graphemes.FromBytes(rest)
			clusters.Next()
			if want := len(clusters.Value()); got != want {
				t.Fatalf("first cluster of %q in %q has %d bytes, want %d", rest, text, got, want)
			}
			rest = rest[got:]
		}
	}
}

func loadOursPrecompiled(t testing.TB) *precompiled {
	t.Helper()
	text, _ := loadUnigramGolden(t).charsmap(t, "ours")
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	n, err := newPrecompiled(data)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The wants are what the reference gives back for a file with these scores.
func TestScoresAreReadAsTheReferenceReadsThem(t *testing.T) {
	for text, want := range map[string]float64{
		"-10.929070472717285": -10.929070472717283, "-7.4406561851501465": -7.440656185150147,
		"-11.864946365356445": -11.864946365356444, "-13.208939552307129": -13.208939552307127,
		"0": 0, "-2": -2, "25.0": 25, "1e2": 100, "1.5E+0": 1.5, "-1e-3": -0.001, "18446744073709551616": 18446744073709551610,
		"0.00000000000000000000000000000000000000000000000001": 9.999999999999999e-51, "1e-400": 0, "-0.0": math.Copysign(0, -1),
		"123456789012345678901.5": 1.2345678901234567e20, "1844674407370955161655.75": 1.8446744073709552e21, "1e-310": 1e-310,
	} {
		if got, ok := readScore(text); !ok || got != want {
			t.Errorf("readScore(%s) = %v, %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", "x", "1x", "1e", "1e400", "1e99999999999", "123456789012345678901e300"} {
		if got, ok := readScore(text); ok {
			t.Errorf("readScore(%q) = %v, want no number", text, got)
		}
	}
}

func TestUnigramDoesNotAllocate(t *testing.T) {
	g := loadUnigramGolden(t)
	for _, name := range []string{"xlm-roberta ours", "xlm-roberta, newer ours", "albert ours", "gemma", "odd bytes", "whole", "first, bert"} {
		tok := g.buildUnigram(t, name)
		s := new(scratch)
		var ids []int64
		for i := 0; i < len(g.cases); i += 211 {
			text := g.cases[i].text()
			ids = tok.appendIDs(ids[:0], text, s)
			if n := allocations(func() { ids = tok.appendIDs(ids[:0], text, s) }); n != 0 {
				t.Errorf("%s: %v allocations for %.100q, want none", name, n, text)
			}
		}
	}
}

// A text that is one word keeps little: every place that no token reaches across ends what must be remembered.
func TestLongWordTakesLittleMemory(t *testing.T) {
	tok := loadUnigramGolden(t).buildUnigram(t, "whole")
	s := new(scratch)
	text := strings.Repeat("the kettle is good and sturdy, ", 30000)
	ids := tok.appendIDs(nil, text, s)
	if len(ids) < 100000 || cap(s.steps) > 4096 {
		t.Errorf("%d ids with room for %d steps, want room for at most 4096", len(ids), cap(s.steps))
	}
	cut, err := tok.WithMaxTokens(10)
	if err != nil {
		t.Fatal(err)
	}
	if got := cut.Encode(text).IDs; !slices.Equal(got, ids[:10]) {
		t.Errorf("cut to 10 tokens: %v, want %v", got, ids[:10])
	}
}

// BenchmarkEncodeFile is one thread on the tokenizer.json files that NEARLINE_BENCH_TOKENIZERS matches, as
// testdata/bench_reference.py measures the reference.
func BenchmarkEncodeFile(b *testing.B) {
	paths, err := filepath.Glob(os.Getenv("NEARLINE_BENCH_TOKENIZERS"))
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range paths {
		b.Run(filepath.Base(path), func(b *testing.B) {
			tok, err := Load(path)
			if err == nil {
				tok, err = tok.WithMaxTokens(128)
			}
			if err != nil {
				b.Fatal(err)
			}
			texts := reviews(b)
			var ids []int64
			tokens, n := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				ids = tok.AppendIDs(ids[:0], texts[n%len(texts)])
				tokens += len(ids)
				n++
			}
			seconds := b.Elapsed().Seconds()
			b.ReportMetric(float64(n)/seconds, "reviews/s")
			b.ReportMetric(float64(tokens)/seconds, "tokens/s")
		})
	}
}

func FuzzUnigram(f *testing.F) {
	g := loadUnigramGolden(f)
	type variant struct{ whole, windows, cut *Tokenizer }
	var variants []variant
	for _, name := range []string{
		"xlm-roberta ours", "xlm-roberta, newer ours", "albert ours", "albert, newer", "deberta ours", "t5 ours", "added", "first, added",
		"first, replaced", "first, in words", "never", "nmt", "lowered, stripped", "expressions", "emptied", "gemma", "llama", "llama, left",
		"odd", "odd bytes, decomposed", "whole",
	} {
		tok := g.buildUnigram(f, name)
		whole, err := tok.WithMaxTokens(0)
		if err != nil {
			f.Fatal(err)
		}
		windows := *whole
		windows.windowBytes = 1
		cut, err := whole.WithMaxTokens(5 + whole.template.added())
		if err != nil {
			f.Fatal(err)
		}
		variants = append(variants, variant{whole, &windows, cut})
	}
	for i := 0; i < len(g.cases); i += 60 {
		f.Add(g.cases[i].Plain)
	}
	f.Add("\xff a\xed\xa0\x80  b ")
	f.Fuzz(func(t *testing.T, text string) {
		for _, v := range variants {
			ids := v.whole.AppendIDs(nil, text)
			for _, id := range ids {
				if id < 0 || id >= int64(v.whole.VocabSize()) {
					t.Fatalf("id %d is not below %d", id, v.whole.VocabSize())
				}
			}
			if got := v.windows.AppendIDs(nil, text); !slices.Equal(got, ids) {
				t.Fatalf("%q in windows is %v, want %v", text, got, ids)
			}
			before, after := len(v.whole.template.before), len(v.whole.template.after)
			body := ids[before : len(ids)-after]
			if room := min(5, len(body)); v.cut.keepEnd {
				body = body[len(body)-room:]
			} else {
				body = body[:room]
			}
			if got := v.cut.AppendIDs(nil, text); !slices.Equal(got[before:len(got)-after], body) {
				t.Fatalf("%q cut to 5 tokens is %v, want %v of %v", text, got, body, ids)
			}
			s := new(scratch)
			if normal := v.whole.normalizer.appendNormal(nil, appendValid(nil, text), s); !utf8.Valid(normal) {
				t.Fatalf("normal form %q is not UTF-8", normal)
			}
		}
	})
}

func FuzzCharsmap(f *testing.F) {
	text, _ := loadUnigramGolden(f).charsmap(f, "ours")
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, "e\u0301 \uac00\u11a8\r\n")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		n, err := newPrecompiled(data)
		if err != nil {
			return
		}
		if out := n.appendNormal(nil, appendValid(nil, text), new(scratch)); !utf8.Valid(out) {
			t.Fatalf("%q becomes %q, which is not UTF-8", text, out)
		}
	})
}
