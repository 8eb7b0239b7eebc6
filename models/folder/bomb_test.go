package folder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBombsInNearlineYAMLAreRefused(t *testing.T) {
	aliases := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 9; i++ {
		name, below := string(rune('0'+i)), string(rune('0'+i-1))
		aliases += "  a" + name + ": &a" + name + " [" + strings.TrimSuffix(strings.Repeat("*a"+below+", ", 10), ", ") + "]\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"aliases of aliases":  {"task: constant\ncolumns:\n  " + aliases, "aliases stand for more than 100000 values"},
		"an alias to itself":  {"task: constant\ncolumns: {a: &a [*a]}\n", "nearline.yaml:2: an alias leads back to itself"},
		"lists in each other": {"task: constant\ncolumns: {a: " + strings.Repeat("[", 100_000) + "\n", "nearline.yaml:2: lists and mappings nest deeper than 100"},
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "nearline.yaml"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadManifest(folder); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.300v, want %s", name, err, c.want)
		}
	}
}
