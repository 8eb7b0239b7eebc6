package tokenizer

import (
	"math"
	"math/bits"
)

// merges answers which token two neighbours make, and which pair goes first: the one of the lowest rank, of those the
// leftmost. It is a hash table with open addressing, since this is where the time of byte-pair encoding goes.
type merges struct {
	cells []mergeCell // a power of two of them, at most half in use
	shift int
}

type mergeCell struct {
	left, right int32 // left is noValue in an empty cell
	merge
}

type merge struct{ rank, made int32 }

const noRank = math.MaxInt32

func newMerges(n int) *merges {
	size := max(2, 1<<bits.Len(uint(2*n)))
	t := &merges{cells: make([]mergeCell, size), shift: 65 - bits.Len(uint(size))}
	for i := range t.cells {
		t.cells[i].left = noValue
	}
	return t
}

// cell returns the one of the pair, or the empty one where it belongs.
func (t *merges) cell(left, right int32) *mergeCell {
	const odd = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio: Fibonacci hashing
	i := (uint64(uint32(left))<<32 | uint64(uint32(right))) * odd >> t.shift
	for {
		c := &t.cells[i]
		if c.left == left && c.right == right || c.left == noValue {
			return c
		}
		i = (i + 1) & uint64(len(t.cells)-1)
	}
}

func (t *merges) put(left, right int32, m merge) {
	*t.cell(left, right) = mergeCell{left, right, m}
}

// mergeOf returns what left and right make; the rank of what they do not make is noRank.
func (t *merges) mergeOf(left, right int32) merge {
	if c := t.cell(left, right); c.left != noValue {
		return c.merge
	}
	return merge{rank: noRank}
}

// symbol is a part of a word, on the way from characters to tokens.
type symbol struct {
	id   int32
	next merge // with the symbol after it
}

// mergeShort merges until nothing is left to merge. It looks at all symbols for each merge, which for the words that
// people write is faster than keeping order.
func (t *merges) mergeShort(word []symbol) []symbol {
	last := len(word) - 1
	for i := range last {
		word[i].next = t.mergeOf(word[i].id, word[i+1].id)
	}
	for last > 0 {
		best, rank := 0, int32(noRank)
		for i := range word[:last] {
			if r := word[i].next.rank; r < rank {
				best, rank = i, r
			}
		}
		if rank == noRank {
			break
		}
		word[best].id = word[best].next.made
		copy(word[best+1:], word[best+2:])
		word = word[:last]
		last--
		if best < last {
			word[best].next = t.mergeOf(word[best].id, word[best+1].id)
		}
		if best > 0 {
			word[best-1].next = t.mergeOf(word[best-1].id, word[best].id)
		}
	}
	return word
}

// link is a symbol of a long word, in a list.
type link struct {
	id         int32 // noValue once it is part of the one before
	prev, next int32 // -1 at the ends
}

// candidate is a merge of the symbol at a place with the next, as it was when it was found.
type candidate struct {
	rank, place, made int32
}

func (a candidate) before(b candidate) bool {
	return a.rank < b.rank || a.rank == b.rank && a.place < b.place
}

// mergeLong does what mergeShort does, in time n log n.
func (t *merges) mergeLong(word []link, heap []candidate) []candidate {
	heap = heap[:0]
	for i := range len(word) - 1 {
		if m := t.mergeOf(word[i].id, word[i+1].id); m.rank != noRank {
			heap = append(heap, candidate{m.rank, int32(i), m.made})
		}
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		sink(heap, i)
	}
	for len(heap) > 0 {
		top := heap[0]
		heap[0] = heap[len(heap)-1]
		heap = heap[:len(heap)-1]
		sink(heap, 0)

		at := &word[top.place]
		if at.id == noValue || at.next < 0 {
			continue
		}
		right := &word[at.next]
		// As in the reference, what counts is what the two make, not the rank at which it was found.
		if m := t.mergeOf(at.id, right.id); m.rank == noRank || m.made != top.made {
			continue
		}
		at.id, at.next, right.id = top.made, right.next, noValue
		if at.next >= 0 {
			word[at.next].prev = top.place
			if m := t.mergeOf(at.id, word[at.next].id); m.rank != noRank {
				heap = push(heap, candidate{m.rank, top.place, m.made})
			}
		}
		if at.prev >= 0 {
			if m := t.mergeOf(word[at.prev].id, at.id); m.rank != noRank {
				heap = push(heap, candidate{m.rank, at.prev, m.made})
			}
		}
	}
	return heap
}

func push(heap []candidate, c candidate) []candidate {
	heap = append(heap, c)
	for i := len(heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !heap[i].before(heap[parent]) {
			break
		}
		heap[i], heap[parent] = heap[parent], heap[i]
		i = parent
	}
	return heap
}

func sink(heap []candidate, i int) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && heap[child+1].before(heap[child]) {
			child++
		}
		if !heap[child].before(heap[i]) {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}
