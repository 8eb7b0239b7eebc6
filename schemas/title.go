package schemas

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// Heading is what models read of an event's title, before its text: "title. ", as they saw it in training. A title that ends in
// punctuation gets no full stop, and an empty one leaves the text as it is.
func Heading(title string) string { return string(appendHeading(nil, []byte(title))) }

// appendHeading is Heading for the decoders of stream, online and offline alike.
func appendHeading(dst, title []byte) []byte {
	title = bytes.TrimSpace(title)
	if len(title) == 0 {
		return dst
	}
	dst = append(dst, title...)
	if last, _ := utf8.DecodeLastRune(title); unicode.IsPunct(last) {
		return append(dst, ' ')
	}
	return append(dst, ". "...)
}
