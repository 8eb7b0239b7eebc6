package tokenizer

import "slices"

// trie finds the longest key that a text begins with, in one pass over the text and without hashing: a double array
// (Aoe, "An efficient digital search algorithm by using a double-array structure", 1989).
type trie struct {
	cells []cell
}

// cell is a state. The child of state s by byte b is cell base+b, if that cell's parent is s.
type cell struct {
	base   int32
	parent int32
	value  int32
}

const (
	root    int32 = 0
	noState int32 = -1
	noValue int32 = -1
)

// maxProbes bounds the search for a place among used cells: a guess that keeps building linear at little waste.
const maxProbes = 512

// newTrie builds a trie over the keys of values; an empty key is left out.
func newTrie(values map[string]int32) *trie {
	keys := make([]string, 0, len(values))
	for k := range values {
		if k != "" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)

	t := &trie{cells: []cell{{parent: noState, value: noValue}}}
	type node struct {
		state, depth int32
		keys         []string // that pass through the state
	}
	firstFree := int32(1)
	children := make([]byte, 0, 256)
	todo := []node{{state: root, keys: keys}}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if len(n.keys) > 0 && len(n.keys[0]) == int(n.depth) {
			t.cells[n.state].value = values[n.keys[0]]
			n.keys = n.keys[1:]
		}
		if len(n.keys) == 0 {
			continue
		}
		children = children[:0]
		for _, k := range n.keys {
			if b := k[n.depth]; len(children) == 0 || children[len(children)-1] != b {
				children = append(children, b)
			}
		}
		base := t.place(children, &firstFree)
		t.cells[n.state].base = base
		rest := n.keys
		for _, b := range children {
			end, _ := slices.BinarySearchFunc(rest, int(b)+1, func(k string, next int) int {
				return int(k[n.depth]) - next
			})
			child := base + int32(b)
			t.cells[child].parent = n.state
			todo = append(todo, node{state: child, depth: n.depth + 1, keys: rest[:end]})
			rest = rest[end:]
		}
	}
	return t
}

// place returns a base at which the cells of all children are free, and makes those cells exist.
func (t *trie) place(children []byte, firstFree *int32) int32 {
	for int(*firstFree) < len(t.cells) && t.cells[*firstFree].parent != noState {
		*firstFree++
	}
	low, high := int32(children[0]), int32(children[len(children)-1])
	base := max(1, *firstFree-low)
	for probes := 0; !t.free(base, children); probes++ {
		base++
		if probes == maxProbes {
			base = max(base, int32(len(t.cells))-low)
		}
	}
	for int32(len(t.cells)) <= base+high {
		t.cells = append(t.cells, cell{parent: noState, value: noValue})
	}
	return base
}

func (t *trie) free(base int32, children []byte) bool {
	for _, b := range children {
		if i := int(base) + int(b); i < len(t.cells) && t.cells[i].parent != noState {
			return false
		}
	}
	return true
}

// step returns the child of state by b, or noState.
func (t *trie) step(state int32, b byte) int32 {
	next := t.cells[state].base + int32(b)
	if int(next) < len(t.cells) && t.cells[next].parent == state {
		return next
	}
	return noState
}

// find returns the state that key leads to, or noState.
func (t *trie) find(key string) int32 {
	state := root
	for i := 0; i < len(key) && state != noState; i++ {
		state = t.step(state, key[i])
	}
	return state
}

// lookUp returns the value of the key that is all of text, or noValue.
func (t *trie) lookUp(text []byte) int32 {
	cells, state := t.cells, root
	for _, b := range text {
		next := cells[state].base + int32(b)
		if int(next) >= len(cells) || cells[next].parent != state {
			return noValue
		}
		state = next
	}
	return cells[state].value
}

// longest returns the value and length of the longest key that text begins with, seen from state; length 0 means none.
func (t *trie) longest(state int32, text []byte) (value int32, length int) {
	cells := t.cells
	for i, b := range text {
		next := cells[state].base + int32(b)
		if int(next) >= len(cells) || cells[next].parent != state {
			break
		}
		state = next
		if v := cells[state].value; v != noValue {
			value, length = v, i+1
		}
	}
	return value, length
}
