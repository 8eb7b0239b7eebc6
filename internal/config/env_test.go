package config

import (
	"io/fs"
	"testing"
)

func TestExpand(t *testing.T) {
	r := references{variable: func(name string) (string, bool) {
		value, ok := map[string]string{"A": "one", "EMPTY": "", "DOLLARS": "$$SECRET${x}", "NESTED": "${env:A}"}[name]
		return value, ok
	}, file: func(path string) (string, error) {
		content, ok := map[string]string{"/run/a": "one", "one/b": "two", "c": "${env:A}", "}": "brace"}[path]
		if !ok {
			return "", fs.ErrNotExist
		}
		return content, nil
	}}
	for _, c := range []struct{ text, want, problem string }{
		{"plain $ {env:A} $A ${A}", "plain $ {env:A} $A ${A}", ""},
		{"${env:A}", "one", ""},
		{"<${env:A}${env:A}>", "<oneone>", ""},
		{"${env:EMPTY}", "", ""},
		{"${env:EMPTY:-two}", "two", ""},
		{"${env:MISSING:-two:-three}", "two:-three", ""},
		{"${env:MISSING:-}", "", ""},
		{"${env:A:-two}", "one", ""},
		{"$${env:A}", "${env:A}", ""},
		{"${env:NESTED}", "${env:A}", ""},
		{"${env:MISSING}", "", "the environment variable MISSING is not set: set it, or give a default as in ${env:MISSING:-default}"},
		{"${env:}", "", `"" is not the name of a variable: want ${env:NAME} or ${env:NAME:-default}`},
		{"${env:A B}", "", `"A B" is not the name of a variable: want ${env:NAME} or ${env:NAME:-default}`},
		{"${A}", "", "${A} is no reference: did you mean ${env:A}? If it is the text itself, have a variable hold it"},
		{"$A", "", "$A is no reference: did you mean ${env:A}? If it is the text itself, have a variable hold it"},
		{"${A}:${PORT}", "", "${PORT} is no reference: did you mean ${env:PORT}? If it is the text itself, have a variable hold it"},
		{"${A:-two}", "", "${A:-two} is no reference: did you mean ${env:A:-two}? If it is the text itself, have a variable hold it"},
		{"redis://:${A}@h", "", "${A} is no reference: did you mean ${env:A}? If it is the text itself, have a variable hold it"},
		{"$${A}", "", "$${A} may stand for ${A} or for itself: want ${env:NAME}, and the text that is meant in that variable"},
		{"a$${x}b", "", "$${x} may stand for ${x} or for itself: want ${env:NAME}, and the text that is meant in that variable"},
		{"$$SECRET", "", "$$SECRET may stand for $SECRET or for itself: want ${env:NAME}, and the text that is meant in that variable"},
		{"${env:DOLLARS}", "$$SECRET${x}", ""},
		{"pa$$word$$", "pa$$word$$", ""},
		{"a$A", "a$A", ""},
		{"${env:A", "", "a ${env: is not closed: want ${env:NAME}, ${env:NAME:-default} or ${file:PATH}"},
		{"${file:/run/a}", "one", ""},
		{"<${file:/run/a}${env:A}>", "<oneone>", ""},
		{"${file:${env:A}/b}", "two", ""},
		{"${file:c}", "${env:A}", ""},
		{"$${file:/run/a}", "${file:/run/a}", ""},
		{"${file:none}", "", "${file:none} cannot be read: file does not exist"},
		{"${file:${env:MISSING}/b}", "", "the environment variable MISSING is not set: set it, or give a default as in ${env:MISSING:-default}"},
		{"${file:${env:MISSING:-one}/b}", "two", ""},
		{"${file:}", "", "${file:} names no file: want ${file:PATH}, such as ${file:/run/secrets/password}"},
		{"${file:/run/a", "", "a ${file: is not closed: want ${env:NAME}, ${env:NAME:-default} or ${file:PATH}"},
	} {
		got, err := r.expand(c.text, func(string, string) {})
		switch {
		case c.problem == "" && (err != nil || got != c.want):
			t.Errorf("expand(%q) = %q, %v; want %q", c.text, got, err, c.want)
		case c.problem != "" && (err == nil || err.Error() != c.problem):
			t.Errorf("expand(%q) gave error %v, want %s", c.text, err, c.problem)
		}
	}
}

func TestMessagesShowOnlyTheReferencesOfASecret(t *testing.T) {
	for written, want := range map[string]string{
		"hunter2":                  "(hidden)",
		"${env:A}":                 "${env:A}",
		"${env:A:-hunter2}":        "${env:A}",
		"${file:/run/a}":           "${file:/run/a}",
		"${env:A}${file:/run/a}":   "${env:A}${file:/run/a}",
		"hunter2${env:A}":          "(hidden)",
		"$${env:hunter2}":          "(hidden)",
		"${file:${env:D:-/run}/a}": "${file:${env:D:-/run}/a}",
	} {
		if got := shown(written); got != want {
			t.Errorf("%s: got %s, want %s", written, got, want)
		}
	}
}

func TestADefaultIsWrittenInTheConfiguration(t *testing.T) {
	for written, want := range map[string]bool{
		"${env:A:-hunter2}": true, "x${env:B}${env:A:-y}": true, "${env:A}": false, "${env:A:-}": false, "$${env:A:-x}": false, "${file:${env:D:-/run}/a}": false, "a:-b": false,
	} {
		if got := hasDefault(written); got != want {
			t.Errorf("%s: got %v, want %v", written, got, want)
		}
	}
}
