package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// Texts are sections of a document, for whoever makes another document of them: mappings, lists, and scalars as they are written, with their references.
// No scalar is read as a number, since 0123 may be a password. A null is nil. Aliases and merge keys are followed.
func Texts(data []byte, sections ...string) (map[string]any, error) {
	d := newDecoder("")
	texts := make(map[string]any)
	if body := d.body(data); body != nil {
		pairs, _ := d.pairs("", body, "a mapping")
		for _, p := range pairs {
			if slices.Contains(sections, p.key) {
				texts[p.key] = d.written(p.key, p.value, 0)
			}
		}
	}
	d.end()
	var errs []error
	for _, p := range d.problems {
		errs = append(errs, p)
	}
	return texts, errors.Join(errs...)
}

// written is what stands in a node. What it cannot be is told.
func (d *decoder) written(path string, node ast.Node, depth int) any {
	if !d.spend(node) {
		return nil
	}
	if depth > maxNested {
		d.pass(node, path, fmt.Sprintf("%.60s... nests deeper than %d: want fewer in each other", path, maxNested))
		return nil
	}
	node, err := d.resolve(node)
	if err != nil {
		d.add(lineOf(node), path, fmt.Sprintf("%s: %v", path, err))
		return nil
	}
	if node.Type() == ast.NullType {
		return nil
	}
	if sequence, ok := node.(*ast.SequenceNode); ok {
		list := make([]any, len(sequence.Values))
		for i, element := range sequence.Values {
			list[i] = d.written(fmt.Sprintf("%s[%d]", path, i), element, depth+1)
		}
		return list
	}
	if text, ok := scalarText(node); ok {
		return text
	}
	pairs, _ := d.pairs(path, node, "a mapping")
	m := make(map[string]any, len(pairs))
	for _, p := range pairs {
		m[p.key] = d.written(join(path, p.key), p.value, depth+1)
	}
	return m
}
