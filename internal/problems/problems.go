// Package problems is the list of what is wrong with a configuration: each problem with the path of its key, and a message for whoever wrote it.
// What is wrong is the rooms' to say; where it stands in a file is internal/config's.
package problems

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	// Path of the key, such as pipelines[0].cycle.members; "" when the problem is not a key's.
	Path string
	// Message begins with the path, and names value and remedy.
	Message string
}

func (p *Problem) Error() string { return p.Message }

// List of problems. The zero value has none.
type List struct{ all []error }

// Add a problem of the key at path. What is said follows the path, after a space unless it begins with a colon.
func (l *List) Add(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" && !strings.HasPrefix(format, ":") {
		text = " " + text
	}
	l.all = append(l.all, &Problem{Path: path, Message: path + text})
}

// Join adds the problems of an error that Err made; nil adds none.
func (l *List) Join(err error) {
	for _, p := range From(err) {
		l.all = append(l.all, p)
	}
}

// Err joins all problems; it is nil when there are none.
func (l *List) Err() error { return errors.Join(l.all...) }

// From tells the problems of an error that Err made. An error of another kind is a problem of no key.
func From(err error) []*Problem {
	if err == nil {
		return nil
	}
	if p, ok := err.(*Problem); ok { //nolint:errorlint // one that wraps a problem says more than it
		return []*Problem{p}
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []*Problem{{Message: err.Error()}}
	}
	var all []*Problem
	for _, e := range joined.Unwrap() {
		all = append(all, From(e)...)
	}
	return all
}
