package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Entry is one version in a repository, as its files describe it.
type Entry struct {
	Name    string   `json:"name"`
	Version int      `json:"version"`
	Task    string   `json:"task"`
	Columns []Column `json:"columns,omitempty"`
	// Problem is the first thing that is wrong with its files; Inspect finds all of them.
	Problem string `json:"problem,omitempty"`
}

// List describes every version of every model in a repository, by name and then by version. Nothing is loaded: that a
// version is listed without a problem does not say that it would load. Folders without a version are passed by.
func List(repository string) ([]Entry, error) {
	if _, err := os.Stat(repository); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("model repository %s: there is no such folder: want one that holds models as NAME/VERSION/", repository)
	} else if err != nil {
		return nil, fmt.Errorf("model repository: %w", err)
	}
	entries := []Entry{}
	for _, name := range present(repository) {
		versions, err := Versions(repository, name)
		if err != nil {
			continue // not a model's folder
		}
		for _, version := range versions {
			folder := filepath.Join(repository, name, strconv.Itoa(version))
			facts := Facts{Folder: folder, Name: name, Version: version}
			e := Entry{Name: name, Version: version}
			if wrong := facts.Examine(); len(wrong) > 0 {
				e.Problem, _, _ = strings.Cut(wrong[0].Error(), "\n")
			}
			e.Task, e.Columns = facts.Task, facts.Columns
			entries = append(entries, e)
		}
	}
	return entries, nil
}
