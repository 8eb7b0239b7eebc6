// Package tables sets texts in columns. On a terminal the last column is as wide as there is room for, and what does not fit goes on below. A file
// or a pipe gets a line for each row, as wide as it is, for other programs to read.
package tables

import (
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"
	"golang.org/x/term"
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

// placeholder of a remark until the columns are set: one of Unicode's characters that no text has.
const placeholder = "\ue000"

// render sets the rows for a terminal.
func (t *Table) render(width int) string {
	if len(t.rows) == 0 {
		return ""
	}
	rows := make([][]string, len(t.rows), len(t.rows)+1)
	var remarks []string
	for i, row := range t.rows {
		rows[i] = row
		if last := len(row) - 1; len(row) < t.columns {
			rows[i] = append(slices.Clone(row[:last]), placeholder)
			remarks = append(remarks, row[last])
		}
	}
	before, last := t.Indent, 0
	for column := range t.columns {
		before += last
		last = t.Gap
		for _, row := range rows {
			if column < len(row) {
				last = max(last, t.Gap+lipgloss.Width(row[column]))
			}
		}
	}
	room := 0
	if before+last > width && !t.Right && width-before >= leastLast {
		room = width - before
	}
	// It counts one line too few where it is told of no heading, and cuts a heading off that does not fit.
	rows = append(rows, make([]string, t.columns))
	set := table.New().Rows(rows...).StyleFunc(func(_, column int) lipgloss.Style { return t.style(column, room) }).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).BorderHeader(false).BorderColumn(false).String()
	var text strings.Builder
	for line := range strings.Lines(set) {
		line = strings.TrimRight(line, " \n")
		if begin, _, found := strings.Cut(line, placeholder); found {
			line, remarks = begin+remarks[0], remarks[1:]
		}
		text.WriteString(line + "\n")
	}
	return t.indented(text.String())
}

// style of a column; the last one has only so much room, unless that is 0.
func (t *Table) style(column, room int) lipgloss.Style {
	switch style := lipgloss.NewStyle(); {
	case t.Right:
		return style.Align(lipgloss.Right).PaddingLeft(t.Gap)
	case column < t.columns-1:
		return style.PaddingRight(t.Gap)
	default:
		return style.Width(room)
	}
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
