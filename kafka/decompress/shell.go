package decompress

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/bits"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// The records of a batch of version 2, as they are once decompressed, each after its length:
// attributes, timestamp and offset as differences, key, value, headers. https://kafka.apache.org/documentation/#record

const (
	// recordWeight is what a record takes beside its bytes: the client's struct of some 180 bytes and a pointer to it, and a part of ours.
	recordWeight = 256
	// headerWeight is the client's struct and ours, 40 bytes each.
	headerWeight = 80
	// shellSize is that of a shell in bytes, at most, and shellWeight what it weighs.
	shellSize   = 320
	shellWeight = recordWeight + headerWeight + shellSize
	// maxShellKey is the longest key that a shell keeps.
	maxShellKey = 64
)

// overhead is what the records of a decompressed batch weigh beside their bytes. What is not of version 2 is taken for
// the smallest messages of its kind.
func overhead(batch []byte) int {
	weight := 0
	for rest := batch; len(rest) > 0; {
		n, used := binary.Varint(rest)
		if used <= 0 || n < 0 || n > int64(len(rest)-used) {
			return len(batch) / 34 * recordWeight
		}
		weight += recordWeight + headerWeight*headersOf(rest[used:used+int(n)])
		rest = rest[used+int(n):]
	}
	return weight
}

// headersOf is how many headers a record says it has.
func headersOf(record []byte) int {
	rest := record[min(1, len(record)):]
	next := func() int64 {
		n, used := binary.Varint(rest)
		rest = rest[min(max(used, 0), len(rest)):]
		return n
	}
	next() // timestamp
	next() // offset
	for range 2 {
		n := max(next(), 0)
		rest = rest[min(n, int64(len(rest))):]
	}
	return int(min(max(next(), 0), int64(len(rest))))
}

// census counts the records of a batch by weight, in powers of two.
type census struct {
	records int
	count   [64]int
	weight  [64]int
	size    [64]int // in bytes
}

