package schemas

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"

	"nearline/pipeline"
)

// avroReader walks one value by its schema. Whatever the bytes say, it allocates nothing for what it skips, and ends:
// items of arrays and maps are counted against the size of the value, since an item may take no bytes at all.
// Not safe for concurrent use.
type avroReader struct {
	rest     []byte
	total    int
	draft    *draft
	maxDepth int
	depth    int
	items    int // how many more items arrays and maps may have together
}

// value reads the next value into the slots of the node, or past it when the node is nil.
func (r *avroReader) value(t *avroType, n *node) *pipeline.Fault {
	if t.kind == avroUnion {
		branch, fault := r.branch(t)
		if fault != nil {
			return fault
		}
		return r.value(branch, n)
	}
	container := t.kind == avroRecord || t.kind == avroArray || t.kind == avroMap
	if !container {
		if n == nil || len(n.slots) == 0 {
			return r.skip(t)
		}
		v, fault := r.scalar(t)
		if fault == nil {
			r.draft.resolve(n, v)
		}
		return fault
	}
	if n != nil && n.whole {
		v, fault := r.build(t)
		if fault == nil {
			r.draft.resolve(n, v)
		}
		return fault
	}
	if n != nil {
		kind := pipeline.Object
		if t.kind == avroArray {
			kind = pipeline.List
		}
		r.draft.value(n, pipeline.Value{Kind: kind})
	}
	return r.container(t, func(name string, index int, inner *avroType) *pipeline.Fault {
		var kid *node
		switch {
		case n == nil:
		case index >= 0:
			kid = n.element(index)
		default:
			kid = n.kid([]byte(name))
		}
		return r.value(inner, kid)
	})
}

// container walks a record, an array or a map. Each gets the field's or entry's name, or the item's index and no name.
func (r *avroReader) container(t *avroType, each func(name string, index int, inner *avroType) *pipeline.Fault) *pipeline.Fault {
	if r.depth++; r.depth > r.maxDepth {
		return tooDeep(r.maxDepth)
	}
	defer func() { r.depth-- }()
	if t.kind == avroRecord {
		for i := range t.fields {
			if fault := each(t.fields[i].name, -1, t.fields[i].typ); fault != nil {
				return fault
			}
		}
		return nil
	}
	for index := 0; ; {
		count, fault := r.block()
		if fault != nil || count == 0 {
			return fault
		}
		for range count {
			if t.kind == avroArray {
				fault = each("", index, t.items)
			} else {
				var name []byte
				if name, fault = r.bytes(); fault == nil {
					if !utf8.Valid(name) {
						return r.malformed("a map's key is not valid UTF-8")
					}
					fault = each(string(name), -1, t.items)
				}
			}
			if fault != nil {
				return fault
			}
			index++
		}
	}
}

// block reads how many items follow, 0 at the end.
func (r *avroReader) block() (int, *pipeline.Fault) {
	count, fault := r.long()
	if fault == nil && count < 0 {
		count = -count
		_, fault = r.long() // the block's size in bytes, for those who skip it whole
	}
	if fault != nil {
		return 0, fault
	}
	if count < 0 || count > int64(r.items) {
		return 0, r.malformed("an array or map claims more items than the value has bytes")
	}
	r.items -= int(count)
	return int(count), nil
}

func (r *avroReader) branch(t *avroType) (*avroType, *pipeline.Fault) {
	index, fault := r.long()
	if fault != nil {
		return nil, fault
	}
	if index < 0 || index >= int64(len(t.branches)) {
		return nil, r.malformed("a union of %d types has no branch %d", len(t.branches), index)
	}
	return t.branches[index], nil
}

// build reads the next value as it is.
func (r *avroReader) build(t *avroType) (pipeline.Value, *pipeline.Fault) {
	if fault := r.draft.spend(); fault != nil {
		return pipeline.Value{}, fault
	}
	switch t.kind {
	case avroUnion:
		branch, fault := r.branch(t)
		if fault != nil {
			return pipeline.Value{}, fault
		}
		return r.build(branch)
	case avroRecord, avroArray, avroMap:
	default:
		return r.scalar(t)
	}
	v := pipeline.Value{Kind: pipeline.Object}
	if t.kind == avroArray {
		v.Kind = pipeline.List
	}
	fault := r.container(t, func(name string, index int, inner *avroType) *pipeline.Fault {
		value, fault := r.build(inner)
		if fault != nil {
			return fault
		}
		if index >= 0 {
			v.List = append(v.List, value)
		} else {
			v.Fields = append(v.Fields, pipeline.Field{Name: name, Value: value})
		}
		return nil
	})
	return v, fault
}

// skip reads past a value that is no container.
func (r *avroReader) skip(t *avroType) *pipeline.Fault {
	switch t.kind {
	case avroBytes, avroString:
		_, fault := r.bytes()
		return fault
	case avroFixed, avroFloat, avroDouble:
		_, fault := r.take(t.width())
		return fault
	default:
		_, fault := r.scalar(t)
		return fault
	}
}

func (t *avroType) width() int {
	switch t.kind {
	case avroFloat:
		return 4
	case avroDouble:
		return 8
	default:
		return t.size
	}
}

