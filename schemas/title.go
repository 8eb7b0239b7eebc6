package schemas

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// JoinTitle is the text that models read of an event with a title: "title. text", as they saw it in training. A title
// that ends in punctuation gets no full stop, and an empty one leaves the text as it is. Stream, online and offline all
// join here, so that they agree.
func JoinTitle(title, text string) string {
	title = strings.TrimSpace(title)
	if title == "" {
		return text
	}
	last, _ := utf8.DecodeLastRuneInString(title)
	return title + separator(last) + text
}

func separator(last rune) string {
	if unicode.IsPunct(last) {
		return " "
	}
	return ". "
}
