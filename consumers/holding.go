package consumers

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// holding is what a member was given of its topic. The client knows it, too, but tells only of partitions that have a committed offset
// (kgo.Client.CommittedOffsets, from 1.22.3 on), and a new group has none.
//
// A partition that was taken away may be in it for a while: a session passes on the first revocation until its next end, and no other. So
// whatever is decided by it must be harmless for a partition that somebody else holds.
type holding struct {
	mu         sync.Mutex // guards all that follows: the client's callbacks come at any time
	partitions map[int32]bool
	gained     []int32 // given, and takeGained was not told
	// as is the name by which the group knew the member when it was given the partitions.
	as string
	// expelled says that the group has given the member up in between, and some of the partitions are still held: see vouch.
	expelled bool
	// firsts are the first records taken of each partition since it was given, until something of it is committed. An abort goes back to them.
	firsts map[int32]kgo.EpochOffset
}

// gain partitions, perhaps none, as a member of that name.
func (h *holding) gain(as string, partitions []int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if as != h.as {
		for p := range h.partitions {
			h.expelled = h.expelled || !slices.Contains(partitions, p)
		}
		h.as = as
	}
	if h.partitions == nil {
		h.partitions = make(map[int32]bool)
	}
	for _, p := range partitions {
		h.partitions[p] = true
		delete(h.firsts, p)
	}
	h.gained = append(h.gained, partitions...)
}

// lose partitions.
func (h *holding) lose(partitions []int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range partitions {
		delete(h.partitions, p)
		delete(h.firsts, p)
	}
}

// vouch that what is held was held without a break by the member of that name.
//
// A member that misses a rebalance is given up by its group, and others may read and commit its partitions. It hears of that when it asks to
// join again. The client (franz-go 1.22.3, joinAndSync) then joins under a new name at once, and says nothing. A partition that the member still holds, and
// is given in the new assignment, counts as neither lost nor gained: the client goes on in it where it was, and its offsets are those of a member in good
// standing. So the names are compared. A member that cannot vouch is good for nothing but Close: a new one asks where the group stands.
func (h *holding) vouch(as string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.expelled || len(h.partitions) > 0 && as != h.as {
		return fmt.Errorf("%w: it held its partitions as %s, and is now %s", errExpelled, h.as, as)
	}
	return nil
}

// all that the member holds, in order.
func (h *holding) all() []int32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.partitions))
}

// takeGained returns the partitions that were given since it was called last.
func (h *holding) takeGained() []int32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	gained := h.gained
	h.gained = nil
	return gained
}

// took notes the records of a poll.
func (h *holding) took(records []*pipeline.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range records {
		if _, noted := h.firsts[r.Partition]; noted {
			continue
		}
		if h.firsts == nil {
			h.firsts = make(map[int32]kgo.EpochOffset)
		}
		h.firsts[r.Partition] = kgo.EpochOffset{Epoch: -1, Offset: r.Offset}
	}
}

// committed forgets the first records: from now on the client tells where an abort goes back to.
func (h *holding) committed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.firsts)
}

// first is the first record that was taken of a partition in which nothing is committed; false if none was.
func (h *holding) first(partition int32) (kgo.EpochOffset, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first, noted := h.firsts[partition]
	return first, noted
}
