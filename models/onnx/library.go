package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// LibraryVariable is the environment variable that names ONNX Runtime's library.
const LibraryVariable = "NEARLINE_ONNXRUNTIME"

// FindLibrary finds ONNX Runtime's library, in this order: the explicit path, if it is not ""; the environment variable
// NEARLINE_ONNXRUNTIME; lib/ beside the executable; and .cache/onnxruntime/VERSION/OS-ARCH/ (where fetch.sh puts it),
// newest version first, in the working directory, beside the executable, or in a folder above either. A path may name
// the folder that has the library. The first two have to exist when they are given.
func FindLibrary(explicit string) (string, error) {
	for _, given := range []struct{ path, source string }{
		{explicit, "models.runtime (flag --onnxruntime)"},
		{os.Getenv(LibraryVariable), "environment variable " + LibraryVariable},
	} {
		if given.path == "" {
			continue
		}
		path, ok := libraryAt(given.path)
		if !ok {
			return "", fmt.Errorf("%w: %s is %q: want the path of %s, or of the folder that has it",
				ErrUnavailable, given.source, given.path, libraryName)
		}
		return path, nil
	}
	var starts []string
	if executable, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(executable); err == nil {
			executable = real
		}
		folder := filepath.Dir(executable)
		if path, ok := libraryAt(filepath.Join(folder, "lib")); ok {
			return path, nil
		}
		starts = append(starts, folder)
	}
	if folder, err := os.Getwd(); err == nil {
		starts = slices.Insert(starts, 0, folder)
	}
	for _, start := range starts {
		for folder := start; ; folder = filepath.Dir(folder) {
			if path, ok := cachedLibrary(folder); ok {
				return path, nil
			}
			if folder == filepath.Dir(folder) {
				break
			}
		}
	}
	return "", fmt.Errorf("%w: %s was not found: run models/onnx/fetch.sh in the checkout to fetch it, put it into lib/ beside "+
		"the program, or name it by models.runtime (flag --onnxruntime) or the environment variable %s",
		ErrUnavailable, libraryName, LibraryVariable)
}

var libraryName = map[string]string{"darwin": "libonnxruntime.dylib", "windows": "onnxruntime.dll"}[runtime.GOOS]

func init() {
	if libraryName == "" {
		libraryName = "libonnxruntime.so"
	}
}

// libraryAt finds the library at the path, or in the folder of that path. An install by a package may have only the
// name with its version, libonnxruntime.so.1.24.1.
func libraryAt(path string) (string, bool) {
	stat, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	if !stat.IsDir() {
		return path, stat.Mode().IsRegular() // what else there is, the loader would wait for
	}
	matches, _ := filepath.Glob(filepath.Join(path, libraryName+"*"))
	if len(matches) == 0 {
		return "", false
	}
	slices.Sort(matches) // the plain name first
	return matches[0], true
}

func cachedLibrary(folder string) (string, bool) {
	versions, _ := filepath.Glob(filepath.Join(folder, ".cache", "onnxruntime", "*", runtime.GOOS+"-"+runtime.GOARCH))
	slices.SortFunc(versions, func(a, b string) int {
		return compareVersions(filepath.Base(filepath.Dir(b)), filepath.Base(filepath.Dir(a)))
	})
	for _, v := range versions {
		if path, ok := libraryAt(v); ok {
			return path, true
		}
	}
	return "", false
}

// compareVersions orders dotted numbers, so that 1.9 comes before 1.24.
func compareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
}
