package config

import (
	"fmt"
	"regexp"
	"strings"
)

// reference is ${env:NAME} or ${env:NAME:-default}; with one more $ before it, it stands for itself.
var (
	reference = regexp.MustCompile(`\$?\$\{env:([^}]*)\}`)
	variable  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// bare is a reference as a shell writes it, or Compose. Nothing reads it here, so it would stay in an address or a password. With one more $
	// before it, it may be an escape, as Compose has it, or a text with two of them: a password is not to change without a word.
	bare = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(:?-[^}]*)?\}|^\$\$?([A-Z_][A-Z0-9_]*)$`)
)

// expand puts the environment's values in place of references. As in a shell, :- gives what to use when a variable is
// missing or empty; a default cannot hold a closing brace. Held is told of each value that comes from the environment, and of the reference to it.
func expand(text string, lookup func(string) (string, bool), held func(value, reference string)) (string, error) {
	var problem error
	text = bare.ReplaceAllStringFunc(text, func(match string) string {
		if strings.ContainsAny(text, " \t\n") { // prose, such as a prompt, may have any signs
			return match
		}
		if strings.HasPrefix(match, "$$") {
			problem = fmt.Errorf("%s may stand for %s or for itself: want ${env:NAME}, and the text that is meant in that variable", match, match[1:])
			return match
		}
		parts := bare.FindStringSubmatch(match)
		meant := "${env:" + parts[1] + parts[3]
		if fallback := strings.TrimLeft(parts[2], ":"); fallback != "" {
			meant += ":" + fallback
		}
		problem = fmt.Errorf("%s is no reference: did you mean %s}? If it is the text itself, have a variable hold it", match, meant)
		return match
	})
	if problem != nil {
		return text, problem
	}
	expanded := reference.ReplaceAllStringFunc(text, func(match string) string {
		if strings.HasPrefix(match, "$$") {
			return match[1:]
		}
		name, fallback, hasFallback := strings.Cut(match[len("${env:"):len(match)-1], ":-")
		value, set := lookup(name)
		switch {
		case !variable.MatchString(name):
			problem = fmt.Errorf("%q is not the name of a variable: want ${env:NAME} or ${env:NAME:-default}", name)
		case hasFallback && value == "":
			return fallback
		case !set:
			problem = fmt.Errorf("the environment variable %s is not set: set it, or give a default as in ${env:%s:-default}", name, name)
		}
		held(value, match)
		return value
	})
	if problem == nil && strings.Contains(reference.ReplaceAllString(text, ""), "${env:") {
		problem = fmt.Errorf("a ${env: is not closed: want ${env:NAME} or ${env:NAME:-default}")
	}
	return expanded, problem
}
