// Package onnx runs ONNX graphs with ONNX Runtime: it finds the library, opens sessions, and moves tensors in and out. It
// also reads what a graph is made of without running it (Inspect).
//
// It knows nothing of models, texts or labels. It is the only package that needs cgo; built without it, everything here
// compiles, Inspect works, and Open returns ErrUnavailable.
package onnx

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrRuntime marks a failure of the runtime itself: memory that cannot be had, a lost device. No input is guilty of it.
// A failed run without this mark may be its input's own fault, or not: the runtime does not say. Running an input that
// is known to be good tells.
var ErrRuntime = errors.New("onnx runtime failed")

// ErrShape says that a graph's output has another shape than its file states: no row can be read of it.
var ErrShape = errors.New("the graph does not answer in the shape that its file states")

// ErrUnavailable says that there is no runtime to run graphs with: the library is not found, or too old, or this
// program was built without cgo.
var ErrUnavailable = errors.New("onnx runtime is not available")

// Type is the element type of a tensor.
type Type uint8

// The element types, numbered as in ONNX (TensorProto.DataType).
const (
	Float32  Type = 1
	Uint8    Type = 2
	Int8     Type = 3
	Int32    Type = 6
	Int64    Type = 7
	String   Type = 8
	Bool     Type = 9
	Float16  Type = 10
	Float64  Type = 11
	BFloat16 Type = 16
	// Sequence is no tensor, but a list of them.
	Sequence Type = 255
)

func (t Type) String() string {
	switch t {
	case Float32:
		return "float32"
	case Uint8:
		return "uint8"
	case Int8:
		return "int8"
	case Int32:
		return "int32"
	case Int64:
		return "int64"
	case String:
		return "string"
	case Bool:
		return "bool"
	case Float16:
		return "float16"
	case Float64:
		return "float64"
	case BFloat16:
		return "bfloat16"
	case Sequence:
		return "sequence"
	}
	return "type " + strconv.Itoa(int(t))
}

// Info describes an input or an output of a graph.
type Info struct {
	Name string
	Type Type
	// Shape has -1 for a dimension that the graph leaves open, and is nil when the graph does not state it at all.
	Shape []int64
}

func (i Info) String() string {
	dims := make([]string, len(i.Shape))
	for n, d := range i.Shape {
		dims[n] = strconv.FormatInt(d, 10)
		if d < 0 {
			dims[n] = "?"
		}
	}
	return fmt.Sprintf("%s %s[%s]", i.Name, i.Type, strings.Join(dims, ", "))
}

// Input is a matrix for one run, row after row, in the caller's memory. One of its slices has Rows × Columns elements: the one that is of the
// graph's type. An input that the graph has as a vector takes one column.
type Input struct {
	Data    []int64   // of int64, and of int32, converted
	Floats  []float32 // of float32
	Doubles []float64 // of float64
	Texts   []string  // of string

	Rows, Columns int
}

// len is how many elements there are.
func (i *Input) len() int { return len(i.Data) + len(i.Floats) + len(i.Doubles) + len(i.Texts) }

// takes says whether inputs of a type can be given to a run.
func takes(t Type) bool {
	return t == Int64 || t == Int32 || t == Float32 || t == Float64 || t == String
}

// Output is a tensor that a run answered with, row after row.
type Output struct {
	// Shape of Data, such as [batch, labels].
	Shape []int64
	// Data has as many elements as the shape's product. Float16, Float64 and integer outputs are converted.
	Data []float32
}

// Device is where a session runs.
type Device struct {
	CUDA  bool
	Index int // of the GPU
}

// ParseDevice reads cpu, cuda or cuda:N; "" is cpu.
func ParseDevice(s string) (Device, error) {
	name, index, indexed := strings.Cut(s, ":")
	switch {
	case s == "" || s == "cpu":
		return Device{}, nil
	case name == "cuda" && !indexed:
		return Device{CUDA: true}, nil
	case name == "cuda":
		if n, err := strconv.Atoi(index); err == nil && n >= 0 {
			return Device{CUDA: true, Index: n}, nil
		}
	}
	return Device{}, fmt.Errorf("device %q: want cpu, cuda, or cuda:N with the number of a GPU", s)
}

func (d Device) String() string {
	if d.CUDA {
		return "cuda:" + strconv.Itoa(d.Index)
	}
	return "cpu"
}

// Options of a session.
type Options struct {
	// Library is the path of ONNX Runtime's library, or of the folder that has it; "" looks for it (see FindLibrary).
	// One process loads one library.
	Library string
	Device  Device
	// Threads that one run uses, at least 1. With 1 a run stays on the thread that calls it, and concurrent runs of
	// one session do not share anything but the weights and the allocator.
	Threads int
	// Outputs that runs compute, in this order; nil takes all that the graph has.
	Outputs []string
	// RowsOf is the input that outputs have as many rows as; "" is the first.
	RowsOf string
	// Bound has runs go through an IO binding: outputs are bound once for as long as their shape stays, and inputs are
	// copied to the device as they are bound. It is so on a GPU whatever is said here; on CPU it saves nothing, and is for
	// tests. A graph with an output whose shape it does not state cannot be bound, and runs the plain way.
	Bound bool
}

// device failures and lack of memory, as the runtime's messages name them. The binding hands on the message alone, so
// this is the only way to tell.
var runtimeMessages = []string{
	"failed to allocate memory",
	"bad_alloc",
	"bad allocation",
	"out of memory",
	"cuda failure",
	"cuda error",
	"cublas failure",
	"cudnn failure",
	"cudnn_status",
	"cublas_status",
	"device-side assert",
	"device lost",
}

// runError gives the error of a run its class.
func runError(message string) error {
	lower := strings.ToLower(message)
	for _, m := range runtimeMessages {
		if strings.Contains(lower, m) {
			return fmt.Errorf("%w: %s", ErrRuntime, message)
		}
	}
	if strings.Contains(lower, "got invalid dimensions for output") {
		return fmt.Errorf("%w: %s", ErrShape, message)
	}
	return errors.New(message)
}
