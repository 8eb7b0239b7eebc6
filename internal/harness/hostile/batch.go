package hostile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Batch is one record batch of version 2. https://kafka.apache.org/documentation/#recordbatch
type Batch struct {
	Partition int32
	Codec     kgo.CompressionCodecType
	Records   []Record
}

// Encode the batch. Values that are only a filler are never whole in memory.
func (b *Batch) Encode() ([]byte, error) {
	var body bytes.Buffer
	w, err := compress(&body, b.Codec)
	if err != nil {
		return nil, err
	}
	for i := range b.Records {
		if err := b.Records[i].write(w, i); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	now := time.Now().UnixMilli()
	batch := kmsg.RecordBatch{
		Length: int32(49 + body.Len()), PartitionLeaderEpoch: -1, Magic: 2, Attributes: int16(b.Codec), //nolint:gosec // a batch is no larger than its topic takes
		LastOffsetDelta: int32(len(b.Records) - 1), FirstTimestamp: now, MaxTimestamp: now, //nolint:gosec // the same
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(b.Records)), Records: body.Bytes(), //nolint:gosec // the same
	}
	encoded := batch.AppendTo(nil)
	const crcAt, crcOf = 17, 21
	binary.BigEndian.PutUint32(encoded[crcAt:], crc32.Checksum(encoded[crcOf:], crc32.MakeTable(crc32.Castagnoli)))
	return encoded, nil
}

// write a record with its length before it.
func (r *Record) write(w io.Writer, delta int) error {
	head := []byte{0, 0} // attributes, difference of timestamps
	head = binary.AppendVarint(head, int64(delta))
	head = appendBytes(head, r.Key)
	length := int64(len(r.Value))
	switch {
	case r.Filler > 0:
		length = r.Filler
	case r.Value == nil:
		length = -1
	}
	head = binary.AppendVarint(head, length)
	tail := binary.AppendVarint(nil, int64(len(r.Headers)))
	for _, h := range r.Headers {
		tail = appendBytes(appendBytes(tail, []byte(h.Key)), h.Value)
	}
	size := binary.AppendVarint(nil, int64(len(head))+max(length, 0)+int64(len(tail)))
	for _, part := range [][]byte{size, head, r.Value} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	if r.Filler > 0 {
		// Not by ReadFrom, after which the writer of lz4 takes nothing more.
		if _, err := io.CopyN(struct{ io.Writer }{w}, filler{}, r.Filler); err != nil {
			return err
		}
	}
	_, err := w.Write(tail)
	return err
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

// filler is a value without end, of one letter.
type filler struct{}

const fillerByte = 'z'

var fillerBlock = bytes.Repeat([]byte{fillerByte}, 64<<10)

func (filler) Read(p []byte) (int, error) { return copy(p, fillerBlock), nil }

// compress is a writer that packs as tightly as its codec does.
func compress(w io.Writer, codec kgo.CompressionCodecType) (io.WriteCloser, error) {
	switch codec {
	case kgo.CodecNone:
		return plain{w}, nil
	case kgo.CodecGzip:
		return gzip.NewWriterLevel(w, gzip.DefaultCompression)
	case kgo.CodecSnappy:
		return newSnappy(w), nil
	case kgo.CodecLz4:
		return lz4.NewWriter(w), nil
	case kgo.CodecZstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	default:
		return nil, fmt.Errorf("compression %d is unknown", codec)
	}
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// snappy writes as Java's producers do: a header, then blocks of 32 KiB, each after its length.
type snappy struct {
	w     io.Writer
	block []byte
}

func newSnappy(w io.Writer) *snappy {
	s := &snappy{w: w}
	_, _ = w.Write([]byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}) // into a buffer
	return s
}

func (s *snappy) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		room := min(32<<10-len(s.block), len(p))
		s.block, p = append(s.block, p[:room]...), p[room:]
		if len(s.block) == 32<<10 {
			if err := s.Close(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// Close writes what is left.
func (s *snappy) Close() error {
	if len(s.block) == 0 {
		return nil
	}
	packed := s2.EncodeSnappy(nil, s.block)
	s.block = s.block[:0]
	_, err := s.w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(packed))), packed...)) //nolint:gosec // 32 KiB
	return err
}
