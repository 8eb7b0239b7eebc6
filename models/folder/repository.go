package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Versions lists the versions of a model in the repository, lowest first: the subfolders whose names are integers from 1.
// Other folders and files are passed by.
func Versions(repository, name string) ([]int, error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("model %q: want the name of a folder in %s", name, repository)
	}
	folder := filepath.Join(repository, name)
	entries, err := os.ReadDir(folder)
	if _, missing := os.Stat(repository); errors.Is(missing, fs.ErrNotExist) {
		return nil, fmt.Errorf("models.repository is %q: there is no such folder, want the one that holds models as NAME/VERSION/ "+
			"(in a configuration, relative to its file)", repository)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("model %s: %s has no such folder: want %s", name, repository, oneOf(present(repository)))
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	var versions []int
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil || n < 1 || strconv.Itoa(n) != e.Name() {
			continue
		}
		// A version may be a link to where it really lies.
		if stat, err := os.Stat(filepath.Join(folder, e.Name())); err == nil && stat.IsDir() {
			versions = append(versions, n)
		}
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("model %s: %s has no version: want a folder with an integer for a name, such as %s", name, folder,
			filepath.Join(folder, "1"))
	}
	slices.Sort(versions)
	return versions, nil
}

// Locate returns the folder of the version that is to run: the one that pins has by the model's name, or else the highest.
func Locate(repository string, pins map[string]int, name string) (folder string, version int, err error) {
	versions, err := Versions(repository, name)
	if err != nil {
		return "", 0, err
	}
	version = versions[len(versions)-1]
	if pin, ok := pins[name]; ok {
		if !slices.Contains(versions, pin) {
			return "", 0, fmt.Errorf("models.versions.%s is %d: %s has %v", name, pin, filepath.Join(repository, name), versions)
		}
		version = pin
	}
	return filepath.Join(repository, name, strconv.Itoa(version)), version, nil
}

// Folders are those of a repository that have a version of a model: NAME/VERSION/ with a graph or a nearline.yaml. What else there is in a repository
// is not the models', though it may be called by numbers, such as reports of 2026/11.
func Folders(repository string) []string {
	entries, _ := os.ReadDir(repository)
	var folders []string
	for _, e := range entries {
		versions, err := Versions(repository, e.Name())
		if err != nil {
			continue // not a model's folder
		}
		for _, version := range versions {
			folder := filepath.Join(repository, e.Name(), strconv.Itoa(version))
			if slices.ContainsFunc([]string{"nearline.yaml", "*.onnx", "onnx/*.onnx"}, func(pattern string) bool {
				found, err := fs.Glob(os.DirFS(folder), pattern)
				return err == nil && len(found) > 0
			}) {
				folders = append(folders, folder)
			}
		}
	}
	return folders
}

// present lists the models of a repository.
func present(repository string) []string {
	entries, _ := os.ReadDir(repository)
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// oneOf says what to choose from.
func oneOf(names []string) string {
	if len(names) == 0 {
		return "one, and there is none"
	}
	return "one of " + strings.Join(names, ", ")
}
