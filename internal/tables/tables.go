// Package tables sets texts in columns. On a terminal the last column is as wide as there is room for, and what does not fit goes on below. A file
// or a pipe gets a line for each row, as wide as it is, for other programs to read.
package tables

import (
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"nearline/internal/plain"
)

// Table is a heading and rows. The last cell of a row that has fewer of them than the heading is a remark: no column is made wider for it.
type Table struct {
	// Gap is how many spaces stand between columns.
	Gap int
	// Right has columns end below each other, for numbers, and a gap before the first of them.
	Right bool
	// Indent is how many spaces stand before each line.
	Indent int

	rows    [][]string // the heading is the first, until it is written
	columns int
}

// New begins a table with its heading.
func New(gap int, heading ...string) *Table {
	return &Table{Gap: gap, rows: [][]string{heading}, columns: len(heading)}
}

// Row adds one.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Write what is there, and forget it: rows that are added then are set by themselves.
func (t *Table) Write(out io.Writer) error {
	set := t.plainly
	if width := widthOf(out); width > 0 {
		set = func() string { return t.render(width) }
	}
	text := set()
	t.rows = nil
	_, err := io.WriteString(out, text)
	return err
}

// plainly sets a row a line. It is by far the faster way, and lists of dead letters may be long.
func (t *Table) plainly() string {
	var text strings.Builder
	var flags uint
	end := "\n"
	if t.Right {
		flags, end = tabwriter.AlignRight, "\t\n" // only cells that end are set
	}
	columns := tabwriter.NewWriter(&text, 0, 0, t.Gap, ' ', flags)
	for _, row := range t.rows {
		_, _ = io.WriteString(columns, strings.Join(row, "\t")+end)
	}
	_ = columns.Flush() // to a string
	return t.indented(text.String())
}

// leastLast is how narrow the last column may become. Below that a terminal's own way to go on is the better one.
const leastLast = 24

// unmoving writes what plain text may have, and what is not as wide everywhere: columns are set as a terminal shows them, and whoever makes them plain
// once more on the way to it finds nothing.
var unmoving = strings.NewReplacer("\t", "    ", "\u2028", `\u2028`, "\u2029", `\u2029`)

// render sets the rows for a terminal.
func (t *Table) render(width int) string {
	columns, rows := t.columns, make([][]string, len(t.rows))
	for i, row := range t.rows {
		columns = max(columns, len(row))
		for _, cell := range row {
			rows[i] = append(rows[i], unmoving.Replace(plain.Text(cell)))
		}
	}
	widths := make([]int, columns) // without gaps
	for _, row := range rows {
		for column, cell := range row {
			if remark := len(row) < t.columns && column == len(row)-1; !remark {
				widths[column] = max(widths[column], lipgloss.Width(cell))
			}
		}
	}
	room := width - t.Indent
	for _, taken := range widths[:max(0, t.columns-1)] {
		room -= taken + t.Gap
	}
	var text strings.Builder
	for _, row := range rows {
		cells, height := make([][]string, len(row)), 1
		for column, cell := range row {
			cells[column] = strings.Split(cell, "\n")
			if column == t.columns-1 && !t.Right && room >= leastLast {
				cells[column] = wrap(cell, room)
			}
			height = max(height, len(cells[column]))
		}
		for at := range height {
			text.WriteString(strings.TrimRight(t.line(cells, at, widths), " ") + "\n")
		}
	}
	return t.indented(text.String())
}

// line of a row: what its cells have there, each as wide as its column.
func (t *Table) line(cells [][]string, at int, widths []int) string {
	var line strings.Builder
	gap := strings.Repeat(" ", t.Gap)
	for column, lines := range cells {
		text := ""
		if at < len(lines) {
			text = lines[at]
		}
		fill := strings.Repeat(" ", max(0, widths[column]-ansi.StringWidth(text))) // a remark may be wider
		if t.Right {
			line.WriteString(gap + fill + text)
		} else {
			line.WriteString(text + fill + gap)
		}
	}
	return line.String()
}

// wrap sets a text in lines of at most so many cells. They end at spaces and after hyphens; only what is longer than a line by itself goes on where
// it has to. No character is lost but spaces at which a line ends. It is ours because ansi.Wrap sets hyphens beyond the limit.
func wrap(text string, room int) []string {
	var lines []string
	for rest := range strings.SplitSeq(text, "\n") {
		rest = strings.TrimRightFunc(rest, separates)
		line := ""
		for rest != "" {
			next := firstPiece(rest)
			rest = rest[len(next):]
			if ansi.StringWidth(line+next) <= room {
				line += next
				continue
			}
			if line != "" {
				lines = append(lines, line)
			}
			parts := strings.Split(ansi.Hardwrap(strings.TrimLeftFunc(next, separates), room, true), "\n")
			last := len(parts) - 1
			lines, line = append(lines, parts[:last]...), parts[last]
		}
		lines = append(lines, line)
	}
	return lines
}

// firstPiece of a text that is not to be set in two lines, with the spaces before it. Hyphens belong to the letters before them, and to those after
// them where there are none before: --repair is one.
func firstPiece(text string) string {
	rest := strings.TrimLeft(strings.TrimLeftFunc(text, separates), "-")
	rest = strings.TrimLeftFunc(rest, func(r rune) bool { return r != '-' && !separates(r) })
	return text[:len(text)-len(strings.TrimLeft(rest, "-"))]
}

// separates says whether a character is a space at which a line may end.
func separates(r rune) bool {
	return unicode.IsSpace(r) && !strings.ContainsRune("\u00a0\u2007\u202f", r)
}

func (t *Table) indented(text string) string {
	if t.Indent == 0 {
		return text
	}
	var all strings.Builder
	for line := range strings.Lines(text) {
		all.WriteString(strings.Repeat(" ", t.Indent) + line)
	}
	return all.String()
}

// widthOf the terminal that is written to; 0 where it is none.
func widthOf(out io.Writer) int {
	file, ok := out.(interface{ Fd() uintptr })
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd())) //nolint:gosec // a descriptor is small
	if err != nil {
		return 0
	}
	return width
}
