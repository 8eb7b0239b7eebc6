package faulty

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestModelKnowsItsWords(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "faulty", "1")
	if err := Write(folder); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(folder, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tokenizer struct {
		Model struct {
			Vocab map[string]int `json:"vocab"`
		} `json:"model"`
	}
	if err := json.Unmarshal(data, &tokenizer); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{Slow, Fail, Hang, Crash, Hungry} {
		if _, known := tokenizer.Model.Vocab[word]; !known {
			t.Errorf("the tokenizer would take %s apart", word)
		}
	}
	if err := Write(folder); err == nil {
		t.Error("a folder that was there is overwritten")
	}
}
