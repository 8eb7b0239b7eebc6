package schemas

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"nearline/pipeline"
)

// jsonDecoder reads an event in one pass over its bytes, and keeps only what the mapping asks for.
//
// It is strict, because two readers of a lax document can see two different events: no duplicate names at any depth, no
// invalid UTF-8, nothing after the object. Two things it forgives, since they occur and harm nobody: a byte order mark
// in front, and escapes of half a surrogate pair, which become U+FFFD.
type jsonDecoder struct {
	layout   *layout
	maxBytes int
	maxDepth int
	pool     sync.Pool // of *jsonReader
}

var _ pipeline.Decoder = (*jsonDecoder)(nil)

func newJSONDecoder(in InputConfig, out OutputConfig, wanted Wanted) *jsonDecoder {
	d := &jsonDecoder{layout: newLayout(in, out, wanted), maxBytes: in.MaxValueBytes, maxDepth: in.MaxDepth}
	d.pool.New = func() any {
		return &jsonReader{
			tokens:   jsontext.NewDecoder(&bytes.Buffer{}),
			draft:    newDraft(d.layout),
			maxDepth: d.maxDepth,
		}
	}
	return d
}

var byteOrderMark = []byte("\xef\xbb\xbf")

func (d *jsonDecoder) Decode(record *pipeline.Record) (*pipeline.Row, *pipeline.Fault) {
	value := record.Value
	if len(value) > d.maxBytes {
		return nil, tooLarge(len(value), d.maxBytes)
	}
	value = bytes.TrimPrefix(value, byteOrderMark)
	skipped := len(record.Value) - len(value)
	if !utf8.Valid(value) {
		return nil, pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode,
			"not valid UTF-8 at byte %d", skipped+validPrefix(value))
	}
	r := d.pool.Get().(*jsonReader) //nolint:errcheck // the pool holds nothing else
	defer d.pool.Put(r)
	r.skipped = int64(skipped)
	if fault := r.read(value, d.layout.root); fault != nil {
		return nil, fault
	}
	return r.draft.row(record)
}

func validPrefix(b []byte) int {
	for i := 0; ; {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
}

// lenient lets escapes of lone surrogates through as U+FFFD. Raw invalid bytes are refused before.
var lenient = jsontext.AllowInvalidUTF8(true)

// jsonReader walks one document. Not safe for concurrent use.
type jsonReader struct {
	tokens   *jsontext.Decoder
	source   bytes.Buffer
	draft    *draft
	scratch  []byte
	content  []byte // of the strings of an array, one after the other
	ends     []int  // of each in it
	maxDepth int
	skipped  int64 // bytes before the document
}

// read walks the document, and leaves what the tree of names asks for in the draft.
func (r *jsonReader) read(value []byte, root *node) *pipeline.Fault {
	r.draft.reset()
	r.source = *bytes.NewBuffer(value)
	r.tokens.Reset(&r.source, lenient)
	switch kind := r.tokens.PeekKind(); kind {
	case jsontext.KindBeginObject:
	case jsontext.KindInvalid:
		if _, err := r.tokens.ReadToken(); !errors.Is(err, io.EOF) {
			return r.syntax(err)
		}
		return pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode, "the value is empty: want a JSON object")
	default:
		// Prose that begins with n, t, f or a digit looks like JSON for one byte.
		if err := r.tokens.SkipValue(); err != nil {
			return r.syntax(err)
		}
		return pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode,
			"the value is %s: want a JSON object", kindName(kindOf(kind)))
	}
	if fault := r.object(root); fault != nil {
		return fault
	}
	end := r.tokens.InputOffset()
	if _, err := r.tokens.ReadToken(); !errors.Is(err, io.EOF) {
		return pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode,
			"something follows the JSON object that ends at byte %d", r.skipped+end)
	}
	return nil
}

func (r *jsonReader) object(n *node) *pipeline.Fault {
	if fault := r.enter(); fault != nil {
		return fault
	}
	for r.tokens.PeekKind() != jsontext.KindEndObject {
		name, err := r.tokens.ReadValue()
		if err != nil {
			return r.syntax(err)
		}
		if fault := r.value(n.kid(r.unquote(name))); fault != nil {
			return fault
		}
	}
	return r.leave()
}

