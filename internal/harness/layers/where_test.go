package layers

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// A change that begins in more files than this is not one that a newcomer finds.
const mostFiles = 5

// The table is where a newcomer looks second. Whoever moves a file that it names says there where it has gone.
func TestTheTableOfChangesNamesFilesThatAreThere(t *testing.T) {
	document, err := os.ReadFile("../../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "\n## Where to change what\n")
	section, _, _ = strings.Cut(section, "\n## ")
	file := regexp.MustCompile("`([a-z]+/[^` ]+)`( \\(new)?")
	rows := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || strings.HasPrefix(cells[1], " ---") || strings.TrimSpace(cells[2]) == "files" {
			continue
		}
		rows++
		named := file.FindAllStringSubmatch(cells[2], -1)
		if len(named) == 0 || len(named) > mostFiles {
			t.Errorf("%q names %d files, want between 1 and %d", cells[1], len(named), mostFiles)
		}
		for _, n := range named {
			at, isNew := "../../../"+n[1], n[2] != ""
			switch _, err := os.Stat(at); {
			case isNew && err == nil:
				t.Errorf("%q calls %s new, and it is there", cells[1], n[1])
			case isNew:
				if _, err := os.Stat(path.Dir(at)); err != nil {
					t.Errorf("%q: there is no folder for %s", cells[1], n[1])
				}
			case errors.Is(err, fs.ErrNotExist):
				t.Errorf("%q names %s, which is not there", cells[1], n[1])
			case err != nil:
				t.Error(err)
			}
		}
	}
	if rows < 12 {
		t.Errorf("the table has %d changes, want at least 12", rows)
	}
}
