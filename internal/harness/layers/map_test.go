package layers

import (
	"os"
	"path"
	"strings"
	"testing"
)

// The file map of DESIGN.md is where a newcomer looks first.
func TestTheFileMapHasEveryRoomOnce(t *testing.T) {
	document, err := os.ReadFile("../../../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "\n## File map\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || !strings.Contains(cells[1], "`") {
			continue
		}
		folder := strings.TrimSuffix(strings.Trim(cells[1], " `"), "/")
		if _, twice := rows[folder]; twice {
			t.Errorf("%s has two lines", folder)
		}
		rows[folder] = cells[2]
		if info, err := os.Stat("../../../" + folder); err != nil || !info.IsDir() {
			t.Errorf("%s has a line, and there is no such folder (%v)", folder, err)
		}
	}
	for _, l := range layers {
		named := strings.Contains(rows[path.Dir(l.folder)], "a folder each")
		for row := range rows {
			named = named || below(row, l.folder)
		}
		if !named {
			t.Errorf("%s has no line: say what is in it", l.folder)
		}
	}
}
