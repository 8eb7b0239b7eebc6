package onnx

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// Protocol buffers read as they lie, without a generated message for each: a graph may be larger than memory.

// eachField calls visit with the fields of a message: value is what a length-delimited field holds, nil for others;
// number is what a varint field holds.
func eachField(b []byte, visit func(num protowire.Number, value []byte, number uint64) error) error {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var value []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := visit(num, value, number); err != nil {
			return err
		}
	}
	return nil
}

// section is a length-delimited message inside a file, read forwards without holding it in memory.
type section struct {
	r    *bufio.Reader
	left int64
	// number is told of the varint fields; nil where nobody asks.
	number func(num protowire.Number, value uint64)
}

// fields calls visit with each length-delimited field; visit has to consume its size. Varints go to number, other fields
// are passed by.
func (s *section) fields(visit func(num protowire.Number, size int64) error) error {
	for s.left > 0 {
		tag, err := s.varint()
		if err != nil {
			return err
		}
		num, kind := protowire.DecodeTag(tag)
		if num < protowire.MinValidNumber {
			return errors.New("a field has no valid number")
		}
		switch kind {
		case protowire.VarintType:
			var value uint64
			if value, err = s.varint(); err == nil && s.number != nil {
				s.number(num, value)
			}
		case protowire.Fixed32Type:
			err = s.skip(4)
		case protowire.Fixed64Type:
			err = s.skip(8)
		case protowire.BytesType:
			var size uint64
			if size, err = s.varint(); err != nil {
				return err
			}
			if size > uint64(s.left) {
				return errTruncated
			}
			err = visit(num, int64(size))
		default:
			err = errors.New("a field has an unknown type")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// message reads the next size bytes as a message of its own.
func (s *section) message(size int64, read func(*section) error) error {
	inner := &section{r: s.r, left: size}
	if err := read(inner); err != nil {
		return err
	}
	s.left -= size - inner.left
	return s.skip(inner.left)
}

func (s *section) varint() (uint64, error) {
	peek, err := s.r.Peek(int(min(10, s.left)))
	if err != nil {
		return 0, err
	}
	v, n := protowire.ConsumeVarint(peek)
	if n < 0 {
		return 0, protowire.ParseError(n)
	}
	return v, s.skip(int64(n))
}

func (s *section) bytes(size int64) ([]byte, error) {
	if size > maxNode {
		return nil, fmt.Errorf("a node is larger than %d MiB", maxNode>>20)
	}
	if size > s.left {
		return nil, errTruncated
	}
	b := make([]byte, size)
	_, err := io.ReadFull(s.r, b)
	s.left -= size
	return b, err
}

func (s *section) skip(size int64) error {
	if size > s.left {
		return errTruncated
	}
	s.left -= size
	for size > 0 {
		n, err := s.r.Discard(int(min(size, 1<<30)))
		size -= int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

func asTruncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTruncated
	}
	return err
}
