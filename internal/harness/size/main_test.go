package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestAProgramLargerThanItsBudgetIsRefused(t *testing.T) {
	b := budget{"the program", "some,tags", 28}
	for size, want := range map[int64]string{
		1:          "",
		28_000_000: "",
		28_499_999: "",
		28_500_000: "the program has 28.5 MB, and its budget is 28:",
		51_260_000: "the program has 51.3 MB, and its budget is 28:",
	} {
		err := b.weigh(size)
		switch {
		case want == "" && err != nil:
			t.Errorf("%d bytes: got %v, want no complaint", size, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "-tags some,tags")):
			t.Errorf("%d bytes: got %v, want %q, and how to see what it links", size, err, want)
		}
	}
}

// Sizes that are said in several places come to disagree.
func TestTheDocumentsSayTheBudgets(t *testing.T) {
	number := regexp.MustCompile(`\b\d+\b`)
	for _, name := range []string{"README.md", "DESIGN.md", "CONTRIBUTING.md"} {
		document, err := os.ReadFile(filepath.Join("../../..", name))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for paragraph := range strings.SplitSeq(string(document), "\n\n") {
			said := map[string]bool{}
			for _, n := range number.FindAllString(paragraph, -1) {
				said[n] = true
			}
			if strings.Contains(paragraph, "nocloud") && strings.Contains(paragraph, " MB") {
				found = true
				for _, b := range budgets {
					if !said[strconv.FormatInt(b.megabytes, 10)] {
						t.Errorf("%s says nothing of %d MB where it says how large %s is", name, b.megabytes, b.what)
					}
				}
			}
		}
		if !found {
			t.Errorf("%s does not say how large the program is without the clouds' clients", name)
		}
	}
}