// take goes through all of a batch.
func (c *census) take(stream io.Reader) error {
	in := bufio.NewReaderSize(stream, 64<<10)
	for {
		b, err := next(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		size := b.left
		found, err := b.parts(io.Discard, io.Discard)
		if err != nil {
			return err
		}
		weight := weigh(size, found.headers)
		class := bits.Len(uint(weight))
		c.records++
		c.count[class]++
		c.weight[class] += weight
		c.size[class] += len(binary.AppendVarint(nil, int64(size))) + size
	}
}

func weigh(size, headers int) int {
	return binary.MaxVarintLen32 + size + recordWeight + headerWeight*headers
}

// keep is the largest weight at which records may stay so that the batch fits, what it then weighs, and its size in bytes, at most.
// The batch does not fit where it weighs more than the limit even so.
func (c *census) keep(limit int) (most, weight, size int) {
	for class := len(c.count) - 1; class >= 0; class-- {
		weight, size = 0, 0
		for i := range c.count {
			if i <= class {
				weight, size = weight+c.weight[i], size+c.size[i]
			} else {
				weight, size = weight+c.count[i]*shellWeight, size+c.count[i]*shellSize
			}
		}
		if weight <= limit {
			return 1<<class - 1, weight, size
		}
	}
	return 0, weight, size
}

// rewrite a batch: records up to a weight stay byte by byte, heavier ones become shells.
func (d *Bounded) rewrite(stream io.Reader, most, size int) ([]byte, error) {
	in := bufio.NewReaderSize(stream, 64<<10)
	out := make([]byte, 0, size)
	for {
		b, err := next(in)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if weigh(b.left, 0) > most {
			if out, err = d.shell(out, b); err != nil {
				return nil, err
			}
			continue
		}
		at, size := len(out), b.left
		out = binary.AppendVarint(out, int64(size))
		start := len(out)
		out = slices.Grow(out, size)[:start+size]
		if _, err := io.ReadFull(in, out[start:]); err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		if weigh(size, headersOf(out[start:])) > most {
			record := bytes.Clone(out[start:])
			if out, err = d.shell(out[:at], &body{bufio.NewReader(bytes.NewReader(record)), size}); err != nil {
				return nil, err
			}
		}
	}
}

// left is what a shell says of what it leaves out. It has the same size always.
type leftOut struct {
	Length    int64 // of the value
	Hash      [sha256.Size]byte
	First     [64]byte
	KeyLength int64 // below zero when the key was not left out
	KeyHash   [sha256.Size]byte
	Headers   int64
	HeadersOf int64 // bytes of keys and values
}

// shell appends a record that stands for another: with its place and, unless it is long, its key.
func (d *Bounded) shell(out []byte, b *body) ([]byte, error) {
	value, key := &digest{Hash: sha256.New()}, &digest{Hash: sha256.New()}
	found, err := b.parts(key, value)
	if err != nil {
		return nil, err
	}
	said := leftOut{Length: value.n, KeyLength: -1, Headers: int64(found.headers), HeadersOf: found.headerBytes}
	value.Sum(said.Hash[:0])
	copy(said.First[:], value.first)
	record := append([]byte{found.attributes}, binary.AppendVarint(nil, found.timestamp)...)
	record = binary.AppendVarint(record, found.offset)
	switch {
	case found.key < 0:
		record = binary.AppendVarint(record, -1)
	case found.key <= maxShellKey:
		record = append(binary.AppendVarint(record, found.key), key.first...)
	default:
		record = binary.AppendVarint(record, -1)
		said.KeyLength = key.n
		key.Sum(said.KeyHash[:0])
	}
	record = binary.AppendVarint(record, min(found.value, 0)) // null stays null
	record = binary.AppendVarint(record, 1)
	record = append(binary.AppendVarint(record, int64(len(d.mark))), d.mark...)
	record = binary.AppendVarint(record, int64(binary.Size(said)))
	if record, err = binary.Append(record, binary.BigEndian, said); err != nil {
		return nil, err
	}
	out = binary.AppendVarint(out, int64(len(record)))
	return append(out, record...), nil
}

// Record is what the client fetched, as the heart has it. A shell has none of the headers, and says what else it leaves out.
func (d *Bounded) Record(r *kgo.Record) *pipeline.Record {
	record := &pipeline.Record{
		Topic:     r.Topic,
		Partition: r.Partition,
		Offset:    r.Offset,
		Key:       r.Key,
		Value:     r.Value,
		Timestamp: pipeline.Timestamp(r.Timestamp),
		Verdict:   pipeline.Verdict{Withheld: d.withheld(r)},
	}
	if len(r.Headers) > 0 && record.Verdict.Withheld == nil {
		record.Headers = make([]pipeline.Header, len(r.Headers))
		for i, h := range r.Headers {
			record.Headers[i] = pipeline.Header(h)
		}
	}
	return record
}

// withheld reads what a shell leaves out; nil for a record that is whole.
func (d *Bounded) withheld(r *kgo.Record) *pipeline.Withheld {
	if len(r.Headers) != 1 || r.Headers[0].Key != d.mark {
		return nil
	}
	var said leftOut
	if _, err := binary.Decode(r.Headers[0].Value, binary.BigEndian, &said); err != nil {
		return nil // nobody else knows the mark
	}
	w := &pipeline.Withheld{
		Limit: pipeline.ByteSize(d.batch), Length: said.Length, SHA256: said.Hash,
		FirstBytes: bytes.Clone(said.First[:min(said.Length, int64(len(said.First)))]),
		Headers:    int(said.Headers), HeadersLength: said.HeadersOf,
	}
	if said.KeyLength >= 0 {
		w.KeyLength, w.KeySHA256 = said.KeyLength, said.KeyHash
	}
	return w
}

// digest hashes, counts, and keeps the first bytes.
type digest struct {
	hash.Hash
	n     int64
	first []byte
}

func (d *digest) Write(p []byte) (int, error) {
	d.n += int64(len(p))
	if room := maxShellKey - len(d.first); room > 0 {
		d.first = append(d.first, p[:min(room, len(p))]...)
	}
	return d.Hash.Write(p)
}

// body is one record of a stream.
type body struct {
	in   *bufio.Reader
	left int
}

var errMalformed = errors.New("its records are not as Kafka has them")

// next record of a batch; io.EOF at its end.
func next(in *bufio.Reader) (*body, error) {
	if _, err := in.Peek(1); err != nil {
		return nil, err
	}
	n, err := binary.ReadVarint(in)
	if err != nil || n < 0 || n > 1<<31-1 {
		return nil, errMalformed
	}
	return &body{in, int(n)}, nil
}

// parts of a record; key and value are below zero when they are null, their lengths otherwise.
type parts struct {
	attributes                    byte
	timestamp, offset, key, value int64
	headers                       int
	headerBytes                   int64
}

// parts reads all of a record.
func (b *body) parts(key, value io.Writer) (p parts, err error) {
	if p.attributes, err = b.ReadByte(); err != nil {
		return p, err
	}
	for _, field := range []*int64{&p.timestamp, &p.offset} {
		if *field, err = binary.ReadVarint(b); err != nil {
			return p, errMalformed
		}
	}
	if p.offset != int64(int32(p.offset)) { //nolint:gosec // that is what is asked
		return p, errMalformed
	}
	if p.key, err = b.field(key); err != nil {
		return p, err
	}
	if p.value, err = b.field(value); err != nil {
		return p, err
	}
	headers, err := binary.ReadVarint(b)
	if err != nil || headers < 0 || headers > int64(b.left) {
		return p, errMalformed
	}
	p.headers = int(headers)
	for range 2 * p.headers {
		n, err := b.field(io.Discard)
		if err != nil {
			return p, err
		}
		p.headerBytes += max(n, 0)
	}
	if b.left != 0 {
		return p, fmt.Errorf("%w: %d bytes too many", errMalformed, b.left)
	}
	return p, nil
}

// field copies bytes that stand after their length.
func (b *body) field(to io.Writer) (int64, error) {
	n, err := binary.ReadVarint(b)
	if err != nil || n < -1 || n > int64(b.left) {
		return 0, errMalformed
	}
	if n <= 0 {
		return n, nil
	}
	b.left -= int(n)
	if to == io.Discard {
		_, err = b.in.Discard(int(n))
	} else {
		_, err = io.CopyN(to, b.in, n)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// ReadByte makes a body one that varints are read from.
func (b *body) ReadByte() (byte, error) {
	if b.left == 0 {
		return 0, errMalformed
	}
	b.left--
	c, err := b.in.ReadByte()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return c, err
}
