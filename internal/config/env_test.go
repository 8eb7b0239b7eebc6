package config

import "testing"

func TestExpand(t *testing.T) {
	lookup := func(name string) (string, bool) {
		value, ok := map[string]string{"A": "one", "EMPTY": "", "DOLLARS": "$$SECRET${x}", "NESTED": "${env:A}"}[name]
		return value, ok
	}
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
		{"${env:A", "", "a ${env: is not closed: want ${env:NAME} or ${env:NAME:-default}"},
	} {
		got, err := expand(c.text, lookup, func(string, string) {})
		switch {
		case c.problem == "" && (err != nil || got != c.want):
			t.Errorf("expand(%q) = %q, %v; want %q", c.text, got, err, c.want)
		case c.problem != "" && (err == nil || err.Error() != c.problem):
			t.Errorf("expand(%q) gave error %v, want %s", c.text, err, c.problem)
		}
	}
}
