package features

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"nearline/pipeline"
)

// A state stands in its topic as JSON: the time of its latest event, and its fields under their names and marks, those without anything left out.
//
//	{"at":1800000000000,"fields":{"reviews#1f0a…":{"sum":3,"weight":3,"at":1800000000000},
//	  "best#…":{"list":[{"of":"r1","by":0.5,"at":1800000000000}]},"people#…":{"sketch":"…"}}}
//
// Written and read by hand: a restore reads millions of them, and reflection took three quarters of it.

// encodeState writes a state.
func (v *View) encodeState(s *State) ([]byte, error) {
	dst := strconv.AppendInt(append(make([]byte, 0, 512), `{"at":`...), s.At, 10)
	dst = append(dst, `,"fields":{`...)
	first := true
	for i := range v.fields {
		c := &s.cells[i]
		if c.weight == 0 && c.list == nil && c.sketch == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), v.fields[i].mark...), `":{`...) // a mark needs no escapes
		switch {
		case c.sketch != nil:
			sketch, err := c.sketch.MarshalBinary()
			if err != nil {
				return nil, fmt.Errorf("write the sketch of %s: %w", v.fields[i].name, err)
			}
			dst = append(base64.StdEncoding.AppendEncode(append(dst, `"sketch":"`...), sketch), '"')
		case c.list != nil:
			dst = appendList(append(dst, `"list":`...), c.list)
		case !pipeline.Finite(c.sum) || !pipeline.Finite(c.weight):
			return nil, fmt.Errorf("the sum of %s is %v, with a weight of %v", v.fields[i].name, c.sum, c.weight) // times and numbers are bounded
		default:
			dst = jsontext.AppendFloat(append(dst, `"sum":`...), c.sum, 64)
			dst = jsontext.AppendFloat(append(dst, `,"weight":`...), c.weight, 64)
			dst = strconv.AppendInt(append(dst, `,"at":`...), c.at, 10)
		}
		dst = append(dst, '}')
	}
	return append(dst, '}', '}'), nil
}

func appendList(dst []byte, list []entry) []byte {
	dst = append(dst, '[')
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, _ = jsontext.AppendQuote(append(dst, `{"of":`...), e.Text)
		if e.By != 0 {
			dst = jsontext.AppendFloat(append(dst, `,"by":`...), e.By, 64)
		}
		dst = append(strconv.AppendInt(append(dst, `,"at":`...), e.At, 10), '}')
	}
	return append(dst, ']')
}

// DecodeState reads what encodeState wrote, perhaps of another release or another declaration: fields that are declared otherwise now begin
// anew, and are counted.
func (v *View) DecodeState(value []byte) (s *State, anew int, err error) {
	r := stateReaders.Get().(*stateReader) //nolint:errcheck // the pool holds nothing else
	defer stateReaders.Put(r)
	r.source = *bytes.NewBuffer(value)
	r.tokens.Reset(&r.source)
	s = v.newState()
	if anew, err = r.state(v, s); err != nil {
		return nil, 0, fmt.Errorf("read a state of view %s: %w", v.name, err)
	}
	return s, anew, nil
}

var stateReaders = sync.Pool{New: func() any { return &stateReader{tokens: jsontext.NewDecoder(new(bytes.Buffer))} }}

// stateReader walks one document. Not safe for concurrent use.
type stateReader struct {
	tokens *jsontext.Decoder
	source bytes.Buffer
}

func (r *stateReader) state(v *View, s *State) (anew int, err error) {
	fields := false
	err = r.object(func(name []byte) (err error) {
		switch string(name) {
		case "at":
			s.At, err = r.integer()
		case "fields":
			fields = true
			anew, err = r.fields(v, s)
		default:
			err = r.tokens.SkipValue()
		}
		return err
	})
	if err == nil && !fields {
		return 0, errors.New("fields are missing: this is no state of a view")
	}
	if err == nil {
		if _, end := r.tokens.ReadToken(); !errors.Is(end, io.EOF) {
			err = errors.New("something follows it")
		}
	}
	return anew, err
}

