package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root of the tree, as tests see it.
const root = "../../.."

func TestEveryMutantStillAppliesAndNamesItsRuleAndItsTests(t *testing.T) {
	all, err := readAll(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if _, err := m.apply(root); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(filepath.Join(root, m.in))
		if err != nil || !strings.Contains(words(string(text)), words(m.rule)) {
			t.Errorf("mutant %s: %s does not say %q: quote its rule as it is written there (%v)", m.name, m.in, m.rule, err)
		}
		for names := range strings.SplitSeq(m.tests, "|") {
			name, _, _ := strings.Cut(names, "/")
			if !declares(t, m.pkg, name) {
				t.Errorf("mutant %s: there is no test %s in %s", m.name, name, m.pkg)
			}
		}
	}
}

// unbroken are rules of DESIGN.md's list, by their first words, that no test of a package can find broken, and why.
var unbroken = map[string]string{
	"In a bubble under the race detector, a timer of no time": "Go's runtime has the fault, and crashes by luck: tests keep away from it",
	"Features of a trained encoder cannot be cross-validated": "it is about how models are trained, in Python, and about no build",
}

func TestEveryNonObviousRuleIsBrokenByAMutant(t *testing.T) {
	all, err := readAll(root)
	if err != nil {
		t.Fatal(err)
	}
	rules := nonObvious(t)
	if len(rules) < 25 {
		t.Fatalf("DESIGN.md has %d rules under Non-obvious: where is the list?", len(rules))
	}
	for _, rule := range rules {
		broken := false
		for _, m := range all {
			broken = broken || m.in == "DESIGN.md" && strings.HasPrefix(rule, words(m.rule))
		}
		excused := false
		for begins, why := range unbroken {
			excused = excused || strings.HasPrefix(rule, words(begins)) && why != ""
		}
		switch {
		case !broken && !excused:
			t.Errorf("nothing breaks the rule %q: add internal/harness/mutants/rules/NAME.mutant and a test that finds it, or say in unbroken why none can", rule)
		case broken && excused:
			t.Errorf("the rule %q is broken by a mutant, and unbroken says that none can", rule)
		}
	}
	for begins := range unbroken {
		found := false
		for _, rule := range rules {
			found = found || strings.HasPrefix(rule, words(begins))
		}
		if !found {
			t.Errorf("unbroken has %q, and DESIGN.md has no such rule under Non-obvious", begins)
		}
	}
}

func TestAMutantThatNoLongerAppliesIsAnError(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a.go"), []byte("one\ntwo\none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for old, ok := range map[string]bool{"two": true, "one": false, "three": false} {
		m, err := parse("m", "rule: a.go: one\ntest: . TestA\nfile: a.go\n--- replace\n"+old+"\n--- by\nfour\n--- end\n")
		if err != nil {
			t.Fatal(err)
		}
		changed, err := m.apply(folder)
		if (err == nil) != ok {
			t.Errorf("replacing %q gives %q and %v: want an error unless it is there once", old, changed["a.go"], err)
		}
	}
	for _, text := range []string{"", "rule: a: b\ntest: . T\nfile: a\n--- replace\nx\n--- end\n", "rule: a: b\nnonsense\n", "rule: a: b\ntest: . T\n--- replace\nx\n--- by\n--- end\n"} {
		if _, err := parse("m", text); err == nil {
			t.Errorf("%q is taken for a mutant", text)
		}
	}
}

func TestTheTestThatFoundAMutantIsNamed(t *testing.T) {
	for said, want := range map[string]string{
		"=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n    b_test.go:1: no\n--- FAIL: TestB (0.00s)\nFAIL\n": "TestB",
		"=== RUN   TestA\npanic: test timed out after 1s\n":                                                               "TestA",
		"testing: warning: no tests to run\nPASS\n":                                                                       "",
	} {
		if got := foundBy([]byte(said)); got != want {
			t.Errorf("%q was found by %q, want %q", said, got, want)
		}
	}
}

// nonObvious are the rules of DESIGN.md's list.
func nonObvious(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "DESIGN.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\n## Non-obvious\n")
	list, _, _ = strings.Cut(list, "\n## ")
	var rules []string
	for _, rule := range strings.Split(list, "\n- ")[1:] {
		rules = append(rules, words(rule))
	}
	return rules
}

var (
	space   = regexp.MustCompile(`\s+`)
	comment = regexp.MustCompile(`(?m)^\s*//`)
)

// words of a text, whatever the lines and comments that it stands in.
func words(text string) string {
	return strings.TrimSpace(space.ReplaceAllString(comment.ReplaceAllString(text, ""), " "))
}

// declares says whether a package has a test.
func declares(t *testing.T, pkg, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}
