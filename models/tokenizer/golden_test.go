package tokenizer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// golden is what testdata/make_golden.py wrote: what the reference answers.
type golden struct {
	Reference string                  `json:"reference"`
	Configs   map[string]goldenConfig `json:"configs"`

	Models    map[string]json.RawMessage `json:"models"` // see loadUnigramGolden
	Charsmaps map[string]string          `json:"charsmaps"`

	cases  []goldenCase
	words  []goldenWords
	sweeps []goldenSweep
	built  map[string]*Tokenizer // by build
}

// goldenConfig is a whole tokenizer.json or changes to that of another configuration or, with no base, of the sentiment
// model: a patch, in which the model is merged and added tokens are appended.
type goldenConfig struct {
	Tokenizer json.RawMessage            `json:"tokenizer"`
	Base      string                     `json:"base"`
	Patch     map[string]json.RawMessage `json:"patch"`

	// Of a vocabulary that is not ours: its folder, and the rest of the file.
	Folder string                     `json:"folder"`
	File   map[string]json.RawMessage `json:"file"`
}

// goldenCase is one text. Long ones are given by recipe, long answers by their digest.
type goldenCase struct {
	Config string       `json:"config"`
	Group  string       `json:"group"`
	Plain  string       `json:"text"`
	Recipe []goldenPart `json:"recipe"`
	IDs    []int64      `json:"ids"`
	Types  []int64      `json:"types"`
	Count  int          `json:"count"`
	Digest string       `json:"sha256"`
}

type goldenPart struct {
	text  string
	times int
}

func (p *goldenPart) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&p.text, &p.times})
}

// goldenWords is what a pre-tokenizer makes of a text.
type goldenWords struct {
	Part  json.RawMessage `json:"part"`
	Text  string          `json:"text"`
	Words []string        `json:"words"`
}

// goldenSweep is a part applied to every code point between two strings.
type goldenSweep struct {
	Part   map[string]json.RawMessage `json:"sweep"`
	Before string                     `json:"before"`
	After  string                     `json:"after"`
	Blocks []string                   `json:"blocks"`
}

func (c *goldenCase) text() string {
	if c.Recipe == nil {
		return c.Plain
	}
	var b strings.Builder
	for _, p := range c.Recipe {
		b.WriteString(strings.Repeat(p.text, p.times))
	}
	return b.String()
}

func (c *goldenCase) matches(e Encoding) bool {
	types := c.Types
	if types == nil {
		types = make([]int64, len(e.IDs))
	}
	if !slices.Equal(e.TypeIDs, types) {
		return false
	}
	if c.Digest == "" {
		return slices.Equal(e.IDs, c.IDs)
	}
	return len(e.IDs) == c.Count && digest(e.IDs) == c.Digest
}

func digest(ids []int64) string {
	h := sha256.New()
	for _, id := range ids {
		_ = binary.Write(h, binary.LittleEndian, uint32(id))
	}
	return hex.EncodeToString(h.Sum(nil))
}

var goldenFiles = map[string]func() (*golden, error){
	"golden.jsonl.gz": sync.OnceValues(func() (*golden, error) { return readGolden("golden.jsonl.gz") }),
	"bpe.jsonl.gz":    sync.OnceValues(func() (*golden, error) { return readGolden("bpe.jsonl.gz") }),
	"real.jsonl.gz":   sync.OnceValues(func() (*golden, error) { return readGolden("real.jsonl.gz") }),
}

func readGolden(name string) (*golden, error) {
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	g := new(golden)
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for first := true; lines.Scan(); first = false {
		switch {
		case first:
			err = json.Unmarshal(lines.Bytes(), g)
		case bytes.HasPrefix(lines.Bytes(), []byte(`{"sweep"`)):
			g.sweeps = append(g.sweeps, goldenSweep{})
			err = json.Unmarshal(lines.Bytes(), &g.sweeps[len(g.sweeps)-1])
		case bytes.HasPrefix(lines.Bytes(), []byte(`{"part"`)):
			g.words = append(g.words, goldenWords{})
			err = json.Unmarshal(lines.Bytes(), &g.words[len(g.words)-1])
		default:
			g.cases = append(g.cases, goldenCase{})
			err = json.Unmarshal(lines.Bytes(), &g.cases[len(g.cases)-1])
		}
		if err != nil {
			return nil, err
		}
	}
	return g, lines.Err()
}

func loadGolden(t testing.TB) *golden {
	t.Helper()
	return loadGoldenFile(t, "golden.jsonl.gz")
}

