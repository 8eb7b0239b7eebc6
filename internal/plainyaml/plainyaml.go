// Package plainyaml parses YAML that people wrote, within bounds of time and memory: the parser goes as deep as a document nests, which ends the process
// when its stack is full; it looks through a mapping for each of its keys; and a few aliases of aliases stand for more values than there is
// memory for. What is in a document is for its readers to say.
package plainyaml

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds, all of them guesses far above what anybody writes.
const (
	// maxDepth of lists and mappings in each other.
	maxDepth = 100
	// maxCompared is how often keys of mappings may be compared: with some 22,000 keys in one it is reached, within some seconds. Only mappings in
	// block style cost so much.
	maxCompared = 250_000_000
	// maxCopied is how many values aliases may add.
	maxCopied = 100_000
)

// BoundError says where a document passes a bound.
type BoundError struct {
	Line int
	text string
}

func (e *BoundError) Error() string { return e.text }

// Parse a document. The error is the parser's, or a *BoundError. Aliases are not followed: see Check.
func Parse(data []byte) (*ast.File, error) {
	tokens := lexer.Tokenize(string(data))
	if err := scan(tokens); err != nil {
		return nil, err
	}
	return parser.Parse(tokens, 0)
}

// Check that a document may be read by a decoder that follows aliases. What is no YAML is for the decoder to say.
func Check(data []byte) error {
	tokens := lexer.Tokenize(string(data))
	if err := scan(tokens); err != nil {
		return err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil //nolint:nilerr // the decoder says the same, as its caller wants it
	}
	for _, document := range file.Docs {
		if err := weigh(document.Body); err != nil {
			return err
		}
	}
	return nil
}

// level is a list or mapping in block style that a token is in.
type level struct {
	column, keys int
	list         bool
}

// scan tokens for how deep they nest, and for how many keys there are in one mapping.
func scan(tokens token.Tokens) error {
	var levels []level // from the outside
	flow, compared := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			if flow > 0 {
				break
			}
			list, column := t.Type == token.SequenceEntryType, t.Position.Column
			if t.Type == token.MappingValueType && t.Prev != nil && t.Prev.Position.Line == t.Position.Line {
				column = t.Prev.Position.Column // of the key
			}
			for n := len(levels); n > 0 && (levels[n-1].column > column || levels[n-1].column == column && levels[n-1].list && !list); n-- {
				levels = levels[:n-1]
			}
			if n := len(levels); n == 0 || levels[n-1].column < column || levels[n-1].list != list {
				levels = append(levels, level{column: column, list: list})
			}
			if !list {
				top := &levels[len(levels)-1]
				top.keys++
				compared += top.keys
			}
		}
		switch {
		case len(levels)+flow > maxDepth:
			return &BoundError{t.Position.Line, fmt.Sprintf("lists and mappings nest deeper than %d here: want fewer in each other", maxDepth)}
		case compared > maxCompared:
			return &BoundError{t.Position.Line, "there are too many keys up to here: want at most 20000 in one mapping, or a long one written as {a: 1, b: 2}"}
		}
	}
	return nil
}

// weigh what aliases stand for.
func weigh(body ast.Node) error {
	w := &weighing{anchors: map[string][]ast.Node{}, known: map[ast.Node]int{}}
	if body == nil {
		return nil
	}
	ast.Walk(finder{w}, body)
	whole := w.weigh(body)
	if w.err == nil && whole > len(w.known)+maxCopied {
		w.err = &BoundError{body.GetToken().Position.Line, fmt.Sprintf("its aliases stand for more than %d values: write out what you need of them", maxCopied)}
	}
	return w.err
}

type weighing struct {
	anchors map[string][]ast.Node
	known   map[ast.Node]int // by node; -1 while it is found out
	err     error
}

// weigh a node: how many values there are once aliases are followed.
func (w *weighing) weigh(node ast.Node) int {
	if node == nil || w.err != nil {
		return 0
	}
	if known, ok := w.known[node]; ok {
		if known < 0 {
			w.err = &BoundError{node.GetToken().Position.Line, "an alias leads back to itself: want one to a value that stands elsewhere"}
		}
		return known
	}
	w.known[node] = -1
	sum := 1
	add := func(below ast.Node) { sum = min(sum+w.weigh(below), 1<<40) }
	switch n := node.(type) {
	case *ast.MappingNode:
		for _, value := range n.Values {
			add(value)
		}
	case *ast.MappingValueNode:
		add(n.Value)
	case *ast.SequenceNode:
		for _, value := range n.Values {
			add(value)
		}
	case *ast.AnchorNode:
		add(n.Value)
	case *ast.TagNode:
		add(n.Value)
	case *ast.AliasNode:
		most := 0
		for _, anchored := range w.anchors[n.Value.GetToken().Value] {
			most = max(most, w.weigh(anchored))
		}
		sum += most
	}
	w.known[node] = sum
	return sum
}

type finder struct{ *weighing }

func (f finder) Visit(node ast.Node) ast.Visitor {
	if anchor, ok := node.(*ast.AnchorNode); ok {
		name := anchor.Name.GetToken().Value
		f.anchors[name] = append(f.anchors[name], anchor.Value)
	}
	return f
}
