package observe

import (
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable is a text without what would do things to a terminal, or show itself otherwise than it is: control characters but tabs and line feeds, marks
// that turn the direction of writing, and what is no text. They are shown as Go escapes them, such as \x1b.
func Printable(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, drives) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && size == 1 || drives(r) {
			quoted := strconv.QuoteToASCII(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
		text = text[size:]
	}
	return b.String()
}

func drives(r rune) bool {
	return unicode.IsControl(r) && r != '\t' && r != '\n' || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// PrintableError says the same, as Printable has it; nil stays nil. What it wraps is still found.
func PrintableError(err error) error {
	if err == nil {
		return nil
	}
	if text := Printable(err.Error()); text != err.Error() {
		return &printableError{err, text}
	}
	return err
}

type printableError struct {
	err  error
	text string
}

func (e *printableError) Error() string { return e.text }

func (e *printableError) Unwrap() error { return e.err }

// PrintableWriter has what is written to w go through Printable; each write is looked at by itself.
func PrintableWriter(w io.Writer) io.Writer { return printableWriter{w} }

type printableWriter struct{ to io.Writer }

func (p printableWriter) Write(text []byte) (int, error) {
	if _, err := io.WriteString(p.to, Printable(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Fd of what is written to, so that a terminal is known for one; no descriptor has the number of what has none.
func (p printableWriter) Fd() uintptr {
	if file, ok := p.to.(interface{ Fd() uintptr }); ok {
		return file.Fd()
	}
	return ^uintptr(0)
}
