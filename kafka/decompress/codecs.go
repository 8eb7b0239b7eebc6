package decompress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// errTooMuch says that there is more than the bound.
var errTooMuch = errors.New("it decompresses to more than the bound")

// expand all of src, unless it is more than max bytes.
func (d *Bounded) expand(src []byte, codec kgo.CompressionCodecType, max int) ([]byte, error) {
	switch codec {
	case kgo.CodecZstd:
		decoder, _ := d.zstd.Get().(*zstd.Decoder)
		if decoder == nil {
			var err error
			decoder, err = zstd.NewReader(nil, zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(max)))
			if err != nil {
				return nil, err
			}
		}
		defer d.zstd.Put(decoder)
		out, err := decoder.DecodeAll(src, nil)
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
			return nil, errTooMuch
		}
		return out, err
	case kgo.CodecSnappy:
		if !bytes.HasPrefix(src, xerial) {
			if n, err := s2.DecodedLen(src); err != nil || n > max {
				return nil, errors.Join(err, tooMuch(n > max))
			}
			return s2.Decode(nil, src)
		}
	}
	stream, done, err := d.stream(src, codec)
	if err != nil {
		return nil, err
	}
	defer done()
	scratch, _ := d.scratch.Get().(*bytes.Buffer)
	if scratch == nil {
		scratch = new(bytes.Buffer)
	}
	defer d.scratch.Put(scratch)
	scratch.Reset()
	n, err := scratch.ReadFrom(io.LimitReader(stream, int64(max)+1))
	switch {
	case err != nil:
		return nil, err
	case n > int64(max):
		return nil, errTooMuch
	}
	return bytes.Clone(scratch.Bytes()), nil
}

// stream is unpack with readers that are used again.
func (d *Bounded) stream(src []byte, codec kgo.CompressionCodecType) (io.Reader, func(), error) {
	switch codec {
	case kgo.CodecGzip:
		if reader, ok := d.gzip.Get().(*gzip.Reader); ok {
			return reader, func() { d.gzip.Put(reader) }, reader.Reset(bytes.NewReader(src))
		}
	case kgo.CodecLz4:
		if reader, ok := d.lz4.Get().(*lz4.Reader); ok {
			reader.Reset(bytes.NewReader(src))
			return reader, func() { d.lz4.Put(reader) }, nil
		}
	}
	stream, err := unpack(src, codec)
	return stream, func() {
		switch stream.(type) {
		case *gzip.Reader:
			d.gzip.Put(stream)
		case *lz4.Reader:
			d.lz4.Put(stream)
		}
	}, err
}

func tooMuch(is bool) error {
	if is {
		return errTooMuch
	}
	return nil
}

// unpack opens src as a stream whose reader needs little memory, whatever comes out of it.
func unpack(src []byte, codec kgo.CompressionCodecType) (io.Reader, error) {
	switch codec {
	case kgo.CodecNone:
		return bytes.NewReader(src), nil
	case kgo.CodecGzip:
		return gzip.NewReader(bytes.NewReader(src))
	case kgo.CodecLz4:
		return lz4.NewReader(bytes.NewReader(src)), nil
	case kgo.CodecZstd:
		frames, err := narrow(src)
		if err != nil {
			return nil, err
		}
		decoder, err := zstd.NewReader(frames, zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	case kgo.CodecSnappy:
		if bytes.HasPrefix(src, xerial) && len(src) >= xerialHeader {
			return &xerialReader{src: src[xerialHeader:]}, nil
		}
		return &xerialReader{block: src}, nil
	}
	return nil, fmt.Errorf("compression %d is unknown", codec)
}

// Java's producers write snappy as a header, then blocks of some 32 KiB, each after its length.
var xerial = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const (
	xerialHeader = 16
	// maxSnappyBlock bounds what one block may claim to be. Others than Java write a whole batch as one block, which decompresses to
	// 21 times its size at the most.
	maxSnappyBlock = 64 << 20
)

// xerialReader reads blocks of snappy one after another.
type xerialReader struct {
	src   []byte // blocks to come
	block []byte // compressed, the next one
	out   []byte // of the last block, what is not read yet
	whole []byte // of the last block; the next one is decompressed into it
}

func (r *xerialReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if r.block == nil {
			if len(r.src) == 0 {
				return 0, io.EOF
			}
			if len(r.src) < 4 || int64(len(r.src))-4 < int64(binary.BigEndian.Uint32(r.src)) {
				return 0, errors.New("a block of snappy is cut off")
			}
			n := 4 + int(binary.BigEndian.Uint32(r.src))
			r.block, r.src = r.src[4:n], r.src[n:]
		}
		n, err := s2.DecodedLen(r.block)
		if err == nil && n > maxSnappyBlock {
			err = errTooMuch
		}
		if err == nil {
			r.whole, err = s2.Decode(r.whole[:cap(r.whole)], r.block)
			r.out = r.whole
		}
		if err != nil {
			return 0, err
		}
		r.block = nil
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// maxWindow is how far back a stream of zstd may refer. Compressors that were not told how much is to come use 8 MiB at the
// most, except at their highest levels.
const maxWindow = 16 << 20

// narrow is the frames of src with no window beyond maxWindow. A frame may claim a window as large as all that it holds, and a
// decoder would make room for that at once. Few frames refer back as far as they may; one that does is found by the decoder.
// RFC 8878, section 3.1.1.
func narrow(src []byte) (io.Reader, error) {
	var parts []io.Reader
	for len(src) > 0 {
		var header zstd.Header
		if err := header.Decode(src[:min(len(src), zstd.HeaderMaxSize)]); err != nil {
			return nil, err
		}
		if header.Skippable {
			n := int64(header.HeaderSize) + int64(header.SkippableSize)
			src = src[min(int64(len(src)), n):]
			continue
		}
		body, err := blocks(src[header.HeaderSize:], header.HasCheckSum)
		if err != nil {
			return nil, err
		}
		window := header.WindowSize
		if header.SingleSegment {
			window = header.FrameContentSize
		}
		head := src[:header.HeaderSize]
		if window > maxWindow {
			head = narrowed(head, header.SingleSegment)
		}
		parts = append(parts, bytes.NewReader(head), bytes.NewReader(body))
		src = src[header.HeaderSize+len(body):]
	}
	return io.MultiReader(parts...), nil
}

// Of a frame's header: the descriptor follows the magic number, and the window's descriptor follows that.
const (
	descriptorAt  = 4
	singleSegment = 1 << 5
	// windowByte says 2^(10+exponent), the exponent in its upper five bits: maxWindow.
	windowByte = 14 << 3
)

// narrowed is a frame's header with a window of maxWindow. A content of a single segment that is larger has its size in 4 or 8
// bytes, which mean the same without that flag.
func narrowed(head []byte, single bool) []byte {
	out := append([]byte{}, head[:descriptorAt+1]...)
	out[descriptorAt] &^= singleSegment
	rest := head[descriptorAt+1:]
	if !single {
		rest = rest[1:]
	}
	return append(append(out, windowByte), rest...)
}

// blocks are the blocks of a frame, with the checksum after them.
func blocks(src []byte, checksum bool) ([]byte, error) {
	at := 0
	for last := false; !last; {
		if len(src) < at+3 {
			return nil, io.ErrUnexpectedEOF
		}
		head := int(src[at]) | int(src[at+1])<<8 | int(src[at+2])<<16
		last = head&1 != 0
		size := head >> 3
		if head>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		at += 3 + size
	}
	if checksum {
		at += 4
	}
	if len(src) < at {
		return nil, io.ErrUnexpectedEOF
	}
	return src[:at], nil
}