func (r *jsonReader) array(n *node) *pipeline.Fault {
	if fault := r.enter(); fault != nil {
		return fault
	}
	for i := 0; ; i++ {
		switch r.tokens.PeekKind() {
		case jsontext.KindEndArray:
			return r.leave()
		case jsontext.KindInvalid:
			_, err := r.tokens.ReadToken()
			return r.syntax(err)
		}
		if fault := r.value(n.element(i)); fault != nil {
			return fault
		}
	}
}

// value reads the next value into the slots of the node, or past it when the node is nil.
func (r *jsonReader) value(n *node) *pipeline.Fault {
	kind := r.tokens.PeekKind()
	container := kind == jsontext.KindBeginObject || kind == jsontext.KindBeginArray
	if n == nil {
		if container {
			return r.skip()
		}
		if _, err := r.tokens.ReadValue(); err != nil {
			return r.syntax(err)
		}
		return nil
	}
	if container && n.whole {
		v, fault := r.build()
		if fault == nil {
			r.draft.resolve(n, v)
		}
		return fault
	}
	switch kind {
	case jsontext.KindBeginObject:
		r.draft.value(n, pipeline.Value{Kind: pipeline.Object})
		return r.object(n)
	case jsontext.KindBeginArray:
		r.draft.value(n, pipeline.Value{Kind: pipeline.List})
		return r.array(n)
	}
	raw, err := r.tokens.ReadValue()
	if err != nil {
		return r.syntax(err)
	}
	switch kind {
	case jsontext.KindString:
		r.draft.literal(n, pipeline.String, func(dst []byte) []byte { return appendUnquoted(dst, raw) })
	case jsontext.KindNumber:
		r.draft.literal(n, pipeline.Number, func(dst []byte) []byte { return append(dst, raw...) })
	default:
		r.draft.value(n, pipeline.Value{Kind: kindOf(kind), Bool: kind == jsontext.KindTrue})
	}
	return nil
}

// skip reads past an object or array, token by token, because the depth must be bounded there too.
func (r *jsonReader) skip() *pipeline.Fault {
	outside := r.tokens.StackDepth()
	for {
		if _, err := r.tokens.ReadToken(); err != nil {
			return r.syntax(err)
		}
		switch depth := r.tokens.StackDepth(); {
		case depth == outside:
			return nil
		case depth > r.maxDepth:
			return tooDeep(r.maxDepth)
		}
	}
}

// build reads the next value as it is, numbers with their digits.
func (r *jsonReader) build() (pipeline.Value, *pipeline.Fault) {
	if fault := r.draft.spend(); fault != nil {
		return pipeline.Value{}, fault
	}
	kind := r.tokens.PeekKind()
	switch kind {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		return r.buildContainer(kind)
	}
	raw, err := r.tokens.ReadValue()
	if err != nil {
		return pipeline.Value{}, r.syntax(err)
	}
	switch kind {
	case jsontext.KindString:
		return pipeline.StringValue(string(r.unquote(raw))), nil
	case jsontext.KindNumber:
		if !inRange(raw) {
			return pipeline.Value{}, pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageDecode,
				"the number %s in a copied field is out of the range of a 64-bit float", excerpt(raw))
		}
		return pipeline.Value{Kind: pipeline.Number, Str: string(raw)}, nil
	default:
		return pipeline.Value{Kind: kindOf(kind), Bool: kind == jsontext.KindTrue}, nil
	}
}

