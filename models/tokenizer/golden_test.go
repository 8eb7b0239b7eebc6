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

	cases  []goldenCase
	sweeps []goldenSweep
	built  map[string]*Tokenizer // by build
}

// goldenConfig is a whole tokenizer.json or changes to that of the sentiment model.
type goldenConfig struct {
	Tokenizer json.RawMessage            `json:"tokenizer"`
	Patch     map[string]json.RawMessage `json:"patch"`
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

var readGolden = sync.OnceValues(func() (*golden, error) {
	f, err := os.Open(filepath.Join("testdata", "golden.jsonl.gz"))
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
		default:
			g.cases = append(g.cases, goldenCase{})
			err = json.Unmarshal(lines.Bytes(), &g.cases[len(g.cases)-1])
		}
		if err != nil {
			return nil, err
		}
	}
	return g, lines.Err()
})

func loadGolden(t testing.TB) *golden {
	t.Helper()
	g, err := readGolden()
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
func (c goldenConfig) file(t testing.TB, base map[string]json.RawMessage) []byte {
	t.Helper()
	if c.Tokenizer != nil {
		return c.Tokenizer
	}
	made := maps.Clone(base)
	for key, value := range c.Patch {
		switch key {
		case "model":
			model := make(map[string]json.RawMessage)
			mustUnmarshal(t, base[key], &model)
			mustUnmarshal(t, value, &model)
			made[key] = mustMarshal(t, model)
		case "added_tokens":
			var tokens, more []json.RawMessage
			mustUnmarshal(t, base[key], &tokens)
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
	tok, err := Parse(config.file(t, base))
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
	g, base := loadGolden(t), loadVocabulary(t)
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

func TestEveryCodePointReadsAsInReference(t *testing.T) {
	for _, sweep := range loadGolden(t).sweeps {
		name, read := sweepReader(t, sweep)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
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
		})
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
	return string(raw), func(text []byte) []byte {
		var words [][]byte
		for _, w := range p.split(nil, text, span{0, len(text)}) {
			words = append(words, text[w.start:w.end])
		}
		return bytes.Join(words, []byte("|"))
	}
}