func (r *stateReader) fields(v *View, s *State) (anew int, err error) {
	return anew, r.object(func(mark []byte) error {
		for i := range v.fields {
			if f := &v.fields[i]; f.mark == string(mark) {
				if err := r.cell(f, &s.cells[i]); err != nil {
					return fmt.Errorf("field %s: %w", f.name, err)
				}
				return nil
			}
		}
		anew++
		return r.tokens.SkipValue()
	})
}

func (r *stateReader) cell(f *field, c *cell) error {
	return r.object(func(name []byte) (err error) {
		switch string(name) {
		case "sum":
			c.sum, err = r.number()
		case "weight":
			c.weight, err = r.number()
		case "at":
			c.at, err = r.integer()
		case "list":
			c.list, err = r.list(f.n)
		case "sketch":
			err = r.sketch(c)
		default:
			err = r.tokens.SkipValue()
		}
		return err
	})
}

// list of at most n entries; a list that was longer is cut.
func (r *stateReader) list(n int) ([]entry, error) {
	if err := r.expect(jsontext.KindBeginArray); err != nil {
		return nil, err
	}
	var list []entry
	for r.tokens.PeekKind() != jsontext.KindEndArray {
		var e entry
		if err := r.object(func(name []byte) (err error) {
			switch string(name) {
			case "of":
				e.Text, err = r.text()
			case "by":
				e.By, err = r.number()
			case "at":
				e.At, err = r.integer()
			default:
				err = r.tokens.SkipValue()
			}
			return err
		}); err != nil {
			return nil, err
		}
		if len(list) < n {
			list = append(list, e)
		}
	}
	return list, r.expect(jsontext.KindEndArray)
}

func (r *stateReader) sketch(c *cell) error {
	text, err := r.text()
	if err != nil {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("its sketch: %w", err)
	}
	c.sketch = newSketch()
	if err := c.sketch.UnmarshalBinary(data); err != nil {
		return fmt.Errorf("its sketch: %w", err)
	}
	return nil
}

// object calls member for each name, which is valid until it reads on; it must read the value.
func (r *stateReader) object(member func(name []byte) error) error {
	if err := r.expect(jsontext.KindBeginObject); err != nil {
		return err
	}
	for r.tokens.PeekKind() == jsontext.KindString {
		raw, err := r.tokens.ReadValue()
		if err != nil {
			return err
		}
		// None of our names needs escapes, and one of somebody else's that has some is none of ours.
		if err := member(raw[1 : len(raw)-1]); err != nil {
			return err
		}
	}
	return r.expect(jsontext.KindEndObject)
}

func (r *stateReader) expect(kind jsontext.Kind) error {
	token, err := r.tokens.ReadToken()
	if err == nil && token.Kind() != kind {
		return fmt.Errorf("%v at byte %d, want %v", token.Kind(), r.tokens.InputOffset(), kind)
	}
	return err
}

func (r *stateReader) number() (float64, error) {
	raw, err := r.tokens.ReadValue()
	if err != nil {
		return 0, err
	}
	if raw.Kind() != jsontext.KindNumber {
		return 0, fmt.Errorf("%v at byte %d, want a number", raw.Kind(), r.tokens.InputOffset())
	}
	f, _ := strconv.ParseFloat(string(raw), 64) // out of range it is infinite
	return min(max(f, -math.MaxFloat64), math.MaxFloat64), nil
}

func (r *stateReader) integer() (int64, error) {
	raw, err := r.tokens.ReadValue()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(raw), 10, 64)
}

func (r *stateReader) text() (string, error) {
	token, err := r.tokens.ReadToken()
	if err == nil && token.Kind() != jsontext.KindString {
		return "", fmt.Errorf("%v at byte %d, want a text", token.Kind(), r.tokens.InputOffset())
	}
	if err != nil {
		return "", err
	}
	return token.String(), nil
}
