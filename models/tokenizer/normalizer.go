package tokenizer

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

var normalizerTypes = []string{
	"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend", "Replace", "Sequence",
	"Strip", "StripAccents",
}

// parseNormalizer returns the normalizers to apply in turn.
func parseNormalizer(at string, raw json.RawMessage) (normalizers, error) {
	kind, err := partType(at, raw)
	if err != nil {
		return nil, err
	}
	var bare struct {
		Type string `json:"type"`
	}
	switch kind {
	case "":
		return nil, nil
	case "BertNormalizer":
		n, err := parseBertNormalizer(at, raw)
		return normalizers{n}, err
	case "Lowercase":
		return normalizers{lowercase{}}, decode(at, raw, &bare)
	case "StripAccents":
		return normalizers{stripAccents{}}, decode(at, raw, &bare)
	case "NFC", "NFD", "NFKC", "NFKD":
		return normalizers{newUnicodeForm(kind)}, decode(at, raw, &bare)
	case "Nmt":
		return normalizers{nmt{}}, decode(at, raw, &bare)
	case "Precompiled":
		n, err := parsePrecompiled(at, raw)
		return normalizers{n}, err
	case "Prepend":
		n, err := parsePrepend(at, raw)
		return normalizers{n}, err
	case "Replace":
		n, err := parseReplace(at, raw)
		return normalizers{n}, err
	case "Strip":
		n, err := parseStrip(at, raw)
		return normalizers{n}, err
	case "Sequence":
		var f struct {
			Type        string            `json:"type"`
			Normalizers []json.RawMessage `json:"normalizers"`
		}
		if err := decode(at, raw, &f); err != nil {
			return nil, err
		}
		if f.Normalizers == nil {
			return nil, missing(at, "normalizers")
		}
		var all normalizers
		for i, raw := range f.Normalizers {
			n, err := parseNormalizer(fmt.Sprintf("%s.normalizers[%d]", at, i), raw)
			if err != nil {
				return nil, err
			}
			all = append(all, n...)
		}
		return all, nil
	default:
		return nil, unsupported(at+".type", kind, normalizerTypes...)
	}
}

// normalizers applies each in turn; none leaves text as it is.
type normalizers []normalizer

func (ns normalizers) appendNormal(dst, src []byte, s *scratch) []byte {
	for i, n := range ns {
		if i == len(ns)-1 {
			return n.appendNormal(dst, src, s)
		}
		stage := &s.stages[i%2]
		*stage = n.appendNormal((*stage)[:0], src, s)
		src = *stage
	}
	return append(dst, src...)
}

func (ns normalizers) cuts() (c cuts) {
	for _, n := range ns {
		c = max(c, n.cuts())
	}
	return c
}

// lowercase takes each rune to its lower case, whatever stands around it.
type lowercase struct{}

func (lowercase) cuts() cuts { return cutNeutral }

func (lowercase) appendNormal(dst, src []byte, _ *scratch) []byte {
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		dst = appendLower(dst, r)
		i += n
	}
	return dst
}

func appendLower(dst []byte, r rune) []byte {
	first, second := lower(r)
	dst = utf8.AppendRune(dst, first)
	if second != 0 {
		dst = utf8.AppendRune(dst, second)
	}
	return dst
}

// stripAccents drops combining marks; it decomposes nothing.
type stripAccents struct{}

func (stripAccents) cuts() cuts { return cutNeutral }

func (stripAccents) appendNormal(dst, src []byte, s *scratch) []byte {
	if r, n := utf8.DecodeRune(src); n > 0 && isMark(r) {
		s.shifted = true
	}
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if !isMark(r) {
			dst = append(dst, src[i:i+n]...)
		}
		i += n
	}
	return dst
}
