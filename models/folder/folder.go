// Package folder reads the folders of models: it finds versions in a repository, reads what their files say of them (nearline.yaml, those of
// transformers and sentence-transformers, the graph, the tokenizer), and says what is wrong with them.
//
// Nothing is loaded, and nothing runs: what is read here, models makes engines of.
package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"nearline/internal/files"
)

// CheckKinds of what is in a model's folder: pipes and devices have no end. Native code opens files by itself, such as those of weights.
func CheckKinds(folder string) error {
	if real, err := filepath.EvalSymlinks(folder); err == nil { // a version may be a link to where it lies
		folder = real
	}
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := files.Check(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // a link to nowhere is told of by whoever needs it
			return err
		}
		return nil
	})
}

// placed is where a file lies: in the folder, or else with the graph in onnx/, as some exports have everything there.
func placed(folder, name string) string {
	at, below := filepath.Join(folder, name), filepath.Join(folder, "onnx", name)
	if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(below); err == nil {
			return below
		}
	}
	return at
}

// globbed lists the files of a folder that match, by their paths below it, with slashes.
func globbed(folder string, patterns ...string) []string {
	var names []string
	for _, pattern := range patterns {
		found, _ := fs.Glob(os.DirFS(folder), pattern) // the patterns are ours
		names = append(names, found...)
	}
	return names
}