func loadGoldenFile(t testing.TB, name string) *golden {
	t.Helper()
	g, err := goldenFiles[name]()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// loadVocabulary reads the tokenizer.json that golden patches apply to: the sentiment model's, or the file that
// NEARLINE_TOKENIZER_JSON names.
func loadVocabulary(t testing.TB) map[string]json.RawMessage {
	t.Helper()
	path := os.Getenv("NEARLINE_TOKENIZER_JSON")
	if path == "" {
		path = filepath.Join("..", "zoo", "sentiment", "2", "tokenizer.json")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("the tests use the vocabulary of the sentiment model: %v", err)
	}
	var file map[string]json.RawMessage
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return file
}

// file returns the tokenizer.json that the configuration describes.
func (g *golden) file(t testing.TB, c goldenConfig, base map[string]json.RawMessage) []byte {
	t.Helper()
	if c.Tokenizer != nil {
		return c.Tokenizer
	}
	made := maps.Clone(base)
	if c.Base != "" {
		made = nil
		mustUnmarshal(t, g.file(t, g.Configs[c.Base], base), &made)
	}
	for key, value := range c.Patch {
		switch key {
		case "model":
			model := make(map[string]json.RawMessage)
			mustUnmarshal(t, made[key], &model)
			mustUnmarshal(t, value, &model)
			made[key] = mustMarshal(t, model)
		case "added_tokens":
			var tokens, more []json.RawMessage
			mustUnmarshal(t, made[key], &tokens)
			mustUnmarshal(t, value, &more)
			made[key] = mustMarshal(t, append(tokens, more...))
		default:
			made[key] = value
		}
	}
	return mustMarshal(t, made)
}

// build makes the tokenizer of a golden configuration, once for all tests: none of them runs in parallel with another.
func (g *golden) build(t testing.TB, name string, base map[string]json.RawMessage) *Tokenizer {
	t.Helper()
	if tok, ok := g.built[name]; ok {
		return tok
	}
	config, ok := g.Configs[name]
	if !ok {
		t.Fatalf("golden file has no configuration %q", name)
	}
	tok, err := Parse(g.file(t, config, base))
	if err != nil {
		t.Fatalf("configuration %q: %v", name, err)
	}
	if g.built == nil {
		g.built = make(map[string]*Tokenizer)
	}
	g.built[name] = tok
	return tok
}

func mustUnmarshal(t testing.TB, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

func mustMarshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestEncodeEqualsReference(t *testing.T) {
	for _, name := range []string{"golden.jsonl.gz", "bpe.jsonl.gz"} {
		t.Run(name, func(t *testing.T) { loadGoldenFile(t, name).compare(t) })
	}
}

func (g *golden) compare(t *testing.T) {
	base := loadVocabulary(t)
	if len(g.cases) < 5000 {
		t.Fatalf("golden file has %d cases: want at least 5000", len(g.cases))
	}
	tokenizers := make(map[string]*Tokenizer)
	for name := range g.Configs {
		tokenizers[name] = g.build(t, name, base)
	}
	failures := 0
	for i := range g.cases {
		c := &g.cases[i]
		got := tokenizers[c.Config].Encode(c.text())
		if c.matches(got) {
			continue
		}
		text := c.text()
		t.Errorf("%s, %s: Encode(%.200q) = %d ids %v types %v, want %d %v %v", c.Config, c.Group, text, len(got.IDs),
			head(got.IDs), head(got.TypeIDs), max(c.Count, len(c.IDs)), head(c.IDs), head(c.Types))
		if failures++; failures == 20 {
			t.Fatal("and maybe more")
		}
	}
}

func head(ids []int64) []int64 { return ids[:min(len(ids), 60)] }

func TestPreTokenizersGiveTheWordsOfReference(t *testing.T) {
	parts, failures := make(map[string]preTokenizers), 0
	for _, c := range loadGoldenFile(t, "bpe.jsonl.gz").words {
		p, ok := parts[string(c.Part)]
		if !ok {
			var err error
			if p, err = parsePreTokenizer("pre_tokenizer", c.Part); err != nil {
				t.Fatal(err)
			}
			parts[string(c.Part)] = p
		}
		var got []string
		pieces := p.split(new(scratch), []byte(c.Text), true)
		for _, w := range pieces.words {
			got = append(got, string(pieces.text[w.start:w.end]))
		}
		if !slices.Equal(got, c.Words) {
			t.Errorf("%s splits %q into %q, want %q", c.Part, c.Text, got, c.Words)
			if failures++; failures == 20 {
				t.Fatal("and maybe more")
			}
		}
	}
}

func TestEveryCodePointReadsAsInReference(t *testing.T) {
	var sweeps []goldenSweep
	for _, name := range []string{"golden.jsonl.gz", "bpe.jsonl.gz"} {
		sweeps = append(sweeps, loadGoldenFile(t, name).sweeps...)
	}
	for _, sweep := range sweeps {
		name, read := sweepReader(t, sweep)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sweep.compare(t, read)
		})
	}
}

// compare gives read every code point.
func (sweep *goldenSweep) compare(t *testing.T, read func([]byte) []byte) {
	for i, want := range sweep.Blocks {
		low := rune(i) << 12
		if low >= 0x34000 && low < 0xe0000 || low > 0xf0000 && low < 0x10f000 {
			continue // nothing is assigned in planes 4 to 13, and private use is all alike
		}
		h := sha256.New()
		for r := low; r < low+0x1000; r++ {
			if r >= 0xd800 && r < 0xe000 {
				continue
			}
			if r > low && r != 0xe000 {
				h.Write([]byte("\n"))
			}
			h.Write(read([]byte(sweep.Before + string(r) + sweep.After)))
		}
		if got := hex.EncodeToString(h.Sum(nil)[:4]); got != want {
			t.Errorf("U+%04X to U+%04X: hash is %s, want %s", low, low+0xfff, got, want)
		}
	}
}

// sweepReader returns what the part under sweep makes of a text: its normal form, or its words joined by bars.
func sweepReader(t *testing.T, sweep goldenSweep) (string, func([]byte) []byte) {
	if raw, ok := sweep.Part["normalizer"]; ok {
		n, err := parseNormalizer("normalizer", raw)
		if err != nil {
			t.Fatal(err)
		}
		s := new(scratch)
		var out []byte
		return string(raw) + sweep.Before, func(text []byte) []byte {
			out = n.appendNormal(out[:0], text, s)
			return out
		}
	}
	raw := sweep.Part["pre_tokenizer"]
	p, err := parsePreTokenizer("pre_tokenizer", raw)
	if err != nil {
		t.Fatal(err)
	}
	s := new(scratch)
	return string(raw), func(text []byte) []byte {
		var words [][]byte
		pieces := p.split(s, text, true)
		for _, w := range pieces.words {
			words = append(words, pieces.text[w.start:w.end])
		}
		return bytes.Join(words, []byte("|"))
	}
}
