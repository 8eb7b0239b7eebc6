// Package plain keeps what somebody else wrote from driving the terminal that shows it: control characters, marks that turn the direction of
// writing, and bytes that are no text.
package plain

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// DrivesTerminal says whether a text has what would do things to a terminal, or show itself otherwise than it is: control characters but
// tabs and line feeds, and marks that turn the direction of writing.
func DrivesTerminal(text string) bool { return strings.ContainsFunc(text, drives) }

func drives(r rune) bool {
	return unicode.IsControl(r) && r != '\t' && r != '\n' || unicode.Is(unicode.Bidi_Control, r)
}

// Text that a terminal shows: what would drive it is written as JSON writes it in a string, such as \u001b, and bytes that are no UTF-8 are
// replaced. In encoded JSON, whose strings have no such character but those that JSON lets stand, it changes no value.
func Text(text string) string {
	if utf8.ValidString(text) && !DrivesTerminal(text) {
		return text
	}
	return string(appendPlain(nil, []byte(text)))
}

// JSON is Text for an encoded value.
func JSON(text []byte) []byte {
	if utf8.Valid(text) && !DrivesTerminal(string(text)) {
		return text
	}
	return appendPlain(make([]byte, 0, len(text)+64), text)
}

func appendPlain(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		if drives(r) {
			dst = fmt.Appendf(dst, `\u%04x`, r)
			continue
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// Writer is a terminal to which only plain text goes.
type Writer struct {
	To io.Writer

	mu   sync.Mutex // guards rest
	rest []byte     // of a character of which not all bytes were written yet
}

func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := p
	if len(w.rest) > 0 {
		text = slices.Concat(w.rest, p)
	}
	whole := len(text)
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				whole = at
			}
			break
		}
	}
	_, err := w.To.Write(JSON(text[:whole]))
	w.rest = append([]byte(nil), text[whole:]...)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Fd of the terminal, so that a logger knows that a person reads; no descriptor has the number of what has none.
func (w *Writer) Fd() uintptr {
	if file, ok := w.To.(interface{ Fd() uintptr }); ok {
		return file.Fd()
	}
	return ^uintptr(0)
}
