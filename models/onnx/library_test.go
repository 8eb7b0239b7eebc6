package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestFindLibraryLooksInOrder(t *testing.T) {
	root := t.TempDir()
	touch := func(path ...string) string {
		p := filepath.Join(append([]string{root}, path...)...)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	find := func(explicit, want string) {
		t.Helper()
		got, err := FindLibrary(explicit)
		if err != nil {
			t.Fatal(err)
		}
		if real, err := filepath.EvalSymlinks(got); err != nil || real != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	platform := runtime.GOOS + "-" + runtime.GOARCH
	touch(".cache", "onnxruntime", "1.9.0", platform, libraryName)
	newest := touch(".cache", "onnxruntime", "1.24.1", platform, libraryName)
	t.Setenv(LibraryVariable, "")
	t.Chdir(filepath.Dir(touch("deep", "below", "file")))
	find("", newest)
	byVariable := touch("variable", libraryName+".1.26.0")
	t.Setenv(LibraryVariable, filepath.Dir(byVariable))
	find("", byVariable)
	find(newest, newest)

	t.Setenv(LibraryVariable, filepath.Join(root, "none"))
	_, err := FindLibrary("")
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), LibraryVariable) {
		t.Errorf("got %v, want ErrUnavailable, and the variable named", err)
	}
}

func TestFindLibraryNamesTheRemedies(t *testing.T) {
	t.Setenv(LibraryVariable, "")
	t.Chdir(t.TempDir())
	_, err := FindLibrary("")
	if err == nil {
		// The search ends beside the program, and where a compiled test lies is its user's choice. CI allows no such skip.
		t.Skip("a library lies beside the test's executable")
	}
	for _, want := range []string{"fetch.sh", "models.runtime", "--onnxruntime", LibraryVariable} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
}

func TestParseDevice(t *testing.T) {
	for s, want := range map[string]Device{"": {}, "cpu": {}, "cuda": {CUDA: true}, "cuda:3": {CUDA: true, Index: 3}} {
		if got, err := ParseDevice(s); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0"} {
		if _, err := ParseDevice(s); err == nil {
			t.Errorf("%q: got no error", s)
		}
	}
}
