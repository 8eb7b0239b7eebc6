package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"nearline/internal/secret"
)

// scalar hands the node's text, with the environment's values in it, to set. Messages show the text as it was written:
// what the environment holds may be secret. Kept says that the text itself is what is set, so that others may come to show it.
func (d *decoder) scalar(path string, node ast.Node, kept bool, set func(text string) error) {
	written, ok := scalarText(node)
	if !ok {
		d.add(lineOf(node), path, fmt.Sprintf("%s is %s: want a single value", path, describe(node)))
		return
	}
	text, err := written, error(nil)
	var held []reading
	switch node.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		text, err = d.references.expand(written, func(value, reference string) { held = append(held, reading{path, value, reference}) })
	}
	if err == nil {
		err = set(text)
	}
	if err == nil && kept {
		d.texts.note(path, text, written, held)
	}
	r, ok := errors.AsType[*remedy](err)
	switch complete := ok && r.complete; {
	case err == nil:
	case complete && text == written:
		d.add(lineOf(node), path, fmt.Sprintf("%s is %s", path, r.text))
	case complete:
		d.add(lineOf(node), path, fmt.Sprintf("%s is %q, and its value cannot be used", path, written))
	default:
		d.add(lineOf(node), path, fmt.Sprintf("%s is %q: %v", path, written, err))
	}
}

// secret reads a text that no message shows, or one that messages show where it stands in the configuration itself. The files that it names are read
// again at each use.
func (d *decoder) secret(path string, node ast.Node, target *secret.Text, hidden bool) {
	written, ok := scalarText(node)
	if !ok {
		d.add(lineOf(node), path, fmt.Sprintf("%s is %s: want a single value", path, describe(node)))
		return
	}
	load := func() (string, error) { return written, nil }
	switch node.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		if checkBare(written) != nil {
			d.add(lineOf(node), path, path+" looks like a reference of a shell: want ${env:NAME} or ${file:PATH}; if it is the secret itself, have a variable or a file hold it")
			return
		}
		load = func() (string, error) { return d.references.expand(written, func(string, string) {}) }
	}
	if written == "" {
		*target = secret.Text{}
		return
	}
	said := shown(written)
	if hidden && hasDefault(written) { // so that it counts as one that is written here
		said = secret.Hidden
	}
	literal := !hidden && said == secret.Hidden && !reference.MatchString(written)
	if literal {
		said = written
	}
	text := secret.New(path, said, load)
	if _, err := text.Read(); err != nil {
		d.add(lineOf(node), path, fmt.Sprintf("%s: %v", path, err))
		return
	}
	switch {
	case literal:
		d.texts.literal[written] = true
	case !hidden && !strings.Contains(written, "${env:"):
		d.texts.names = append(d.texts.names, text)
	default:
		d.texts.secrets = append(d.texts.secrets, text)
	}
	*target = text
}

// fileIn reads texts in files whose paths are relative to folder.
func fileIn(folder string) func(path string) (string, error) {
	return func(path string) (string, error) {
		return secret.File(beside(folder, path))
	}
}

// remedy says what was wanted of a scalar. A complete one begins with the value itself.
type remedy struct {
	text     string
	complete bool
}

func (r *remedy) Error() string { return r.text }

func want(what string) error { return &remedy{text: "want " + what} }

func setScalar(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch text {
		case "true", "false":
			v.SetBool(text == "true")
		default:
			return want("true or false")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, v.Type().Bits())
		if err != nil {
			return want("a whole number")
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(strings.ReplaceAll(text, "_", ""), 10, v.Type().Bits())
		if err != nil {
			return want("a whole number, 0 or more")
		}
		v.SetUint(n)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil {
			return want("a number")
		}
		v.SetFloat(f)
	default:
		panic("config: a field of type " + v.Type().String() + " cannot be read")
	}
	return nil
}
