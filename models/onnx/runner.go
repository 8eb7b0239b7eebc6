//go:build cgo

package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"

	ort "github.com/yalue/onnxruntime_go"
)

// Runner runs a session with buffers of its own, one for each slot. Not safe for concurrent use.
type Runner struct {
	session *Session
	inputs  []ort.Value
	outputs []ort.Value
	narrow  [][]int32 // by input: what an int32 input is converted into
	buffers []*buffer // by output
	answers []Output
	pinner  runtime.Pinner // for the inputs of one run
	binding *ort.IoBinding // nil until the first run of a bound session
}

// Runner makes a runner of the session.
func (s *Session) Runner() *Runner {
	r := &Runner{
		session: s,
		inputs:  make([]ort.Value, len(s.inputs)),
		outputs: make([]ort.Value, len(s.outputs)),
		narrow:  make([][]int32, len(s.inputs)),
		answers: make([]Output, len(s.outputs)),
	}
	for _, info := range s.outputs {
		r.buffers = append(r.buffers, &buffer{info: info})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runners = append(s.runners, r)
	return r
}

// Run computes the graph: inputs in the order of Graph.Inputs; answers in the order of
// Options.Outputs, with as many rows as the input that Options.RowsOf names, valid until the next Run. It returns only when the computation has ended.
//
// An error that wraps ErrRuntime is nobody's fault. Any other may be that of what was put in (an id past the vocabulary,
// more tokens than positions).
func (r *Runner) Run(inputs []Input) ([]Output, error) {
	if len(inputs) != len(r.inputs) {
		return nil, fmt.Errorf("run got %d inputs: want %d", len(inputs), len(r.inputs))
	}
	defer r.clear()
	for i, in := range inputs {
		value, err := r.input(i, in)
		if err != nil {
			return nil, fmt.Errorf("input %s of [%d, %d]: %s", r.session.inputs[i].Name, in.Rows, in.Columns, trim(err))
		}
		r.inputs[i] = value
	}
	fresh := false // an output lies elsewhere than in the last run
	rows := inputs[r.session.rowsOf]
	for i, b := range r.buffers {
		last := b.value
		value, err := b.sized(rows.Rows, rows.Columns)
		if err != nil {
			return nil, fmt.Errorf("output %s: %s", b.info.Name, trim(err))
		}
		r.outputs[i] = value
		fresh = fresh || value != last
	}
	if err := r.compute(fresh); err != nil {
		return nil, runError(trim(err))
	}
	for i, b := range r.buffers {
		if err := b.read(r.outputs[i], &r.answers[i]); err != nil {
			return nil, fmt.Errorf("output %s: %w", b.info.Name, err)
		}
	}
	return r.answers, nil
}

// compute runs the graph on r.inputs into r.outputs.
func (r *Runner) compute(fresh bool) (err error) {
	if !r.session.bound {
		return r.session.session.Run(r.inputs, r.outputs)
	}
	if r.binding == nil {
		if r.binding, err = r.session.session.CreateIoBinding(); err != nil {
			return err
		}
		fresh = true
	}
	if fresh {
		r.binding.ClearBoundOutputs()
		for i, value := range r.outputs {
			if err := r.binding.BindOutput(r.session.outputs[i].Name, value); err != nil {
				r.forget()
				return err
			}
		}
	}
	// What is bound outlives this run, and the caller's memory does not.
	defer r.binding.ClearBoundInputs()
	for i, value := range r.inputs {
		if err := r.binding.BindInput(r.session.inputs[i].Name, value); err != nil {
			return err
		}
	}
	return r.session.session.RunWithBinding(r.binding)
}

// forget has the next run allocate and bind its outputs anew.
func (r *Runner) forget() {
	for i, b := range r.buffers {
		b.free()
		r.outputs[i] = nil
	}
}

// free lets go of everything that outlives a run.
func (r *Runner) free() {
	if r.binding != nil {
		_ = r.binding.Destroy() // returns no error, ever
		r.binding = nil
	}
	r.forget()
}

// input wraps the data for the runtime, which reads it where it lies; texts it copies.
func (r *Runner) input(i int, in Input) (ort.Value, error) {
	if in.Rows < 1 || in.Columns < 1 || in.len() != in.Rows*in.Columns {
		return nil, fmt.Errorf("has %d elements", in.len())
	}
	shape := ort.Shape{int64(in.Rows), int64(in.Columns)}
	if of := r.session.inputs[i].Shape; len(of) == 1 && in.Columns == 1 {
		shape = shape[:1]
	}
	switch kind := r.session.inputs[i].Type; {
	case kind == Int64 && in.Data != nil:
		return tensor(r, shape, in.Data)
	case kind == Int32 && in.Data != nil:
		narrow := r.narrow[i][:0]
		for _, v := range in.Data {
			if v < math.MinInt32 || v > math.MaxInt32 {
				return nil, fmt.Errorf("%d is not an int32", v)
			}
			narrow = append(narrow, int32(v))
		}
		r.narrow[i] = narrow
		return tensor(r, shape, narrow)
	case kind == Float32 && in.Floats != nil:
		return tensor(r, shape, in.Floats)
	case kind == Float64 && in.Doubles != nil:
		return tensor(r, shape, in.Doubles)
	case kind == String && in.Texts != nil:
		t, err := ort.NewStringTensor(shape)
		if err != nil {
			return nil, err
		}
		if err := t.SetContents(in.Texts); err != nil {
			_ = t.Destroy()
			return nil, err
		}
		return t, nil
	}
	return nil, fmt.Errorf("has values of another type: want %v", r.session.inputs[i].Type)
}

func tensor[T ort.TensorData](r *Runner, shape ort.Shape, data []T) (ort.Value, error) {
	r.pinner.Pin(&data[0])
	return value(ort.NewTensor(shape, data))
}

// value keeps a nil tensor from becoming a Value that is not nil.
func value[T ort.TensorData](t *ort.Tensor[T], err error) (ort.Value, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

// clear frees what one run made. The data stays: it is the callers', or r's.
func (r *Runner) clear() {
	for i, v := range r.inputs {
		if v != nil {
			v.Destroy()
		}
		r.inputs[i] = nil
	}
	for i, v := range r.outputs {
		if v != nil && v != r.buffers[i].value {
			v.Destroy()
		}
		r.outputs[i] = nil
	}
	r.pinner.Unpin()
}

// buffer is where an output is written to. It is kept from run to run while the shape stays, as it does where rows run one
// by one.
type buffer struct {
	info   Info
	rows   int
	tokens int       // where the shape has them
	value  ort.Value // nil when the runtime has to allocate: the graph does not say how large a row is
	pinner runtime.Pinner
}

// sized returns a tensor for so many rows of so many tokens, or nil to have the runtime allocate one.
func (b *buffer) sized(rows, tokens int) (ort.Value, error) {
	if !tokenwise(b.info) {
		tokens = 0
	}
	if b.rows == rows && b.tokens == tokens {
		return b.value, nil
	}
	b.free()
	if !stated(b.info) && tokens == 0 {
		return nil, nil
	}
	shape := ort.Shape(b.info.Shape).Clone()
	if shape[0] < 0 {
		shape[0] = int64(rows)
	}
	if tokens > 0 {
		shape[1] = int64(tokens)
	}
	var err error
	switch b.info.Type {
	case Float32:
		b.value, err = pinned[float32](b, shape)
	case Float64:
		b.value, err = pinned[float64](b, shape)
	case Int64:
		b.value, err = pinned[int64](b, shape)
	case Int32:
		b.value, err = pinned[int32](b, shape)
	case Float16:
		data := make([]byte, 2*shape.FlattenedSize())
		b.pinner.Pin(&data[0])
		b.value, err = half(ort.NewCustomDataTensor(shape, data, ort.TensorElementDataTypeFloat16))
	}
	if err != nil {
		return nil, err
	}
	b.rows, b.tokens = rows, tokens
	return b.value, nil
}

func half(t *ort.CustomDataTensor, err error) (ort.Value, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

func pinned[T ort.TensorData](b *buffer, shape ort.Shape) (ort.Value, error) {
	data := make([]T, shape.FlattenedSize())
	b.pinner.Pin(&data[0])
	return value(ort.NewTensor(shape, data))
}

func (b *buffer) free() {
	if b.value != nil {
		b.value.Destroy()
	}
	b.value, b.rows, b.tokens = nil, 0, 0
	b.pinner.Unpin()
}

// stated says whether the graph states how large a row of the output is.
func stated(info Info) bool {
	for i, d := range info.Shape {
		if d == 0 || (i > 0 && d < 0) {
			return false
		}
	}
	return len(info.Shape) > 0
}

// tokenwise says whether an output is [batch, tokens, hidden] in float16, which the binding cannot have the runtime allocate.
func tokenwise(info Info) bool {
	return info.Type == Float16 && len(info.Shape) == 3 && info.Shape[0] != 0 && info.Shape[1] < 0 && info.Shape[2] > 0
}

// readable says why an output cannot be read, if so.
func readable(info Info) error {
	switch info.Type {
	case Float32, Float64, Int64, Int32:
		return nil
	case Float16:
		// The binding copies half of such an output where the runtime allocates it.
		if stated(info) || tokenwise(info) {
			return nil
		}
		return errors.New("a float16 output has to state its shape, but for batch and tokens: convert the graph with keep_io_types=True")
	}
	return errors.New("want float32, float16, float64, int64 or int32")
}

// read hands out the tensor's elements, converted where they are not float32.
func (b *buffer) read(v ort.Value, to *Output) error {
	to.Shape = append(to.Shape[:0], v.GetShape()...)
	switch t := v.(type) {
	case *ort.Tensor[float32]:
		if v == b.value {
			to.Data = t.GetData()
		} else { // it is about to be freed; an output is always of this kind, or never
			to.Data = append(to.Data[:0], t.GetData()...)
		}
	case *ort.Tensor[float64]:
		to.Data = converted(to.Data[:0], t.GetData())
	case *ort.Tensor[int64]:
		to.Data = converted(to.Data[:0], t.GetData())
	case *ort.Tensor[int32]:
		to.Data = converted(to.Data[:0], t.GetData())
	case *ort.CustomDataTensor:
		to.Data = halves(to.Data[:0], t.GetData())
	default:
		return fmt.Errorf("is a %v: want a tensor of numbers", v.GetONNXType())
	}
	return nil
}

func converted[T float64 | int64 | int32](dst []float32, src []T) []float32 {
	for _, v := range src {
		dst = append(dst, float32(v))
	}
	return dst
}

// halves converts IEEE 754 half precision, in the machine's byte order.
func halves(dst []float32, src []byte) []float32 {
	for ; len(src) > 1; src = src[2:] {
		h := uint32(binary.NativeEndian.Uint16(src))
		sign, exponent, fraction := h>>15<<31, h>>10&0x1f, h&0x3ff
		switch exponent {
		case 0: // zero, and what is too small to be normal
			v := float32(fraction) / (1 << 24)
			dst = append(dst, math.Float32frombits(sign|math.Float32bits(v)))
		case 0x1f: // infinite, or not a number
			dst = append(dst, math.Float32frombits(sign|0x7f800000|fraction<<13))
		default:
			dst = append(dst, math.Float32frombits(sign|(exponent+127-15)<<23|fraction<<13))
		}
	}
	return dst
}
