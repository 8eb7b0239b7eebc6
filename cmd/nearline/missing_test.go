//go:build cgo

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// trees is a repository with a model that reads columns f0 to f4.
func trees(t *testing.T) string {
	t.Helper()
	graph, err := os.ReadFile(filepath.Join("..", "..", "models", "testdata", "tables", "lightgbm-regressor.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "trees", "1"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "trees", "1", "model.onnx"), string(graph))
	return folder
}

func TestScoreSaysWhichColumnsNoLineHad(t *testing.T) {
	for lines, want := range map[string]string{
		`{"review_id":"a","text":"of no table"}` + "\n" + `{"review_id":"b","text":"neither"}`: "warning: predict trees: no row so far had a value for f0, f1, f2, f3, f4; are the paths right?",
		`{"f0":1,"f1":2,"f2":3,"f4":5}` + "\n" + `{"f0":1,"f1":2,"f2":null,"f4":5}`:            "warning: predict trees: no row so far had a value for f3; are the paths right?",
		`{"f0":1,"f1":2,"f2":3}` + "\n" + `{"f3":4,"f4":5}`:                                    "",
	} {
		r := execute(t, lines, "score", "--model", "trees", "--models", trees(t))
		r.ok(t)
		if want == "" && strings.Contains(r.err, "warning") || !strings.Contains(r.err, want) {
			t.Errorf("%s: got %s, want %q", lines, r.err, want)
		}
	}
}
