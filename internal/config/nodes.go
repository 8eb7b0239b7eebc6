package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// pair is one key of a mapping.
type pair struct {
	key   string
	line  int
	value ast.Node
}

// pairs are the keys of a mapping in order, with those that it merges in before its own.
func (d *decoder) pairs(path string, node ast.Node, wanted string) ([]pair, bool) {
	var pairs []pair
	if err := d.collectPairs(node, &pairs, map[string]int{}, 0); err != nil {
		at := path
		if at == "" {
			at = "the configuration"
		}
		if wrong, ok := errors.AsType[*notMapping](err); ok {
			err = fmt.Errorf("is %s: want %s", describe(wrong.node), wanted)
			node = wrong.node
		}
		d.add(lineOf(node), path, fmt.Sprintf("%s %v", at, err))
		return nil, false
	}
	return pairs, true
}

// notMapping says that there is something else where keys were expected.
type notMapping struct{ node ast.Node }

func (*notMapping) Error() string { return "is not a mapping" }

// collectPairs with the place of each key among them.
func (d *decoder) collectPairs(node ast.Node, pairs *[]pair, places map[string]int, depth int) error {
	if depth > 0 && !d.spend(node) {
		return nil // which is told
	}
	if depth > maxDepth {
		return errors.New("merges itself: want << with an alias to a mapping that stands elsewhere")
	}
	node, err := d.resolve(node)
	if err != nil {
		return err
	}
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return &notMapping{node}
	}
	for _, v := range values {
		if !v.Key.IsMergeKey() {
			continue
		}
		merged, err := d.resolve(v.Value)
		if err != nil {
			return err
		}
		sources := []ast.Node{merged}
		if sequence, ok := merged.(*ast.SequenceNode); ok {
			sources = slices.Clone(sequence.Values) // the first of them wins, so it comes last
			slices.Reverse(sources)
		}
		for _, source := range sources {
			if err := d.collectPairs(source, pairs, places, depth+1); err != nil {
				return err
			}
		}
	}
	for _, v := range values {
		if v.Key.IsMergeKey() {
			continue
		}
		key, ok := scalarText(v.Key)
		if !ok {
			return fmt.Errorf("has a key that is %s: want a name", describe(v.Key))
		}
		own := pair{key, lineOf(v.Key), v.Value}
		if i, there := places[key]; there {
			(*pairs)[i] = own
		} else {
			places[key] = len(*pairs)
			*pairs = append(*pairs, own)
		}
	}
	return nil
}

// resolve follows anchors and aliases to the value itself.
func (d *decoder) resolve(node ast.Node) (ast.Node, error) {
	at := node
	for range maxDepth {
		switch n := node.(type) {
		case nil:
			return ast.Null(at.GetToken()), nil
		case *ast.AnchorNode:
			node = n.Value
		case *ast.AliasNode:
			name := n.Value.GetToken().Value
			anchored, ok := d.anchors[name]
			if !ok {
				return at, fmt.Errorf("*%s is nowhere defined: want &%s before a value above", name, name)
			}
			node = anchored
		case *ast.TagNode:
			return at, fmt.Errorf("tag %s is not supported: write the value without it", n.Start.Value)
		default:
			return node, nil
		}
	}
	return at, errors.New("an alias leads back to itself")
}

type anchorFinder map[string]ast.Node

func (f anchorFinder) Visit(node ast.Node) ast.Visitor {
	if anchor, ok := node.(*ast.AnchorNode); ok {
		f[anchor.Name.GetToken().Value] = anchor.Value
	}
	return f
}

// scalarText is a scalar as it was written, without quotes.
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// describe names a value in an error.
func describe(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	}
	if text, ok := scalarText(node); ok {
		return strconv.Quote(text)
	}
	return "a " + strings.ToLower(node.Type().YAMLName())
}

func isComment(node ast.Node) bool {
	_, ok := node.(*ast.CommentGroupNode)
	return ok
}

func lineOf(node ast.Node) int {
	if node == nil || reflect.ValueOf(node).IsNil() {
		return 0
	}
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		return lineOf(m.Values[0].Key)
	}
	if m, ok := node.(*ast.MappingValueNode); ok {
		return lineOf(m.Key)
	}
	if token := node.GetToken(); token != nil && token.Position != nil {
		return token.Position.Line
	}
	return 0
}
