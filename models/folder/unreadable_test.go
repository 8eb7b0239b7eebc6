package folder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAllThatIsWrongWithAManifestIsSaidAtOnce(t *testing.T) {
	for _, c := range []struct {
		yaml string
		says []string
	}{
		{"task: magic\nmax_tokns: 5\nmax_tokens: -3\ngolden: [{text: a, expct: 3}, {txt: a}]\nheads: [{name: x, labls: [a]}]\n", []string{
			`nearline.yaml:2:1: unknown field "max_tokns": want one of task, prompt, prompt_name, graph, max_tokens,`, `:4:20: unknown field "expct"`, `:4:32: unknown field "txt"`,
			`:5:19: unknown field "labls"`, `nearline.yaml: task is "magic"`, "nearline.yaml: max_tokens is -3",
		}},
		{"task: magic\nmax_tokens: -3\n", []string{`nearline.yaml: task is "magic"`, "nearline.yaml: max_tokens is -3"}},
		{"task: &kind constant\nprompt: *kind\ncolumns: {x: 1}\nbogus: 1\nother: 2\n", []string{`4:1: unknown field "bogus"`, `5:1: unknown field "other"`}},
		{"heads:\n\t- {name: a}\n", []string{"nearline.yaml:2:1: a tab stands at the beginning of this line"}},
		{"task: constant\ncolumns: 7\n", []string{"2:10: "}},
		{"bogus: 1\n", []string{`1:1: unknown field "bogus"`}},
		{"- a\n", []string{"nearline.yaml:1:1: "}},
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "nearline.yaml"), []byte(c.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadManifest(folder)
		if err == nil {
			t.Errorf("%q: got no error", c.yaml)
			continue
		}
		if got := strings.Count(err.Error(), "\n") + 1; got != len(c.says) {
			t.Errorf("%q: got %d problems, want %d:\n%v", c.yaml, got, len(c.says), err)
		}
		for _, want := range c.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: got\n%v\nwant %q in it", c.yaml, err, want)
			}
		}
	}
}
