package offline

import (
	"bufio"
	"io"
)

// sink is a buffered output that knows how much of what it was given has arrived. After the first error it takes nothing more.
type sink struct {
	buffer         *bufio.Writer
	to             io.Writer
	added, written int64
}

func newSink(to io.Writer) *sink {
	s := &sink{to: to}
	s.buffer = bufio.NewWriterSize(writerFunc(s.write), 256<<10)
	return s
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (s *sink) write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	s.written += int64(n)
	return n, err
}

func (s *sink) add(p []byte) {
	_, _ = s.buffer.Write(p) // the buffer keeps its error for flush
	s.added += int64(len(p))
}

func (s *sink) flush() error { return s.buffer.Flush() }
