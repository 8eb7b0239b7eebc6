package folder

import (
	"os"
	"path/filepath"
	"testing"
)

// repository makes a model repository, and returns its path: each model has version 1, copied from a folder of onnx/testdata, and then the
// files, by their paths below the repository.
func repository(t testing.TB, models, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, from := range models {
		if err := os.CopyFS(filepath.Join(root, name, "1"), os.DirFS(filepath.Join("..", "onnx", "testdata", from))); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range files {
		path = filepath.Join(root, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// readConfig are the settings of a folder with this config.json.
func readConfig(t *testing.T, config string) Settings {
	t.Helper()
	s, err := ReadSettings(filepath.Join(repository(t, nil, map[string]string{"m/1/config.json": config}), "m", "1"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
