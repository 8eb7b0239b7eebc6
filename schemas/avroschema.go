package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/linkedin/goavro/v2"

	"nearline/internal/files"
)

// avroKind is one of Avro's types.
type avroKind string

const (
	avroNull    avroKind = "null"
	avroBoolean avroKind = "boolean"
	avroInt     avroKind = "int"
	avroLong    avroKind = "long"
	avroFloat   avroKind = "float"
	avroDouble  avroKind = "double"
	avroBytes   avroKind = "bytes"
	avroString  avroKind = "string"
	avroRecord  avroKind = "record"
	avroEnum    avroKind = "enum"
	avroFixed   avroKind = "fixed"
	avroArray   avroKind = "array"
	avroMap     avroKind = "map"
	avroUnion   avroKind = "union"
)

// avroType is one type of a schema. Named types that refer to themselves make it a graph.
type avroType struct {
	kind     avroKind
	logical  string
	scale    int         // of a decimal
	size     int         // of a fixed
	symbols  []string    // of an enum
	fields   []avroField // of a record
	items    *avroType   // of an array or a map
	branches []*avroType // of a union
}

type avroField struct {
	name string
	typ  *avroType
	// preset is the default in Avro's binary form, nil when the field has none.
	preset []byte
}

// maxSchemaBytes bounds a schema's file. A guess, far above any.
const maxSchemaBytes = 16 << 20

func readSchema(file string) (string, error) {
	text, err := files.ReadText(file, maxSchemaBytes)
	if err != nil {
		return "", fmt.Errorf("read schema: %w", err)
	}
	return string(text), nil
}

// parseAvro reads a schema whose top is a record, to read values by it. Whether it is a valid one, goavro decides; what is made here is only
// the form that values can be read and written by without a map in between.
//
// Who reads by the schema that values were written with needs no defaults, and goavro refuses some that are right: a decimal's, and whole numbers beyond
// 2^53. So it never sees any, and what is wrong with one hinders only who writes (avroParser.presets).
func parseAvro(text string) (*avroType, error) {
	t, _, err := parseAvroSchema(text)
	return t, err
}

// parseAvroToWrite reads a schema with the defaults of its fields.
func parseAvroToWrite(text string) (*avroType, error) {
	t, p, err := parseAvroSchema(text)
	if err != nil {
		return nil, err
	}
	return t, p.presets()
}

