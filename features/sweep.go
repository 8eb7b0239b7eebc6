package features

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"
)

// sweepTime is how long whoever claimed a sweep has for it, before another replica may.
const sweepTime = 10 * time.Minute

// Sweep removes keys that a store still has although they were deleted: it came back older than their tombstones are kept. Only one replica does
// it: done is false where that is another, which has not said that the store is filled, or may have died. After an error it is tried again.
// It returns how many it removed.
//
// Read reads a partition of the topic of states from its beginning, up to the offset that it returns. A key that is in the store as of an earlier
// offset of that partition, and not in the topic, is no more. It is deleted as of the end of what was read, so that what came since stays.
func (f *Filling) Sweep(ctx context.Context, source string, read func(ctx context.Context, partition int32, apply func(key, value []byte) error) (int64, error)) (removed int, done bool, err error) {
	lister, ok := f.store.(Lister)
	if !ok || f.Renewed == 0 {
		return 0, true, nil
	}
	claim := f.Name + " " + f.own
	if err := f.put(ctx, map[string]mark{sweepKey: {f.Name, time.Now().UnixNano() / int64(sweepTime), claim}}); err != nil {
		return 0, false, err
	}
	texts, err := f.get(ctx, sweepKey)
	if err != nil || texts[0] != claim {
		return 0, false, err
	}
	// Hashes of keys, as there may be many: 8 bytes for each.
	seed := maphash.MakeSeed()
	type partition struct {
		keys map[uint64]struct{}
		end  int64
		at   int32
	}
	known := map[string]*partition{} // by source
	for p := range f.partitions {
		of := &partition{keys: map[uint64]struct{}{}, at: int32(p)} //nolint:gosec // a topic's
		of.end, err = read(ctx, of.at, func(key, value []byte) error {
			if value == nil {
				delete(of.keys, maphash.Bytes(seed, key))
			} else {
				of.keys[maphash.Bytes(seed, key)] = struct{}{}
			}
			return nil
		})
		if err != nil {
			return 0, false, err
		}
		known[sourceOf(source, of.at)] = of
	}
	var gone []Entry
	err = lister.Keys(ctx, f.view, func(key, source string, offset int64) {
		of := known[source]
		if of == nil || offset >= of.end {
			return
		}
		if _, there := of.keys[maphash.String(seed, key)]; !there {
			gone = append(gone, Entry{View: f.view, Key: key, Source: source, Offset: of.end - 1, Deleted: true})
		}
	})
	if err != nil {
		return 0, false, fmt.Errorf("list the keys of view %s: %w", f.view, err)
	}
	if len(gone) == 0 {
		return 0, true, nil
	}
	if _, err = f.store.Put(ctx, gone); err != nil {
		return 0, false, err
	}
	return len(gone), true, nil
}
