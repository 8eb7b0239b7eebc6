package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var readUnigramGolden = sync.OnceValues(func() (*golden, error) { return readGolden("golden_unigram.jsonl.gz") })

// loadUnigramGolden reads what testdata/make_unigram.py wrote. Its configurations name their model and their map.
func loadUnigramGolden(t testing.TB) *golden {
	t.Helper()
	g, err := readUnigramGolden()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// fetchCharsmaps returns the folder of SentencePiece's own maps, which are not part of this repository.
var fetchCharsmaps = sync.OnceValues(func() (string, error) {
	command := exec.Command(filepath.Join("testdata", "fetch_charsmaps.sh"))
	var progress bytes.Buffer
	command.Stderr = &progress
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("testdata/fetch_charsmaps.sh: %w\n%s", err, progress.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
})

// charsmap returns the map of that name in base64; it is false, for good, where it would have to be fetched and cannot.
func (g *golden) charsmap(t testing.TB, name string) (string, bool) {
	t.Helper()
	if text, ok := g.Charsmaps[name]; ok {
		return text, true
	}
	folder, err := fetchCharsmaps()
	if err != nil {
		return "", false
	}
	data, err := os.ReadFile(filepath.Join(folder, name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(data), true
}

// expand puts the map in the place of its name, in a normalizer or a whole tokenizer.json.
func (g *golden) expand(t testing.TB, raw []byte) ([]byte, bool) {
	t.Helper()
	const key = `"precompiled_charsmap":"`
	for _, name := range []string{"ours", "nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf"} {
		if named := []byte(key + name + `"`); bytes.Contains(raw, named) {
			text, ok := g.charsmap(t, name)
			if !ok {
				return nil, false
			}
			raw = bytes.ReplaceAll(raw, named, []byte(key+text+`"`))
		}
	}
	return raw, true
}

// unigramFile returns the tokenizer.json of a configuration; it is false where its map cannot be had.
func (g *golden) unigramFile(t testing.TB, name string) ([]byte, bool) {
	t.Helper()
	var file map[string]json.RawMessage
	mustUnmarshal(t, g.Configs[name].Tokenizer, &file)
	var model string
	mustUnmarshal(t, file["model"], &model)
	file["model"] = g.Models[model]
	return g.expand(t, mustMarshal(t, file))
}

// buildUnigram makes the tokenizer of a configuration without fetched maps.
func (g *golden) buildUnigram(t testing.TB, name string) *Tokenizer {
	t.Helper()
	file, ok := g.unigramFile(t, name)
	if !ok {
		t.Fatalf("configuration %q has no map", name)
	}
	tok, err := Parse(file)
	if err != nil {
		t.Fatalf("configuration %q: %v", name, err)
	}
	return tok
}

func TestUnigramEqualsReference(t *testing.T) {
	g := loadUnigramGolden(t)
	if len(g.cases) < 5000 {
		t.Fatalf("golden file has %d cases: want at least 5000", len(g.cases))
	}
	tokenizers := make(map[string]*Tokenizer)
	missing := 0
	for name := range g.Configs {
		file, ok := g.unigramFile(t, name)
		if !ok {
			missing++
			continue
		}
		tok, err := Parse(file)
		if err != nil {
			t.Fatalf("configuration %q: %v", name, err)
		}
		tokenizers[name] = tok
	}
	failures := 0
	for i := range g.cases {
		c := &g.cases[i]
		tok, ok := tokenizers[c.Config]
		if !ok {
			continue
		}
		text := c.text()
		got := tok.Encode(text)
		if c.matches(got) {
			windows := *tok
			windows.windowBytes = 1
			if got = windows.Encode(text); c.matches(got) {
				continue
			}
			t.Error("in the smallest windows:")
		}
		t.Errorf("%s, %s: Encode(%.200q) = %d ids %v, want %d %v", c.Config, c.Group, text, len(got.IDs), head(got.IDs),
			max(c.Count, len(c.IDs)), head(c.IDs))
		if failures++; failures == 20 {
			t.Fatal("and maybe more")
		}
	}
	if missing > 0 && !t.Failed() {
		_, err := fetchCharsmaps()
		t.Skipf("%d configurations with SentencePiece's own maps were not tested (the others agree): %v", missing, err)
	}
}

func TestEveryCodePointIsRewrittenAsInReference(t *testing.T) {
	g := loadUnigramGolden(t)
	for _, sweep := range g.sweeps {
		name := fmt.Sprintf("%s between %q and %q", sweep.Part["normalizer"], sweep.Before, sweep.After)
		t.Run(name, func(t *testing.T) {
			raw, ok := g.expand(t, sweep.Part["normalizer"])
			if !ok {
				// The maps are fetched, as they are not ours to keep; without network a map of ours is still tested. CI
				// allows no such skip.
				_, err := fetchCharsmaps()
				t.Skip("not tested without SentencePiece's own map:", err)
			}
			sweep.Part = map[string]json.RawMessage{"normalizer": raw}
			_, read := sweepReader(t, sweep)
			t.Parallel()
			sweep.compare(t, read)
		})
	}
}
