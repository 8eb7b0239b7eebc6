package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

func TestInvalidUTF8CountsAsReplacementCharacters(t *testing.T) {
	g, base := loadGolden(t), loadVocabulary(t)
	for _, name := range []string{"plain", "as it is", "bare"} {
		tok := g.build(t, name, base)
		for _, text := range []string{"\xff", "a\xffb", "good\xc3", "\xed\xa0\x80x", "\xf0\x9f\x91 [SEP\xff]", "\xe4\xb8\xad\xe4\xb8"} {
			var valid strings.Builder
			for _, r := range text {
				valid.WriteRune(r)
			}
			if got, want := tok.Encode(text).IDs, tok.Encode(valid.String()).IDs; !slices.Equal(got, want) {
				t.Errorf("%s: Encode(%q) = %v, want %v as for %q", name, text, got, want, valid.String())
			}
		}
	}
}

func TestLimitDoesNotChangeTheIDsThatStay(t *testing.T) {
	g, base := loadGolden(t), loadVocabulary(t)
	for _, name := range []string{"right 16", "left 16", "template", "template without end", "bare, cut"} {
		tok := g.build(t, name, base)
		whole, err := tok.WithMaxTokens(0)
		if err != nil {
			t.Fatal(err)
		}
		before, after := len(tok.template.before), len(tok.template.after)
		for i := range g.cases {
			if g.cases[i].Group != "long review" && i%200 != 0 || len(g.cases[i].text()) > 20000 {
				continue
			}
			text := g.cases[i].text()
			ids := whole.Encode(text).IDs
			body := ids[before : len(ids)-after]
			for _, limit := range []int{before + after + 1, 100, 513} {
				cut, err := tok.WithMaxTokens(limit)
				if err != nil {
					t.Fatal(err)
				}
				want := body
				if room := limit - before - after; len(body) > room && tok.keepEnd {
					want = body[len(body)-room:]
				} else if len(body) > room {
					want = body[:room]
				}
				want = slices.Concat(ids[:before], want, ids[len(ids)-after:])
				if got := cut.Encode(text).IDs; !slices.Equal(got, want) {
					t.Errorf("%s, limit %d: Encode(%.100q) = %v, want %v", name, limit, text, head(got), head(want))
				}
			}
		}
	}
}

func TestWithMaxTokensRefusesLimitsBelowTheSpecialTokens(t *testing.T) {
	tok := loadGolden(t).build(t, "right 16", loadVocabulary(t))
	for _, n := range []int{-1, 1} {
		if _, err := tok.WithMaxTokens(n); err == nil {
			t.Errorf("WithMaxTokens(%d) succeeded, want an error", n)
		}
	}
	cut, err := tok.WithMaxTokens(2)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cut.Encode("good").IDs, []int64{101, 102}; !slices.Equal(got, want) {
		t.Errorf("Encode within 2 tokens = %v, want %v", got, want)
	}
	if cut.MaxTokens() != 2 || tok.MaxTokens() != 16 {
		t.Errorf("MaxTokens = %d and %d, want 2 and the original's 16", cut.MaxTokens(), tok.MaxTokens())
	}
}

func TestAppendIDsKeepsWhatIsThere(t *testing.T) {
	tok := loadGolden(t).build(t, "left 3", loadVocabulary(t))
	got := tok.AppendIDs([]int64{7, 8}, "an entirely good kettle")
	want := append([]int64{7, 8}, tok.Encode("an entirely good kettle").IDs...)
	if !slices.Equal(got, want) {
		t.Errorf("AppendIDs = %v, want %v", got, want)
	}
}

