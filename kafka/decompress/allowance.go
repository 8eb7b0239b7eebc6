package decompress

import (
	"runtime"
	"sync"
	"weak"
)

// allowance bounds what one member's fetches weigh in memory once they are decompressed. The client says when it buffers records and
// when it hands them out, but not when the last slice of a batch is let go; the garbage collector knows. So each buffer is
// followed by a weak pointer, and its weight is free again when the buffer is gone. Where that alone is not enough, the collector
// is run: garbage must not count as fullness, or a fetch would wait for a collection that nothing brings about.
type allowance struct {
	limit int

	mu   sync.Mutex // guards used and held
	used int
	held []heldBuffer
}

type heldBuffer struct {
	buffer weak.Pointer[byte]
	weight int
}

// take says whether there is room for a buffer of that weight, and takes it.
func (a *allowance) take(buffer []byte, weight int) bool {
	if len(buffer) == 0 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used+weight > a.limit {
		a.release()
	}
	if a.used+weight > a.limit {
		runtime.GC()
		a.release()
	}
	if a.used+weight > a.limit {
		return false
	}
	a.used += weight
	a.held = append(a.held, heldBuffer{weak.Make(&buffer[0]), weight})
	return true
}

// release what the collector has found to be garbage.
func (a *allowance) release() {
	kept := a.held[:0]
	for _, h := range a.held {
		if h.buffer.Value() == nil {
			a.used -= h.weight
		} else {
			kept = append(kept, h)
		}
	}
	clear(a.held[len(kept):])
	a.held = kept
}
