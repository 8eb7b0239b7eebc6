package decompress

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounded decompresses what a client fetches within a bounded memory. A batch of 1 MiB may hold gigabytes, and the client
// decompresses all batches of a fetch before it hands out the first record, so the bound is kept here or nowhere.
//
// It is kept in two ways. A batch that does not fit beside what is held waits: the client is told so, and fetches it again. A
// batch that would not fit even alone is decompressed as a stream, and its largest records are replaced by shells, which have the
// record's place and key, and in a header what was left out; see Record. Those become dead letters by reference, and their neighbours
// are whole. Only where even that is too much (some 50,000 large records, or 100,000 of whatever size, in one batch) is a batch refused,
// and the client stops at it.
//
// Weights are those in memory: a record of 10 bytes takes some 250, and a header of 3 bytes takes 100.
//
// Safe for concurrent use, and meant for one client.
type Bounded struct {
	batch     int // weight of one batch
	allowance allowance
	// mark is the key of the header that shells have. It is made up anew for each client, so that no producer can know it.
	mark string

	scratch, gzip, lz4, zstd sync.Pool

	mu sync.Mutex // guards rewritten
	// rewritten are the last batches that were rewritten, by the hash of what they were: a client that is in the middle of a
	// rebalance drops what it has fetched, and a gigabyte is not to be gone through again for that.
	rewritten map[[sha256.Size]byte]rewritten
}

type rewritten struct {
	batch  []byte
	weight int
}

const (
	maxRewritten     = 16
	maxRewrittenSize = 256 << 10
)

var _ kgo.Decompressor = (*Bounded)(nil)

// DefaultBytes is what a client holds of what it fetches that has no bound of its own to keep: twice the largest batch that brokers and clients
// take (64 MiB), so that nothing is withheld of what a producer of ours wrote.
const DefaultBytes = 128 << 20

// NewBounded holds up to max bytes, and half of that for one batch.
func NewBounded(max int) *Bounded {
	return &Bounded{batch: max / 2, allowance: allowance{limit: max}, mark: "\x00withheld-" + rand.Text()}
}

// atOnce is what is decompressed without having been looked at: buffers that grow leave as much garbage behind again. Of anything
// larger, a first pass finds out how large it is. Batches of usual producers are far below.
const atOnce = 8 << 20

// ErrFull says that a batch was not decompressed because too much is held already. The client fetches it again by itself.
var ErrFull = errors.New("what was fetched before is still held: the batch waits")

// Decompress is what the client calls for each compressed batch.
func (d *Bounded) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecNone {
		return src, nil
	}
	out, err := d.expand(src, codec, min(d.batch, atOnce))
	if err != nil && !errors.Is(err, errTooMuch) {
		return nil, err
	}
	weight := 0
	if err == nil {
		weight = cap(out) + overhead(out)
	}
	if err != nil || weight > d.batch {
		open := func() (io.Reader, error) { return unpack(src, codec) }
		if err == nil {
			open = func() (io.Reader, error) { return bytes.NewReader(out), nil }
		}
		if out, weight, err = d.rewriteOnce(src, open); err != nil {
			return nil, err
		}
	}
	if !d.allowance.take(out, weight) {
		return nil, ErrFull
	}
	return out, nil
}

// rewriteOnce is withhold, unless it did the same a short time ago.
func (d *Bounded) rewriteOnce(src []byte, open func() (io.Reader, error)) ([]byte, int, error) {
	key := sha256.Sum256(src)
	d.mu.Lock()
	known, ok := d.rewritten[key]
	d.mu.Unlock()
	if ok {
		return bytes.Clone(known.batch), known.weight, nil
	}
	out, weight, err := d.withhold(open)
	if err != nil || len(out) > maxRewrittenSize {
		return out, weight, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rewritten == nil || len(d.rewritten) >= maxRewritten {
		d.rewritten = make(map[[sha256.Size]byte]rewritten)
	}
	d.rewritten[key] = rewritten{bytes.Clone(out), weight}
	return out, weight, nil
}

// withhold rewrites a batch so that it fits: all records up to some weight stay as they are, heavier ones become shells.
func (d *Bounded) withhold(open func() (io.Reader, error)) ([]byte, int, error) {
	refuse := func(err error) ([]byte, int, error) {
		// The client knows by this error that there is no use in fetching it again.
		return nil, 0, fmt.Errorf("%w: %w", kgo.ErrMaxDecompress, err)
	}
	stream, err := open()
	if err != nil {
		return refuse(err)
	}
	var c census
	if err := c.take(stream); err != nil {
		return refuse(err)
	}
	keep, weight, size := c.keep(d.batch)
	if weight > d.batch {
		return refuse(fmt.Errorf("%d records", c.records))
	}
	if stream, err = open(); err != nil {
		return refuse(err)
	}
	out, err := d.rewrite(stream, keep, size)
	if err != nil {
		return refuse(err)
	}
	return out, weight, nil
}
