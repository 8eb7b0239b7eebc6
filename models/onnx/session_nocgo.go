//go:build !cgo

package onnx

import "fmt"

// Session is a graph that is ready to run.
type Session struct{}

// Runner runs a session with buffers of its own.
type Runner struct{}

// Open returns ErrUnavailable: this program was built without cgo.
func Open(path string, _ Options) (*Session, error) {
	return nil, fmt.Errorf("open model %s: %w: this program was built without cgo: build it with CGO_ENABLED=1 and a C compiler",
		path, ErrUnavailable)
}

// Graph of the session.
func (s *Session) Graph() *Graph { panic("onnx: no session opens without cgo") }

// Runner makes a runner.
func (s *Session) Runner() *Runner { panic("onnx: no session opens without cgo") }

// Close the session.
func (s *Session) Close() error { return nil }

// Run the graph.
func (r *Runner) Run([]Input) ([]Output, error) { panic("onnx: no session opens without cgo") }
