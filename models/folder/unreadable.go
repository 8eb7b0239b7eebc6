package folder

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"nearline/models/tasks"
)

// unreadable is everything that is wrong with a manifest that could not be read. The library's decoder stops at the first; so each key, and each
// entry of a list, is read by itself.
func unreadable(path string, data []byte, first error) error {
	file, err := parser.ParseBytes(data, 0)
	if err != nil || len(file.Docs) == 0 {
		return located(path, first)
	}
	var problems []error
	var spoiled []string
	read := manifest{}
	try := func(node ast.Node, into any) {
		err := yaml.NodeToValue(node, into, yaml.Strict(), yaml.UseOrderedMap())
		if err != nil && !strings.Contains(err.Error(), "alias") { // whose anchor is elsewhere in the file
			problems = append(problems, located(path, err))
		}
	}
	for _, pair := range pairs(file.Docs[0].Body) {
		list, isList := pair.Value.(*ast.SequenceNode)
		switch key := pair.Key.String(); {
		case isList && key == "heads":
			for _, entry := range list.Values {
				try(entry, &tasks.Head{})
			}
		case isList && key == "golden":
			for _, entry := range list.Values {
				try(entry, &golden{})
			}
		default:
			before := len(problems)
			if try(pair, &read); len(problems) > before {
				spoiled = append(spoiled, key)
			}
		}
	}
	if len(problems) == 0 { // they are only wrong together, such as a key that is there twice
		return located(path, first)
	}
	for _, problem := range separate(read.validate()) {
		if slices.ContainsFunc(spoiled, func(key string) bool { return strings.HasPrefix(problem.Error(), key) }) {
			continue // it only follows from what could not be read
		}
		problems = append(problems, fmt.Errorf("%s: %w", path, problem))
	}
	return errors.Join(problems...)
}

// pairs of a mapping; the parser has another node for one of a single key.
func pairs(node ast.Node) []*ast.MappingValueNode {
	switch of := node.(type) {
	case *ast.MappingNode:
		return of.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{of}
	}
	return nil
}

// located says where in the file a fault of YAML is.
func located(path string, err error) error {
	var fault yaml.Error
	if !errors.As(err, &fault) || fault.GetToken() == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	message := fault.GetMessage()
	if strings.Contains(message, "found character '\t'") {
		message = "a tab stands at the beginning of this line: YAML is indented by spaces, replace it with some"
	}
	at := fault.GetToken().Position
	if strings.HasPrefix(message, "unknown field") && at.Column == 1 {
		message += ": want one of " + strings.Join(manifestKeys(), ", ")
	}
	return fmt.Errorf("%s:%d:%d: %s", path, at.Line, at.Column, message)
}

// manifestKeys are those of nearline.yaml.
func manifestKeys() (keys []string) {
	for field := range reflect.TypeFor[manifest]().Fields() {
		keys = append(keys, field.Tag.Get("yaml"))
	}
	return keys
}

// separate takes joined errors apart.
func separate(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
