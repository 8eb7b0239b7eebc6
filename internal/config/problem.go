package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nearline/internal/observe"
	"nearline/internal/problems"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	File string
	// Line in the file, from 1; 0 when the problem is not in one place.
	Line int
	// Path of the key, such as pipelines[0].cycle.members; "" when the problem is not a key's.
	Path string
	// Message names key, value and remedy.
	Message string
}

func (p *Problem) Error() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Message)
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// maxMessage is how much of a message is told: names that it quotes may be as long as the file.
const maxMessage = 4 << 10

// told is a message as it is printed.
func told(message string) string {
	if n := len(message); n > maxMessage {
		message = message[:maxMessage/2] + "..." + message[n-maxMessage/2:]
	}
	return observe.Printable(message)
}

// Problems are all that an error of Load or Parse joins, in the order of the file.
func Problems(err error) []*Problem {
	var problems []*Problem
	for _, e := range flatten(err) {
		if p, ok := errors.AsType[*Problem](e); ok {
			problems = append(problems, p)
		}
	}
	return problems
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, flatten(e)...)
	}
	return errs
}

// locate gives the problems of a Validate their lines. Those that only follow from a value that could not be read are left out.
func (d *decoder) locate(err error) {
	for _, found := range problems.Of(err) {
		if len(d.problems) >= maxProblems {
			d.problems = append(d.problems, &Problem{File: d.file, Message: "there are more problems than these"})
			return
		}
		path := found.Path
		if d.follows(path) {
			continue
		}
		line := 0
		for at := path; at != "" && line == 0; at = parent(at) {
			line = d.lines[at]
		}
		d.problems = append(d.problems, &Problem{File: d.file, Line: line, Path: path, Message: told(d.texts.show(path, found.Message))})
	}
}

// follows says that the value at path, one that it is in, or one that is in it, could not be read.
func (d *decoder) follows(path string) bool {
	for spoiled := range d.spoiled {
		if within(path, spoiled) || within(spoiled, path) {
			return true
		}
	}
	return false
}

// within says that path is outer, or below it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func (d *decoder) join() error {
	slices.SortStableFunc(d.problems, func(a, b *Problem) int { return cmp.Compare(a.Line, b.Line) })
	errs := make([]error, len(d.problems))
	for i, p := range d.problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// parent of pipelines[0].cycle is pipelines[0], then pipelines, then "".
func parent(path string) string {
	i := max(strings.LastIndexByte(path, '.'), strings.LastIndexByte(path, '['))
	return path[:max(i, 0)]
}

// unindexed is the path with [] for every index.
func unindexed(path string) string {
	var b strings.Builder
	inside := false
	for _, r := range path {
		switch {
		case r == ']':
			inside = false
		case inside:
			continue
		case r == '[':
			inside = true
		}
		b.WriteRune(r)
	}
	return b.String()
}

// nearest is the name that key was probably meant to be, "" when none is near.
func nearest(key string, names []string) string {
	const longest = 100 // what is longer is no slip of the hand, and would take long to compare
	best, distance := "", 1+len(key)/3
	if len(key) > longest {
		return ""
	}
	for _, name := range names {
		if len(name) > longest {
			continue
		}
		if d := edits(key, name); d <= distance && (best == "" || d < distance) {
			best, distance = name, d
		}
	}
	return best
}

// DidYouMean ends a message about a name that there is not: "; did you mean NAME?", or nothing where none of the names is near.
func DidYouMean(name string, names []string) string {
	if meant := nearest(name, names); meant != "" && name != "" {
		return fmt.Sprintf("; did you mean %s?", meant)
	}
	return ""
}

// edits is the number of characters to insert, delete, replace or swap with their neighbour to make b of a (optimal string
// alignment distance).
func edits(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// Nearest is the name that a mistyped one was probably meant to be, "" when none is near.
func Nearest(name string, names []string) string { return nearest(name, names) }

// Slip is the name from which a mistyped one differs by a single slip of the finger, "" when there is none.
func Slip(name string, names []string) string {
	meant := nearest(name, names)
	if meant != "" && edits(name, meant) > 1 {
		return ""
	}
	return meant
}