func parseAvroSchema(text string) (*avroType, *avroParser, error) {
	var schema any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // a default may have more digits than a float64
	if err := d.Decode(&schema); err != nil {
		return nil, nil, fmt.Errorf("not an Avro schema: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("not an Avro schema: something follows it")
	}
	bare, err := json.Marshal(withoutDefaults(schema))
	if err != nil {
		return nil, nil, fmt.Errorf("not an Avro schema: %w", err)
	}
	if _, err := goavro.NewCodec(string(bare)); err != nil {
		return nil, nil, fmt.Errorf("not an Avro schema: %w", err)
	}
	p := &avroParser{named: map[string]*avroType{}}
	t, err := p.parse(schema, "")
	if err != nil {
		return nil, nil, err
	}
	if t.kind != avroRecord {
		return nil, nil, fmt.Errorf("the Avro schema is of type %s: want a record", t.kind)
	}
	return t, p, nil
}

// withoutDefaults is a copy of a schema without the defaults of fields and of enums, and without logical types that are to be ignored.
func withoutDefaults(schema any) any {
	switch s := schema.(type) {
	case []any:
		list := make([]any, len(s))
		for i, item := range s {
			list[i] = withoutDefaults(item)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(s))
		for key, value := range s {
			switch key {
			case "default":
			case "logicalType":
				if !ignoredLogical(s) {
					object[key] = value
				}
			case "type", "fields", "items", "values":
				object[key] = withoutDefaults(value)
			default:
				object[key] = value
			}
		}
		return object
	}
	return schema
}

// ignoredLogical says that a type's logical one is not valid: then the specification has readers take the type itself.
func ignoredLogical(s map[string]any) bool {
	precision, scale := number(s["precision"]), number(s["scale"])
	return s["logicalType"] == "decimal" && (precision < 1 || scale < 0 || scale > precision || s["type"] != "bytes" && s["type"] != "fixed")
}

type avroParser struct {
	named    map[string]*avroType
	defaults []avroDefault
}

// avroDefault is a field's default, to be encoded when all types are known.
type avroDefault struct {
	record *avroType
	field  int
	value  any
}

func (p *avroParser) parse(schema any, namespace string) (*avroType, error) {
	switch s := schema.(type) {
	case string:
		return p.reference(s, namespace)
	case []any:
		union := &avroType{kind: avroUnion}
		for _, branch := range s {
			t, err := p.parse(branch, namespace)
			if err != nil {
				return nil, err
			}
			union.branches = append(union.branches, t)
		}
		return union, nil
	case map[string]any:
		return p.object(s, namespace)
	default:
		return nil, fmt.Errorf("not an Avro type: %v", schema)
	}
}

func (p *avroParser) reference(name, namespace string) (*avroType, error) {
	switch kind := avroKind(name); kind {
	case avroNull, avroBoolean, avroInt, avroLong, avroFloat, avroDouble, avroBytes, avroString:
		return &avroType{kind: kind}, nil
	}
	if t, ok := p.named[fullName(name, namespace)]; ok {
		return t, nil
	}
	if t, ok := p.named[name]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("the Avro schema names a type that it does not define: %q", name)
}

func (p *avroParser) object(s map[string]any, namespace string) (*avroType, error) {
	name, ok := s["type"].(string)
	if !ok {
		return p.parse(s["type"], namespace)
	}
	t := &avroType{kind: avroKind(name)}
	if !ignoredLogical(s) {
		t.logical, _ = s["logicalType"].(string)
	}
	t.scale = number(s["scale"])
	switch t.kind {
	case avroRecord, avroEnum, avroFixed, "error":
		if space, ok := s["namespace"].(string); ok {
			namespace = space
		}
		short, _ := s["name"].(string)
		full := fullName(short, namespace)
		p.named[full] = t
		if dot := strings.LastIndexByte(full, '.'); dot >= 0 {
			namespace = full[:dot]
		}
	}
	var err error
	switch t.kind {
	case avroRecord, "error":
		t.kind = avroRecord
		err = p.fields(t, s, namespace)
	case avroEnum:
		list, _ := s["symbols"].([]any)
		for _, symbol := range list {
			text, _ := symbol.(string)
			t.symbols = append(t.symbols, text)
		}
	case avroFixed:
		t.size = number(s["size"])
	case avroArray:
		t.items, err = p.parse(s["items"], namespace)
	case avroMap:
		t.items, err = p.parse(s["values"], namespace)
	case avroNull, avroBoolean, avroInt, avroLong, avroFloat, avroDouble, avroBytes, avroString:
	default:
		return p.reference(name, namespace)
	}
	return t, err
}

func (p *avroParser) fields(t *avroType, s map[string]any, namespace string) error {
	list, _ := s["fields"].([]any)
	for i, item := range list {
		field, _ := item.(map[string]any)
		name, _ := field["name"].(string)
		typ, err := p.parse(field["type"], namespace)
		if err != nil {
			return fmt.Errorf("field %q: %w", name, err)
		}
		t.fields = append(t.fields, avroField{name: name, typ: typ})
		if preset, ok := field["default"]; ok {
			p.defaults = append(p.defaults, avroDefault{t, i, preset})
		}
	}
	return nil
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func number(v any) int {
	n, _ := v.(json.Number)
	f, _ := n.Float64()
	if !(math.Abs(f) <= math.MaxInt32) {
		return 0
	}
	return int(f)
}

// field finds a record's field by name.
func (t *avroType) field(name string) (*avroField, bool) {
	for i := range t.fields {
		if t.fields[i].name == name {
			return &t.fields[i], true
		}
	}
	return nil, false
}

// holds says whether a value of the type can have something at the rest of a path.
func (t *avroType) holds(path []string) bool {
	if t.kind == avroUnion {
		for _, branch := range t.branches {
			if branch.holds(path) {
				return true
			}
		}
		return false
	}
	if len(path) == 0 {
		return true
	}
	switch t.kind {
	case avroRecord:
		field, ok := t.field(path[0])
		return ok && field.typ.holds(path[1:])
	case avroArray, avroMap:
		return t.items.holds(path[1:])
	default:
		return false
	}
}
