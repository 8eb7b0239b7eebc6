package pipeline

import (
	"slices"
	"strings"
)

// Path is where in a row a value is: in what a step before added, or in the event, whose decoder reads it. The zero value is nowhere.
type Path struct {
	name string
	// column and rest split the name where it is one of a prediction's, or of what was looked up.
	column, rest string
	read         int // otherwise the place in Row.Read, from 1
}

// FindPath says where the value at a path is: in a column of the steps before, or in the event, whose decoder then has to read it. reads is what it has to read
// already, and is returned with the path added.
func FindPath(name string, columns, reads []string) (Path, []string) {
	column, rest, _ := strings.Cut(name, ".")
	if slices.Contains(columns, column) {
		return Path{name: name, column: column, rest: rest}, reads
	}
	at := slices.Index(reads, name)
	if at < 0 {
		at = len(reads)
		reads = append(reads, name)
	}
	return Path{name: name, read: at + 1}, reads
}

// ColumnPath is where a column of the steps before is, whatever its name.
func ColumnPath(name string) Path { return Path{name: name, column: name} }

// String is the path as it was written.
func (p *Path) String() string { return p.name }

// Value at the path in a row, Null where there is none.
func (p *Path) Value(row *Row) Value {
	if p.column == "" {
		if p.read < 1 || p.read > len(row.Read) {
			return Value{}
		}
		return row.Read[p.read-1]
	}
	for _, prediction := range slices.Backward(row.Predictions) {
		for _, column := range prediction.Columns {
			if column.Name == p.column {
				return column.Value.Inside(p.rest)
			}
		}
	}
	for _, feature := range row.Features {
		if feature.Name == p.column {
			return feature.Value.Inside(p.rest)
		}
	}
	return Value{}
}

// FieldNames are the names of fields, in their order.
func FieldNames(fields []Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}