func TestSizesOfTheVocabulary(t *testing.T) {
	g, base := loadGolden(t), loadVocabulary(t)
	tok := g.build(t, "plain", base)
	if tok.VocabSize() != 30522 || tok.PadID() != 0 || tok.MaxTokens() != 0 {
		t.Errorf("VocabSize, PadID, MaxTokens = %d, %d, %d, want 30522, 0, 0", tok.VocabSize(), tok.PadID(), tok.MaxTokens())
	}
	if got := g.build(t, "added, left", base).VocabSize(); got != 30523 { // <l>; battery has an id already
		t.Errorf("VocabSize with a new token = %d, want 30523", got)
	}
	if tok := loadGoldenFile(t, "bpe.jsonl.gz").build(t, "roberta", base); tok.PadID() != 1 || tok.VocabSize() != 2300 {
		t.Errorf("PadID, VocabSize of byte pairs = %d, %d, want 1, 2300", tok.PadID(), tok.VocabSize())
	}
}

func TestAppendIDsDoesNotAllocate(t *testing.T) {
	for _, file := range []struct {
		name    string
		configs []string
	}{
		{"golden.jsonl.gz", []string{"plain", "cased", "accents", "left 16", "added", "nfkc", "nfd", "word"}},
		{"bpe.jsonl.gz", []string{
			"gpt2", "roberta", "added", "qwen2", "llama3", "o200k", "starcoder", "twice", "bert", "twins", "chars", "suffix", "some fallback", "words",
		}},
	} {
		for _, name := range file.configs {
			testAllocations(t, loadGoldenFile(t, file.name), name)
		}
	}
}

func testAllocations(t *testing.T, g *golden, name string) {
	tok, s := g.build(t, name, loadVocabulary(t)), new(scratch)
	var ids []int64
	for i := range g.cases {
		text := g.cases[i].text()
		if i%197 != 0 || len(text) > 20000 {
			continue
		}
		ids = tok.appendIDs(ids[:0], text, s)
		if n := allocations(func() { ids = tok.appendIDs(ids[:0], text, s) }); n != 0 {
			t.Errorf("%s: %v allocations for %.100q, want none", name, n, text)
		}
	}
}

// allocations of f. The count is of the whole process, so that the runtime's own are in it now and then: what f does, it does each time.
func allocations(f func()) float64 {
	n := testing.AllocsPerRun(1, f)
	for try := 0; n != 0 && try < 4; try++ {
		n = testing.AllocsPerRun(1, f)
	}
	return n
}

func TestConcurrentCallsGetTheSameIDs(t *testing.T) {
	g, base := loadGolden(t), loadVocabulary(t)
	tok := g.build(t, "plain", base)
	var cases []*goldenCase
	for i := range g.cases {
		if g.cases[i].Config == "plain" && g.cases[i].Recipe == nil {
			cases = append(cases, &g.cases[i])
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, c := range cases {
				if !c.matches(tok.Encode(c.text())) {
					t.Errorf("Encode(%.100q) differs under concurrency", c.text())
				}
			}
		})
	}
	wg.Wait()
}

func TestTrieFindsTheLongestKey(t *testing.T) {
	tr := newTrie(map[string]int32{"a": 0, "ab": 1, "abcd": 2, "b\x00": 3, "\xff": 4, "": 5})
	for text, want := range map[string][2]int32{
		"a": {0, 1}, "abc": {1, 2}, "abcde": {2, 4}, "b": {0, 0}, "b\x00\x00": {3, 2}, "\xff\xff": {4, 1}, "": {0, 0}, "c": {0, 0},
	} {
		if value, n := tr.longest(root, []byte(text)); value != want[0] || n != int(want[1]) {
			t.Errorf("longest(%q) = %d, %d, want %v", text, value, n, want)
		}
	}
	if state := tr.find("ac"); state != noState {
		t.Errorf("find(ac) = %d, want none", state)
	}
}

