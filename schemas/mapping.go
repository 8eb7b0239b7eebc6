package schemas

import (
	"strconv"
	"strings"
)

// The slots of what a decoder looks for. Copied fields follow, in the config's order, and then what the steps want.
const (
	slotID = iota
	slotText
	slotTitle
	slotCopies
)

// target is one field that a decoder looks for: where it is in the event, and what it is called.
type target struct {
	name string
	path string
}

// layout is the compiled form of a mapping: what to look for by slot, and the same as a tree of names that a decoder
// descends while it reads.
type layout struct {
	targets []target
	reads   int // the slot of the first value that a step wants, beyond the copies
	root    *node
}

// node is one segment of one or more paths.
type node struct {
	name  string
	index int // the name as an index into an array, -1 when it is none
	kids  []*node
	slots []int
	// whole says that a slot wants an object or an array as it is, and not only a scalar.
	whole bool
}

func newLayout(in InputConfig, out OutputConfig, wanted Wanted) *layout {
	m := in.mapping()
	l := &layout{
		targets: []target{slotID: {"id", m.ID}, slotText: {"text", m.Text}, slotTitle: {"title", m.Title}},
		root:    &node{index: -1},
	}
	for _, c := range out.copies(in) {
		l.targets = append(l.targets, target{c.As, c.Path})
	}
	l.reads = len(l.targets)
	for _, path := range wanted.Paths {
		l.targets = append(l.targets, target{path, path})
	}
	if wanted.Textless {
		l.targets[slotText].path, l.targets[slotTitle].path = "", ""
	}
	for slot, t := range l.targets {
		if t.path == "" {
			continue
		}
		at := l.root
		for segment := range strings.SplitSeq(t.path, ".") {
			at = at.descend(segment)
		}
		at.slots = append(at.slots, slot)
		at.whole = at.whole || slot >= slotCopies
	}
	return l
}

// descend finds the child of that name, or adds it.
func (n *node) descend(name string) *node {
	if kid := n.kid([]byte(name)); kid != nil {
		return kid
	}
	index, err := strconv.Atoi(name)
	if err != nil || index < 0 {
		index = -1
	}
	kid := &node{name: name, index: index}
	n.kids = append(n.kids, kid)
	return kid
}

// kid is the child of that name, nil when nobody looks for it. Mappings have a handful of names: comparing lengths and
// bytes is faster than hashing.
func (n *node) kid(name []byte) *node {
	for _, kid := range n.kids {
		if kid.name == string(name) {
			return kid
		}
	}
	return nil
}

// element is the child for that index of an array.
func (n *node) element(index int) *node {
	for _, kid := range n.kids {
		if kid.index == index {
			return kid
		}
	}
	return nil
}
