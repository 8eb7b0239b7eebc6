// Command mutants breaks the rules of the tree on purpose, one at a time, and fails where the tests that are named for it do not find it. The
// rules are those of DESIGN.md's Non-obvious list, and of comments above central types; the ways to break them lie in rules, a file each. Nothing of
// the tree is changed: go test is told to read the changed files elsewhere (its flag -overlay).
//
//	go run ./internal/harness/mutants [NAME...]
//
// What a build under real faults does when it is broken is for e2e/broken.sh; this is its light twin for tests of the packages.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	tags := flag.String("tags", "synctests", "build tags")
	limit := flag.Duration("limit", 2*time.Minute, "how long the tests of a mutant may run; to end by it is to find it only where the mutant says so")
	workers := flag.Int("j", runtime.GOMAXPROCS(0), "mutants at once")
	verbose := flag.Bool("v", false, "show what the tests said")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, hunt{tags: *tags, limit: *limit, verbose: *verbose, out: os.Stdout}, *workers, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// hunt is how mutants are looked for.
type hunt struct {
	root    string
	tags    string
	limit   time.Duration
	verbose bool
	out     io.Writer
}

func run(ctx context.Context, h hunt, workers int, names []string) (err error) {
	if h.root, err = os.Getwd(); err != nil {
		return err
	}
	all, err := readAll(h.root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(m mutant) bool { return m.name == name }) {
			return fmt.Errorf("there is no mutant %s in internal/harness/mutants/rules", name)
		}
	}
	said := make(chan string)
	var group errgroup.Group
	group.SetLimit(max(workers, 1))
	errs := make([]error, len(all))
	failed := 0
	go func() {
		defer close(said)
		for i := range all {
			if len(names) > 0 && !slices.Contains(names, all[i].name) || ctx.Err() != nil {
				continue
			}
			group.Go(func() error {
				var line string
				if line, errs[i] = h.find(ctx, &all[i]); errs[i] != nil {
					line += fmt.Sprintf("%v\n", errs[i])
				}
				said <- line
				return nil
			})
		}
		_ = group.Wait() // errs has them all
	}()
	for line := range said {
		fmt.Fprint(h.out, line)
	}
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d were not found, or are stale", failed)
	}
	return nil
}

// find a mutant by its tests. An error means that nobody did, or that it does not build.
func (h *hunt) find(ctx context.Context, m *mutant) (line string, err error) {
	began := time.Now()
	folder, err := os.MkdirTemp("", "mutant-"+m.name+"-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	overlay, err := h.overlay(m, folder)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(folder, "tests")
	arguments := []string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-tags", h.tags, "-o", binary}
	if m.race {
		arguments = append(arguments, "-race")
	}
	build := exec.CommandContext(ctx, "go", append(arguments, m.pkg)...)
	build.Dir = h.root
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mutant %s does not build, mend internal/harness/mutants/rules/%s.mutant: %w\n%s", m.name, m.name, err, said)
	}
	tests := exec.CommandContext(ctx, binary, "-test.run", m.pattern(), "-test.v", "-test.failfast", "-test.timeout", h.limit.String())
	tests.Dir = filepath.Join(h.root, filepath.FromSlash(m.pkg))
	said, err := tests.CombinedOutput()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	took := time.Since(began).Round(100 * time.Millisecond)
	if h.verbose {
		line = string(said)
	}
	if err == nil {
		return line, fmt.Errorf("mutant %s is not found: %s passes with it in %s; its rule is %q (%s)", m.name, m.tests, m.pkg, m.rule, m.in)
	}
	if bytes.Contains(said, []byte("panic: test timed out after")) && !m.hangs {
		return line, fmt.Errorf("mutant %s: %s in %s did not end within %v: give it longer (-limit), or say %q in its file if that is how it is found",
			m.name, m.tests, m.pkg, h.limit, hangsLine)
	}
	by := foundBy(said)
	if by == "" {
		return line, fmt.Errorf("mutant %s: no test of %s was run, or it ended without a word: %w\n%s", m.name, m.pkg, err, said)
	}
	return line + fmt.Sprintf("%-44s found by %s (%v)\n", m.name, by, took), nil
}

// overlay writes the changed files, and the file that tells go of them.
func (h *hunt) overlay(m *mutant, folder string) (string, error) {
	changed, err := m.apply(h.root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range changed {
		at := filepath.Join(folder, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(at, text, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(h.root, filepath.FromSlash(file))] = at
	}
	told, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(folder, "overlay.json")
	return overlay, os.WriteFile(overlay, told, 0o600)
}

// foundBy is the first test that failed, or the one that was running when the process ended; "" where none was.
func foundBy(said []byte) (by string) {
	for line := range bytes.Lines(said) {
		text := strings.TrimSpace(string(line))
		if name, ok := strings.CutPrefix(text, "--- FAIL: "); ok {
			name, _, _ = strings.Cut(name, " ")
			return name
		}
		if name, ok := strings.CutPrefix(text, "=== RUN "); ok {
			by = strings.TrimSpace(name)
		}
	}
	return by
}
