package tokenizer

import (
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// strip drops the spaces at the ends of a text.
type strip struct{ left, right bool }

func parseStrip(at string, raw json.RawMessage) (normalizer, error) {
	var f struct {
		Type  string `json:"type"`
		Left  *bool  `json:"strip_left"`
		Right *bool  `json:"strip_right"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Left == nil:
		return nil, missing(at, "strip_left")
	case f.Right == nil:
		return nil, missing(at, "strip_right")
	}
	return strip{*f.Left, *f.Right}, nil
}

// cuts: every window but the last ends with a word, of which nothing is dropped.
func (strip) cuts() cuts { return cutBetweenWords }

func (n strip) appendNormal(dst, src []byte, s *scratch) []byte {
	if n.left && !s.follows {
		i := leadingSpace(src)
		s.shifted = s.shifted || i > 0
		src = src[i:]
	}
	if n.right {
		src = trimRightSpace(src)
	}
	return append(dst, src...)
}

// prepend puts something before a text that is not empty.
type prepend struct{ text string }

func parsePrepend(at string, raw json.RawMessage) (normalizer, error) {
	var f struct {
		Type string  `json:"type"`
		Text *string `json:"prepend"`
	}
	if err := decode(at, raw, &f); err != nil {
		return nil, err
	}
	if f.Text == nil {
		return nil, missing(at, "prepend")
	}
	if *f.Text == "" { // the reference doubles the first character in the normalizers that follow
		return nil, fmt.Errorf("%s.prepend is empty: want text, or no such part", at)
	}
	return prepend{*f.Text}, nil
}

func (prepend) cuts() cuts { return cutBetweenWords }

func (n prepend) appendNormal(dst, src []byte, s *scratch) []byte {
	if len(src) > 0 && !s.follows {
		dst = append(dst, n.text...)
	}
	return append(dst, src...)
}

// nmt drops control characters and makes spaces of others, as SentencePiece's rules of that name do.
type nmt struct{}

func (nmt) cuts() cuts { return cutNeutral }

func (nmt) appendNormal(dst, src []byte, s *scratch) []byte {
	begin := len(dst)
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		switch {
		case unicode.Is(nmtDropped, r):
			s.shifted = s.shifted || len(dst) == begin
		case unicode.Is(nmtSpaces, r):
			dst = append(dst, ' ')
		default:
			dst = append(dst, src[i:i+size]...)
		}
		i += size
	}
	return dst
}

var (
	nmtDropped = &unicode.RangeTable{R16: []unicode.Range16{
		{Lo: 0x01, Hi: 0x08, Stride: 1}, {Lo: 0x0b, Hi: 0x0b, Stride: 1}, {Lo: 0x0e, Hi: 0x1f, Stride: 1},
		{Lo: 0x7f, Hi: 0x7f, Stride: 1}, {Lo: 0x8f, Hi: 0x8f, Stride: 1}, {Lo: 0x9f, Hi: 0x9f, Stride: 1},
	}}
	nmtSpaces = &unicode.RangeTable{R16: []unicode.Range16{
		{Lo: 0x09, Hi: 0x0a, Stride: 1}, {Lo: 0x0c, Hi: 0x0d, Stride: 1}, {Lo: 0x1680, Hi: 0x1680, Stride: 1},
		{Lo: 0x200b, Hi: 0x200f, Stride: 1}, {Lo: 0x2028, Hi: 0x2029, Stride: 1}, {Lo: 0x2581, Hi: 0x2581, Stride: 1},
		{Lo: 0xfeff, Hi: 0xfeff, Stride: 1}, {Lo: 0xfffd, Hi: 0xfffd, Stride: 1},
	}}
)
