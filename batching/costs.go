package batching

import "math/bits"

// costs is a set of small integers that finds the member next to any number in a few word operations: a word of 64 bits
// says which of 64 costs are in it, a word of the level above which of those words are not empty, and so on. A heap or a
// balanced tree finds neighbours too, but touches a dozen cold nodes for each row that comes and goes; this touches one
// word unless a cost is the first or the last of its 64. Its size follows the largest cost seen: 576 bytes for 4,096.
type costs struct {
	levels [costLevels][]uint64
}

// costLevels makes room for MaxCost: 64 to the power of costLevels is MaxCost + 1.
const costLevels = 4

func (s *costs) add(cost int) {
	for level := range s.levels {
		word := cost >> 6
		if grow := word + 1 - len(s.levels[level]); grow > 0 {
			s.levels[level] = append(s.levels[level], make([]uint64, grow)...)
		}
		was := s.levels[level][word]
		s.levels[level][word] = was | 1<<(cost&63)
		if was != 0 {
			return
		}
		cost = word
	}
}

// remove takes out a cost that is in the set.
func (s *costs) remove(cost int) {
	for level := range s.levels {
		word := cost >> 6
		s.levels[level][word] &^= 1 << (cost & 63)
		if s.levels[level][word] != 0 {
			return
		}
		cost = word
	}
}

// atMost returns the largest member up to cost.
func (s *costs) atMost(cost int) (int, bool) {
	for level := range s.levels {
		words := s.levels[level]
		if word := cost >> 6; word < len(words) {
			if w := words[word] & (^uint64(0) >> (63 - cost&63)); w != 0 {
				return s.descend(level, word<<6+63-bits.LeadingZeros64(w), false), true
			}
			if word == 0 {
				return 0, false
			}
			cost = word - 1
		} else if len(words) == 0 {
			return 0, false
		} else {
			cost = len(words) - 1 // beyond all members: their last word may hold any
		}
	}
	return 0, false
}

// atLeast returns the smallest member from cost on.
func (s *costs) atLeast(cost int) (int, bool) {
	for level := range s.levels {
		words, word := s.levels[level], cost>>6
		if word >= len(words) {
			return 0, false
		}
		if w := words[word] & (^uint64(0) << (cost & 63)); w != 0 {
			return s.descend(level, word<<6+bits.TrailingZeros64(w), true), true
		}
		cost = word + 1
	}
	return 0, false
}

// descend follows the first or the last set bits below bit i of a level down to a member.
func (s *costs) descend(level, i int, first bool) int {
	for level--; level >= 0; level-- {
		if w := s.levels[level][i]; first {
			i = i<<6 + bits.TrailingZeros64(w)
		} else {
			i = i<<6 + 63 - bits.LeadingZeros64(w)
		}
	}
	return i
}
