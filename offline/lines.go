package offline

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// DefaultMaxLine is the longest line that is taken, in bytes: four times what a Kafka broker takes by default.
const DefaultMaxLine = 4 << 20

// keptOfTooLong is how much of a line that is too long is kept to be shown, in bytes.
const keptOfTooLong = 256

// Line is one line of a file.
type Line struct {
	// Number counts from 1, blank lines included.
	Number int64
	// Text is the line without its end, whether that was \n or \r\n. Of a line that is too long it is the first bytes.
	// It is valid until the next call of Next.
	Text []byte
	// Size is the length of the whole line, without its end.
	Size int64
	// TooLong says that Size is past the limit and that the rest was skipped.
	TooLong bool
}

// Blank says that there is nothing on the line but white space.
func (l Line) Blank() bool { return len(bytes.TrimSpace(l.Text)) == 0 && !l.TooLong }

// Lines reads a file line by line, holding no more than one line up to the limit. A byte order mark at the start is left
// out. Not safe for concurrent use.
type Lines struct {
	in     *bufio.Reader
	max    int
	number int64
	read   int64
	buf    []byte
}

// NewLines reads lines of at most limit bytes; zero means DefaultMaxLine.
func NewLines(r io.Reader, limit int) *Lines {
	if limit <= 0 {
		limit = DefaultMaxLine
	}
	return &Lines{in: bufio.NewReaderSize(r, 64<<10), max: limit}
}

// Read is how many bytes were read, line ends included.
func (l *Lines) Read() int64 { return l.read }

// Next reads a line. At the end of the file the error is io.EOF, and the line is of no use; a last line without an end
// is a line.
func (l *Lines) Next() (Line, error) {
	l.buf = l.buf[:0]
	line := Line{Number: l.number + 1}
	for {
		part, err := l.in.ReadSlice('\n')
		l.read += int64(len(part))
		if line.Number == 1 && line.Size == 0 {
			part = bytes.TrimPrefix(part, []byte("\xef\xbb\xbf"))
		}
		line.Size += int64(len(part))
		if room := l.max + len("\r\n") - len(l.buf); room > 0 {
			l.buf = append(l.buf, part[:min(len(part), room)]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return Line{}, err
		case err != nil && line.Size == 0:
			return Line{}, io.EOF
		}
		l.number++
		line.Text = l.buf
		if line.Size == int64(len(l.buf)) {
			line.Text = bytes.TrimSuffix(line.Text, []byte("\n"))
			if len(line.Text) < len(l.buf) {
				line.Text = bytes.TrimSuffix(line.Text, []byte("\r"))
			}
			line.Size = int64(len(line.Text))
		}
		if line.Size > int64(l.max) {
			line.TooLong = true
			line.Text = line.Text[:min(len(line.Text), keptOfTooLong)]
			if cap(l.buf) > 1<<20 {
				l.buf = nil // one long line does not cost its size for the rest of the file
			}
		}
		return line, nil
	}
}
