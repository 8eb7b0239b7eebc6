package tokenizer

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// settingsCase is a folder that testdata/make_settings.py made at random, and what transformers 4 and 5 make of it: ids, or an error.
type settingsCase struct {
	Seed  int                        `json:"seed"`
	Files map[string]json.RawMessage `json:"files"`
	Texts []string                   `json:"texts"`
	Limit int                        `json:"limit"`
	Four  any                        `json:"four"`
	Five  any                        `json:"five"`
}

func (c *settingsCase) load(t *testing.T) (*Tokenizer, error) {
	var config struct {
		Class     string `json:"tokenizer_class"`
		ModelType string `json:"model_type"`
	}
	mustUnmarshal(t, c.Files["config.json"], &config)
	tok, err := ParseWith(c.Files["tokenizer.json"], &Companions{
		Config: c.Files["tokenizer_config.json"], SpecialTokens: c.Files["special_tokens_map.json"], AddedTokens: c.Files["added_tokens.json"],
		Class: config.Class, ModelType: config.ModelType,
	})
	if err != nil {
		return nil, err
	}
	return tok.WithMaxTokens(c.Limit)
}

func TestSettingsBesideTheTokenizerCountAsInTransformers(t *testing.T) {
	path := os.Getenv("NEARLINE_TOKENIZER_SETTINGS")
	if path == "" {
		path = filepath.Join("testdata", "settings.jsonl.gz")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	agreed, refused, needless := 0, 0, 0
	for lines.Scan() {
		var c settingsCase
		mustUnmarshal(t, lines.Bytes(), &c)
		tok, err := c.load(t)
		same := reflect.DeepEqual(c.Four, c.Five)
		switch {
		case err != nil && !strings.Contains(err.Error(), configFile):
			t.Errorf("folder of seed %d: error %v, want it to name %s", c.Seed, err, configFile)
		case err != nil:
			refused++
			if same {
				needless++
				t.Logf("folder of seed %d: %v", c.Seed, err)
			}
			continue
		}
		agreed++
		var got []any
		for _, text := range c.Texts {
			var ids []any
			for _, id := range tok.Encode(text).IDs {
				ids = append(ids, float64(id))
			}
			got = append(got, ids)
		}
		if !same || !reflect.DeepEqual(any(got), c.Four) {
			t.Errorf("folder of seed %d: got\n%v, want\n%v (transformers 4)\n%v (transformers 5)\n%s", c.Seed, got, c.Four, c.Five, brief(c.Files))
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d folders agree, %d are refused, %d of them for texts that these are not", agreed, refused, needless)
	if agreed < 100 || refused < 10 {
		t.Errorf("%d folders agree and %d are refused: want at least 100 and 10", agreed, refused)
	}
}

// brief leaves out the vocabulary.
func brief(files map[string]json.RawMessage) string {
	var out strings.Builder
	for name, content := range files {
		var parts map[string]json.RawMessage
		if json.Unmarshal(content, &parts) == nil {
			delete(parts, "model")
			delete(parts, "decoder")
			content, _ = json.Marshal(parts)
		}
		out.WriteString(name + " " + string(content) + "\n")
	}
	return out.String()
}
