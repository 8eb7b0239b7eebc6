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
	for _, found := range problems.From(err) {
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
		if isUnder(path, spoiled) || isUnder(spoiled, path) {
			return true
		}
	}
	return false
}

// isUnder says that path is outer, or below it.
func isUnder(path, outer string) bool {
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