// reviews returns the texts that benchmarks read: those of the JSON lines file that NEARLINE_BENCH_REVIEWS names, or
// the golden file's.
func reviews(b *testing.B) []string {
	path := os.Getenv("NEARLINE_BENCH_REVIEWS")
	if path == "" {
		var texts []string
		for _, c := range loadGolden(b).cases {
			if c.Group == "review" {
				texts = append(texts, c.Plain)
			}
		}
		return texts
	}
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			b.Fatal(err)
		}
		defer func() { _ = f.Close() }()
	}
	var texts []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var row struct {
			Text string `json:"text"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			b.Fatal(err)
		}
		texts = append(texts, row.Text)
	}
	if err := lines.Err(); err != nil {
		b.Fatal(err)
	}
	return texts
}

// BenchmarkEncode is one thread; testdata/bench_reference.py gives the reference the same texts.
func BenchmarkEncode(b *testing.B) {
	tok := loadGolden(b).build(b, "right 128", loadVocabulary(b))
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
}

func BenchmarkParse(b *testing.B) {
	data := mustMarshal(b, loadVocabulary(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzEncode(f *testing.F) {
	g := loadGolden(f)
	var base map[string]json.RawMessage // the small vocabulary: workers start sooner
	mustUnmarshal(f, g.Configs["tiny"].Tokenizer, &base)
	var tokenizers []*Tokenizer
	for name, config := range g.Configs {
		tok, err := Parse(g.file(f, config, base))
		if err != nil {
			f.Fatalf("configuration %q: %v", name, err)
		}
		tokenizers = append(tokenizers, tok)
	}
	for i := range g.cases {
		if i%80 == 0 && g.cases[i].Recipe == nil {
			f.Add(g.cases[i].Plain)
		}
	}
	f.Add("\xff\xfe\xed\xa0\x80")
	fuzzEncode(f, tokenizers)
}

func FuzzEncodeBPE(f *testing.F) {
	g := loadGoldenFile(f, "bpe.jsonl.gz")
	var tokenizers []*Tokenizer
	for name, config := range g.Configs {
		switch {
		case config.Base == "bytes":
			config.Base = "few bytes" // the small vocabulary: workers start sooner
		case config.Base == "" && name != "few bytes":
			continue
		}
		tok, err := Parse(g.file(f, config, nil))
		if err != nil {
			f.Fatalf("configuration %q: %v", name, err)
		}
		tokenizers = append(tokenizers, tok)
	}
	for i := range g.cases {
		if i%80 == 0 && g.cases[i].Recipe == nil {
			f.Add(g.cases[i].Plain)
		}
	}
	f.Add("\xff'\xfe \xed\xa0\x80")
	fuzzEncode(f, tokenizers)
}

func fuzzEncode(f *testing.F, tokenizers []*Tokenizer) {
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range tokenizers {
			e := tok.Encode(text)
			if !slices.Equal(e.IDs, tok.AppendIDs(nil, text)) {
				t.Fatalf("two answers for %q", text)
			}
			if len(e.IDs) != len(e.TypeIDs) {
				t.Fatalf("%d ids but %d types", len(e.IDs), len(e.TypeIDs))
			}
			if limit := tok.MaxTokens(); limit > 0 && len(e.IDs) > limit {
				t.Fatalf("%d ids, above the limit of %d", len(e.IDs), limit)
			}
			for _, id := range e.IDs {
				if id < 0 || id >= int64(tok.VocabSize()) {
					t.Fatalf("id %d is not below %d", id, tok.VocabSize())
				}
			}
			begin, end := tok.template.before, tok.template.after
			if !slices.Equal(e.IDs[:len(begin)], appendSpecials(nil, begin)) ||
				!slices.Equal(e.IDs[len(e.IDs)-len(end):], appendSpecials(nil, end)) {
				t.Fatalf("special tokens are not at the ends of %v", e.IDs)
			}
			small := *tok
			small.windowBytes = 1 + len(text)%5
			if got := small.Encode(text).IDs; !slices.Equal(got, e.IDs) {
				t.Fatalf("windows of %d bytes give %v, want %v", small.windowBytes, got, e.IDs)
			}
			s := new(scratch)
			if normal := tok.normalizer.appendNormal(nil, appendValid(nil, text), s); !utf8.Valid(normal) {
				t.Fatalf("normal form %q is not UTF-8", normal)
			}
		}
	})
}
