package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is a rule that is broken on purpose, by replacing exact texts of the tree, and the tests that must find it.
type mutant struct {
	name string
	// rule is a file and the first words of the rule there.
	in, rule string
	// pkg and tests are what go test is given. Race says that only the race detector finds it.
	pkg, tests string
	race       bool
	// hangs says that the tests find it by not ending.
	hangs bool
	edits []edit
}

// edit replaces a text that a file has exactly once.
type edit struct {
	file    string
	old, by string
}

// The lines of a file of a mutant.
const (
	ruleLine    = "rule: "
	testLine    = "test: "
	raceLine    = "race"
	hangsLine   = "hangs"
	fileLine    = "file: "
	replaceLine = "--- replace"
	byLine      = "--- by"
	endLine     = "--- end"
)

// parse a file of a mutant:
//
//	rule: DESIGN.md: Orphans: the transactions are listed
//	test: ./consumers TestOne|TestOther
//	file: consumers/orphans.go
//	--- replace
//	whole lines
//	--- by
//	other lines
//	--- end
//
// There may be several edits, of the same file or after another "file: ". A line "race" runs the tests under the race detector, and a line
// "hangs" says that they find it by not ending. Lines that begin with # are comments, outside of texts.
func parse(name, text string) (mutant, error) {
	m := mutant{name: name}
	var file string
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	// until takes the lines before one that ends them.
	until := func(end string) (string, bool) {
		at := slices.Index(lines, end)
		if at < 0 {
			return "", false
		}
		taken := strings.Join(lines[:at], "\n")
		lines = lines[at+1:]
		return taken, true
	}
	for len(lines) > 0 {
		line := lines[0]
		lines = lines[1:]
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, ruleLine):
			m.in, m.rule, _ = strings.Cut(strings.TrimPrefix(line, ruleLine), ": ")
		case strings.HasPrefix(line, testLine):
			m.pkg, m.tests, _ = strings.Cut(strings.TrimPrefix(line, testLine), " ")
		case line == raceLine:
			m.race = true
		case line == hangsLine:
			m.hangs = true
		case strings.HasPrefix(line, fileLine):
			file = strings.TrimPrefix(line, fileLine)
		case line == replaceLine:
			old, whole := until(byLine)
			by, ended := until(endLine)
			if !whole || !ended {
				return m, fmt.Errorf("mutant %s: a text to replace does not end: want %q and %q after it", name, byLine, endLine)
			}
			m.edits = append(m.edits, edit{file, old, by})
		default:
			return m, fmt.Errorf("mutant %s: %q is not known", name, line)
		}
	}
	if m.rule == "" || m.pkg == "" || m.tests == "" || len(m.edits) == 0 || slices.ContainsFunc(m.edits, func(e edit) bool { return e.file == "" }) {
		return m, fmt.Errorf("mutant %s: want a rule (FILE: WORDS), a test (PACKAGE NAMES), a file, and a text to replace", name)
	}
	return m, nil
}

// pattern is the tests as go test wants them. A name with slashes is of one test's cases.
func (m *mutant) pattern() string {
	if !strings.Contains(m.tests, "/") {
		return "^(" + m.tests + ")$"
	}
	return "^" + strings.ReplaceAll(m.tests, "/", "$/^") + "$"
}

// readAll reads the mutants of the tree, by name.
func readAll(root string) ([]mutant, error) {
	files, err := filepath.Glob(filepath.Join(root, "internal", "harness", "mutants", "rules", "*.mutant"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(errors.New("there are no mutants in internal/harness/mutants/rules"), err)
	}
	var all []mutant
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		m, err := parse(strings.TrimSuffix(filepath.Base(file), ".mutant"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// apply the edits to the tree's files, and return what they become, by name below root.
func (m *mutant) apply(root string) (map[string][]byte, error) {
	changed := map[string][]byte{}
	for i, e := range m.edits {
		text, ok := changed[e.file]
		if !ok {
			var err error
			if text, err = os.ReadFile(filepath.Join(root, filepath.FromSlash(e.file))); err != nil {
				return nil, fmt.Errorf("mutant %s is stale: %w", m.name, err)
			}
		}
		if n := bytes.Count(text, []byte(e.old)); n != 1 || e.old == e.by {
			return nil, fmt.Errorf("mutant %s is stale: %s has the text of edit %d %d times, want once, and replaced by another: "+
				"write it anew in internal/harness/mutants/rules/%s.mutant, so that it breaks its rule as before", m.name, e.file, i+1, n, m.name)
		}
		changed[e.file] = bytes.Replace(text, []byte(e.old), []byte(e.by), 1)
	}
	return changed, nil
}
