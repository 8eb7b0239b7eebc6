package features

import (
	"fmt"
	"math"
	"time"

	"github.com/maypok86/otter/v2"

	"nearline/pipeline"
)

// cache is what a finder remembers, by key.
type cache = otter.Cache[string, remembered]

// remembered is what the store said of a key, nothing included, and when.
type remembered struct {
	entry *Entry
	at    time.Time
}

// newCache is bounded by keys and by bytes. A weight of wholeKey is a key's even share of the bytes; no key has less, and so the weights bound both.
func newCache(config LookupConfig) (*cache, error) {
	options := &otter.Options[string, remembered]{MaximumSize: config.CacheKeys}
	if config.CacheBytes > 0 {
		share := max(float64(config.CacheBytes)/float64(config.CacheKeys), 1)
		options = &otter.Options[string, remembered]{
			MaximumWeight: uint64(config.CacheKeys) * wholeKey, //nolint:gosec // above 0
			Weigher: func(key string, r remembered) uint32 {
				return uint32(min(max(float64(r.size(key))/share, 1)*wholeKey, math.MaxUint32))
			},
		}
	}
	made, err := otter.New(options)
	if err != nil {
		return nil, fmt.Errorf("make a cache of %d keys: %w", config.CacheKeys, err)
	}
	return made, nil
}

const wholeKey = 256

// size in memory, in bytes, about: what the cache itself takes for a key is a guess.
func (r remembered) size(key string) int {
	const own, entry, field = 150, 100, 16 // of the cache, of the entry, and of a value beside its own
	size := own + len(key)
	if r.entry == nil {
		return size
	}
	size += entry + len(r.entry.Key) + len(r.entry.Source)
	for i := range r.entry.Values {
		size += field + sizeOf(&r.entry.Values[i].Value)
	}
	return size
}

// sizeOf a value in memory, in bytes.
func sizeOf(v *pipeline.Value) int {
	const value, name = 136, 16
	size := value + len(v.Str) + 4*len(v.Floats)
	for i := range v.List {
		size += sizeOf(&v.List[i])
	}
	for i := range v.Fields {
		size += name + sizeOf(&v.Fields[i].Value)
	}
	for _, s := range v.Strings {
		size += name + len(s)
	}
	return size
}

func (f *Finder) remembered(key string) (remembered, bool) {
	if f.cache == nil {
		return remembered{}, false
	}
	return f.cache.GetIfPresent(key)
}

func (f *Finder) remember(key string, e *Entry, at time.Time) {
	if f.cache != nil {
		f.cache.Set(key, remembered{e, at})
	}
}
