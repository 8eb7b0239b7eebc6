package schemas

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"nearline/pipeline"
)

// presets encodes the defaults of all fields.
func (p *avroParser) presets() error {
	var errs []error
	for _, d := range p.defaults {
		field := &d.record.fields[d.field]
		preset, err := appendPreset([]byte{}, field.typ, d.value, 0)
		if err != nil {
			errs = append(errs, fmt.Errorf("default of field %q: %w", field.name, err))
			continue
		}
		field.preset = preset
	}
	return errors.Join(errs...)
}

// appendPreset appends a default, as a schema writes it: bytes as a text with a code point for each, whatever their logical type; times as whole
// numbers; and a union as its first branch. Others are tried after that, as newer readers of schemas do.
func appendPreset(dst []byte, t *avroType, value any, depth int) ([]byte, error) {
	if depth > maxMaxDepth {
		return dst, errors.New("nests too deep")
	}
	plain := *t
	plain.logical = ""
	switch v := value.(type) {
	case nil:
		if t.kind != avroUnion {
			return appendAvro(dst, &plain, pipeline.Value{}, depth)
		}
	case bool:
		if t.kind == avroBoolean {
			return appendAvro(dst, t, pipeline.Value{Kind: pipeline.Bool, Bool: v}, depth)
		}
	case json.Number:
		switch t.kind {
		case avroInt, avroLong, avroFloat, avroDouble:
			return appendAvro(dst, &plain, pipeline.Value{Kind: pipeline.Number, Str: v.String()}, depth)
		}
	case string:
		switch t.kind {
		case avroBytes, avroFixed:
			raw, err := latin1(v)
			if err != nil {
				return dst, err
			}
			return appendAvro(dst, &plain, pipeline.StringValue(raw), depth)
		case avroString, avroEnum:
			return appendAvro(dst, &plain, pipeline.StringValue(v), depth)
		}
	case []any:
		if t.kind == avroArray {
			return appendPresets(dst, t, v, depth)
		}
	case map[string]any:
		switch t.kind {
		case avroMap:
			return appendPresetMap(dst, t, v, depth)
		case avroRecord:
			return appendPresetRecord(dst, t, v, depth)
		}
	}
	if t.kind == avroUnion {
		return appendPresetUnion(dst, t, value, depth)
	}
	text, ok := value.(string)
	if !ok {
		written, _ := json.Marshal(value) // it was read from JSON
		text = string(written)
	}
	return dst, fmt.Errorf("it is %s, and the schema wants %s", excerpt(text), t.kind)
}

func appendPresetUnion(dst []byte, t *avroType, value any, depth int) ([]byte, error) {
	var first error
	for i, branch := range t.branches {
		extended, err := appendPreset(binary.AppendVarint(dst, int64(i)), branch, value, depth+1)
		if err == nil {
			return extended, nil
		}
		if first == nil {
			first = err
		}
	}
	return dst, first
}

func appendPresets(dst []byte, t *avroType, list []any, depth int) (_ []byte, err error) {
	if len(list) > 0 {
		dst = binary.AppendVarint(dst, int64(len(list)))
	}
	for _, item := range list {
		if dst, err = appendPreset(dst, t.items, item, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, 0), nil
}

func appendPresetMap(dst []byte, t *avroType, object map[string]any, depth int) (_ []byte, err error) {
	if len(object) > 0 {
		dst = binary.AppendVarint(dst, int64(len(object)))
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if dst, err = appendPreset(appendBytes(dst, name), t.items, object[name], depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, 0), nil
}

// appendPresetRecord takes fields that the default does not have from their own defaults.
func appendPresetRecord(dst []byte, t *avroType, object map[string]any, depth int) (_ []byte, err error) {
	for i := range t.fields {
		field := &t.fields[i]
		value, ok := object[field.name]
		if ok {
			dst, err = appendPreset(dst, field.typ, value, depth+1)
		} else {
			dst, err = appendMissing(dst, field)
		}
		if err != nil {
			return dst, fmt.Errorf("field %q: %w", field.name, err)
		}
	}
	return dst, nil
}

// latin1 is how a schema writes bytes in a default: one code point a byte.
func latin1(text string) (string, error) {
	var b []byte
	for _, r := range text {
		if r > 0xff {
			return "", fmt.Errorf("%s has %q, and bytes are code points up to U+00FF", excerpt(text), r)
		}
		b = append(b, byte(r))
	}
	return string(b), nil
}
