package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"nearline/internal/secret"
)

// reference is ${env:NAME}, ${env:NAME:-default} or ${file:PATH}; with one more $ before it, it stands for itself. A path may have variables in it.
var (
	reference = regexp.MustCompile(`\$?\$\{(?:env:[^}]*|file:(?:\$\{env:[^}]*\}|[^}])*)\}`)
	variable  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// bare is a reference as a shell writes it, or Compose. Nothing reads it here, so it would stay in an address or a password. With one more $
	// before it, it may be an escape, as Compose has it, or a text with two of them: a password is not to change without a word.
	bare = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(:?-[^}]*)?\}|^\$\$?([A-Z_][A-Z0-9_]*)$`)
)

// references are where a scalar's references are looked up.
type references struct {
	variable func(name string) (string, bool)
	// file reads the text in a file.
	file func(path string) (string, error)
}

// expand puts the values of variables, and the texts in files, in place of references. As in a shell, :- gives what to use when a variable is
// missing or empty; a default cannot hold a closing brace. Held is told of each value, and of the reference to it.
func (r references) expand(text string, held func(value, reference string)) (string, error) {
	if err := checkBare(text); err != nil {
		return text, err
	}
	var problem error
	expanded := reference.ReplaceAllStringFunc(text, func(match string) string {
		if strings.HasPrefix(match, "$$") {
			return match[1:]
		}
		var value string
		var err error
		if path, ok := strings.CutPrefix(match, "${file:"); ok {
			value, err = r.read(strings.TrimSuffix(path, "}"))
		} else {
			var fallback bool
			if value, fallback, err = r.lookup(match); fallback {
				return value
			}
		}
		if err != nil {
			problem = err
		}
		held(value, match)
		return value
	})
	rest := reference.ReplaceAllString(text, "")
	for _, begins := range []string{"${env:", "${file:"} {
		if problem == nil && strings.Contains(rest, begins) {
			problem = fmt.Errorf("a %s is not closed: want ${env:NAME}, ${env:NAME:-default} or ${file:PATH}", begins)
		}
	}
	return expanded, problem
}

// lookup what a reference to a variable stands for, and whether that is its own default.
func (r references) lookup(match string) (value string, isDefault bool, err error) {
	name, fallback, hasFallback := strings.Cut(match[len("${env:"):len(match)-1], ":-")
	value, set := r.variable(name)
	switch {
	case !variable.MatchString(name):
		err = fmt.Errorf("%q is not the name of a variable: want ${env:NAME} or ${env:NAME:-default}", name)
	case hasFallback && value == "":
		return fallback, true, nil
	case !set:
		err = fmt.Errorf("the environment variable %s is not set: set it, or give a default as in ${env:%s:-default}", name, name)
	}
	return value, false, err
}

// read the text in a file whose path may have variables in it.
func (r references) read(path string) (string, error) {
	variables := references{variable: r.variable, file: func(string) (string, error) { return "", nil }}
	expanded, err := variables.expand(path, func(string, string) {})
	if err != nil {
		return "", err
	}
	if expanded == "" {
		return "", errors.New("${file:} names no file: want ${file:PATH}, such as ${file:/run/secrets/password}")
	}
	text, err := r.file(expanded)
	if err != nil {
		return "", fmt.Errorf("${file:%s} cannot be read: %w", path, err)
	}
	return text, nil
}

// checkBare refuses references as a shell writes them, or Compose.
func checkBare(text string) error {
	if strings.ContainsAny(text, " \t\n") { // prose, such as a prompt, may have any signs
		return nil
	}
	all := bare.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return nil
	}
	parts := all[len(all)-1]
	if strings.HasPrefix(parts[0], "$$") {
		return fmt.Errorf("%s may stand for %s or for itself: want ${env:NAME}, and the text that is meant in that variable", parts[0], parts[0][1:])
	}
	meant := "${env:" + parts[1] + parts[3]
	if fallback := strings.TrimLeft(parts[2], ":"); fallback != "" {
		meant += ":" + fallback
	}
	return fmt.Errorf("%s is no reference: did you mean %s}? If it is the text itself, have a variable hold it", parts[0], meant)
}

// hasDefault says that a text stands in the configuration itself, if only for where a variable is missing.
func hasDefault(written string) bool {
	return slices.ContainsFunc(reference.FindAllString(written, -1), func(match string) bool {
		_, fallback, found := strings.Cut(match, ":-")
		return found && strings.HasPrefix(match, "${env:") && fallback != "}"
	})
}

// shown is what messages have in place of a secret: its references without their defaults, if there is nothing else in it.
func shown(written string) string {
	if reference.ReplaceAllString(written, "") != "" || strings.Contains(written, "$$") || written == "" {
		return secret.Hidden
	}
	return reference.ReplaceAllStringFunc(written, func(match string) string {
		name, _, hasDefault := strings.Cut(match, ":-")
		if hasDefault && strings.HasPrefix(match, "${env:") {
			return name + "}"
		}
		return match
	})
}