func (r *jsonReader) buildContainer(kind jsontext.Kind) (pipeline.Value, *pipeline.Fault) {
	v := pipeline.Value{Kind: kindOf(kind)}
	if fault := r.enter(); fault != nil {
		return v, fault
	}
	if kind == jsontext.KindBeginArray && r.tokens.PeekKind() == jsontext.KindString {
		var fault *pipeline.Fault
		if v.Strings, fault = r.buildStrings(); fault != nil {
			return v, fault
		}
		if r.tokens.PeekKind() == jsontext.KindEndArray {
			v.Kind = pipeline.Strings
			return v, r.leave()
		}
		for _, s := range v.Strings { // and something else
			v.List = append(v.List, pipeline.StringValue(s))
		}
		v.Strings = nil
	}
	for {
		switch r.tokens.PeekKind() {
		case jsontext.KindEndObject, jsontext.KindEndArray:
			return v, r.leave()
		}
		var name string
		if kind == jsontext.KindBeginObject {
			raw, err := r.tokens.ReadValue()
			if err != nil {
				return v, r.syntax(err)
			}
			name = string(r.unquote(raw))
		}
		inner, fault := r.build()
		if fault != nil {
			return v, fault
		}
		if kind == jsontext.KindBeginObject {
			v.Fields = append(v.Fields, pipeline.Field{Name: name, Value: inner})
		} else {
			v.List = append(v.List, inner)
		}
	}
}

// buildStrings reads the strings that an array goes on with. They share one allocation: a list of candidates has a thousand of them.
func (r *jsonReader) buildStrings() ([]string, *pipeline.Fault) {
	r.content, r.ends = r.content[:0], r.ends[:0]
	for r.tokens.PeekKind() == jsontext.KindString {
		if fault := r.draft.spend(); fault != nil {
			return nil, fault
		}
		raw, err := r.tokens.ReadValue()
		if err != nil {
			return nil, r.syntax(err)
		}
		r.content = appendUnquoted(r.content, raw)
		r.ends = append(r.ends, len(r.content))
	}
	content, strings, from := string(r.content), make([]string, len(r.ends)), 0
	for i, end := range r.ends {
		strings[i], from = content[from:end], end
	}
	if cap(r.content) > maxScratch {
		r.content = nil
	}
	return strings, nil
}

func (r *jsonReader) enter() *pipeline.Fault {
	if _, err := r.tokens.ReadToken(); err != nil {
		return r.syntax(err)
	}
	if r.tokens.StackDepth() > r.maxDepth {
		return tooDeep(r.maxDepth)
	}
	return nil
}

func (r *jsonReader) leave() *pipeline.Fault {
	if _, err := r.tokens.ReadToken(); err != nil {
		return r.syntax(err)
	}
	return nil
}

// unquote is the content of a JSON string, valid until the next call or read.
func (r *jsonReader) unquote(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	if cap(r.scratch) > maxScratch {
		r.scratch = nil
	}
	r.scratch = appendUnquoted(r.scratch[:0], raw)
	return r.scratch
}

// appendUnquoted appends the content of a JSON string that was read as a token, so that its syntax is known to be good.
func appendUnquoted(dst, raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return append(dst, raw[1:len(raw)-1]...)
	}
	// The only error left is a lone surrogate, which has become U+FFFD.
	dst, _ = jsontext.AppendUnquote(dst, raw)
	return dst
}

func (r *jsonReader) syntax(err error) *pipeline.Fault {
	fault := func(at int64, what string) *pipeline.Fault {
		return pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode, "not JSON at byte %d: %s", r.skipped+at, what)
	}
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fault(r.tokens.InputOffset()+int64(len(r.tokens.UnreadBuffer())), "the value ends too early")
	case !errors.As(err, &syntax):
		return fault(r.tokens.InputOffset(), excerpt(err.Error()))
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fault(syntax.ByteOffset, "the name "+excerpt(syntax.JSONPointer.LastToken())+" occurs twice in one object")
	default:
		return fault(syntax.ByteOffset, clip(syntax.Err.Error(), 100))
	}
}

func kindOf(kind jsontext.Kind) pipeline.Kind {
	switch kind {
	case jsontext.KindTrue, jsontext.KindFalse:
		return pipeline.Bool
	case jsontext.KindNumber:
		return pipeline.Number
	case jsontext.KindString:
		return pipeline.String
	case jsontext.KindBeginArray:
		return pipeline.List
	case jsontext.KindBeginObject:
		return pipeline.Object
	default:
		return pipeline.Null
	}
}