// scalar reads a value that is no container. Bytes are read as text, a fixed becomes base64, a decimal its digits, and
// the logical types of time their ISO 8601 form, in UTC.
func (r *avroReader) scalar(t *avroType) (pipeline.Value, *pipeline.Fault) {
	switch t.kind {
	case avroNull:
		return pipeline.Value{}, nil
	case avroBoolean:
		b, fault := r.take(1)
		if fault != nil {
			return pipeline.Value{}, fault
		}
		if b[0] > 1 {
			return pipeline.Value{}, r.malformed("a boolean is %d", b[0])
		}
		return pipeline.Value{Kind: pipeline.Bool, Bool: b[0] == 1}, nil
	case avroInt, avroLong:
		return r.integer(t)
	case avroEnum:
		i, fault := r.long()
		if fault != nil {
			return pipeline.Value{}, fault
		}
		if i < 0 || i >= int64(len(t.symbols)) {
			return pipeline.Value{}, r.malformed("an enum of %d symbols has no symbol %d", len(t.symbols), i)
		}
		return pipeline.StringValue(t.symbols[i]), nil
	case avroFloat, avroDouble:
		return r.float(t)
	}
	var raw []byte
	var fault *pipeline.Fault
	if t.kind == avroFixed {
		raw, fault = r.take(t.size)
	} else {
		raw, fault = r.bytes()
	}
	switch {
	case fault != nil:
		return pipeline.Value{}, fault
	case t.logical == "decimal":
		return decimal(raw, t.scale)
	case t.kind == avroFixed:
		return pipeline.StringValue(base64.StdEncoding.EncodeToString(raw)), nil
	case !utf8.Valid(raw):
		return pipeline.Value{}, r.malformed("the %s before it is not valid UTF-8", t.kind)
	default:
		return pipeline.StringValue(string(raw)), nil
	}
}

func (r *avroReader) integer(t *avroType) (pipeline.Value, *pipeline.Fault) {
	i, fault := r.long()
	if fault != nil {
		return pipeline.Value{}, fault
	}
	if t.kind == avroInt && (i < math.MinInt32 || i > math.MaxInt32) {
		return pipeline.Value{}, r.malformed("an int is %d, which takes more than 32 bits", i)
	}
	switch t.logical {
	case "timestamp-millis":
		return pipeline.StringValue(time.UnixMilli(i).UTC().Format(time.RFC3339Nano)), nil
	case "timestamp-micros":
		return pipeline.StringValue(time.UnixMicro(i).UTC().Format(time.RFC3339Nano)), nil
	case "date":
		return pipeline.StringValue(time.Unix(0, 0).UTC().AddDate(0, 0, int(i)).Format(time.DateOnly)), nil
	case "time-millis":
		return pipeline.StringValue(time.UnixMilli(i).UTC().Format("15:04:05.000")), nil
	case "time-micros":
		return pipeline.StringValue(time.UnixMicro(i).UTC().Format("15:04:05.000000")), nil
	}
	return pipeline.Value{Kind: pipeline.Number, Str: strconv.FormatInt(i, 10)}, nil
}

func (r *avroReader) float(t *avroType) (pipeline.Value, *pipeline.Fault) {
	raw, fault := r.take(t.width())
	if fault != nil {
		return pipeline.Value{}, fault
	}
	var f float64
	if t.kind == avroFloat {
		f = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	} else {
		f = math.Float64frombits(binary.LittleEndian.Uint64(raw))
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return pipeline.Value{}, pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageDecode,
			"a field that the config reads is %v: want a number", f)
	}
	return pipeline.FloatValue(f), nil
}

// decimal is a big-endian two's complement number with that many digits after the point.
func decimal(raw []byte, scale int) (pipeline.Value, *pipeline.Fault) {
	const most = 256 // bytes; more digits than any decimal has, and few enough to print
	if len(raw) > most {
		return pipeline.Value{}, pipeline.Faultf(pipeline.ClassInvalid, pipeline.StageDecode,
			"a decimal is %d bytes long: want at most %d", len(raw), most)
	}
	unscaled := new(big.Int).SetBytes(raw)
	if len(raw) > 0 && raw[0]&0x80 != 0 {
		unscaled.Sub(unscaled, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
	}
	exact := new(big.Rat).SetFrac(unscaled, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	return pipeline.Value{Kind: pipeline.Number, Str: exact.FloatString(scale)}, nil
}

func (r *avroReader) bytes() ([]byte, *pipeline.Fault) {
	size, fault := r.long()
	if fault != nil {
		return nil, fault
	}
	if size < 0 || size > int64(len(r.rest)) {
		return nil, r.malformed("a length of %d, and %d bytes are left", size, len(r.rest))
	}
	return r.take(int(size))
}

func (r *avroReader) take(size int) ([]byte, *pipeline.Fault) {
	if size > len(r.rest) {
		return nil, r.malformed("the value ends too early")
	}
	taken := r.rest[:size]
	r.rest = r.rest[size:]
	return taken, nil
}

func (r *avroReader) long() (int64, *pipeline.Fault) {
	u, size := binary.Uvarint(r.rest)
	switch {
	case size == 0:
		return 0, r.malformed("the value ends too early")
	case size < 0:
		return 0, r.malformed("a number takes more than 64 bits")
	}
	r.rest = r.rest[size:]
	return int64(u>>1) ^ -int64(u&1), nil
}

func (r *avroReader) malformed(format string, args ...any) *pipeline.Fault {
	fault := pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode, format, args...)
	fault.Cause = "not of the Avro schema at byte " + strconv.Itoa(r.total-len(r.rest)) + ": " + fault.Cause
	return fault
}
