package production

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/production.md anew")

// The checklist that people read is the one that the command enforces.
func TestTheChecklistOfTheDocumentationIsTheOneThatIsChecked(t *testing.T) {
	const path, begins, ends = "../../docs/production.md", "<!-- rules: written by go test ./internal/production -update -->\n", "<!-- end of rules -->\n"
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(document), begins)
	table, after, closed := strings.Cut(rest, ends)
	if !found || !closed {
		t.Fatalf("%s has no table between %q and %q", path, begins, ends)
	}
	var want strings.Builder
	want.WriteString("| rule | what must hold | otherwise |\n| --- | --- | --- |\n")
	for _, rule := range Rules() {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", rule.Name, rule.Wants, rule.Why)
	}
	if table == want.String() {
		return
	}
	if !*update {
		t.Fatalf("%s has another table than the rules: run go test ./internal/production -update, and read the difference", path)
	}
	if err := os.WriteFile(path, []byte(before+begins+want.String()+ends+after), 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}
