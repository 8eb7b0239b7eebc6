package tasks

import (
	"errors"
	"fmt"
	"math"

	"nearline/pipeline"
)

// Vector says how a vector is made, in this order: the vectors of a text's tokens are pooled; what is past dimension is cut
// off; it is normalised; it takes its type. Truncation comes before normalisation, so that a shortened vector (of a model
// that was trained for it: Kusupati et al., Matryoshka Representation Learning, 2022) has length 1 again.
type Vector struct {
	// Pooling makes one vector of those of the tokens; several poolings are joined in the order given. None for an output
	// with one vector for each text.
	Pooling Poolings `yaml:"pooling"`
	// IncludePrompt says whether the prompt's tokens are pooled too; nil is true.
	IncludePrompt *bool `yaml:"include_prompt"`
	// Normalize divides by the length, so that a dot product is a cosine; nil is false. A length below 1e-12 is taken for
	// that: a vector of nothing but zeros stays as it is.
	Normalize *bool `yaml:"normalize"`
	// Dimension is how many numbers are kept, the first ones; 0 is all.
	Dimension int `yaml:"dimension"`
	// Type of the numbers.
	Type VectorType `yaml:"type"`
}

// VectorType is what a vector's numbers are.
type VectorType string

// The types. Each vector is converted by itself, so that an answer depends on its text alone.
const (
	// Float32 is the default: pipeline.Floats.
	Float32 VectorType = "float32"
	// Int8 is a fourth of the bytes and keeps cosines to some thousandths (0.002 with the 384 numbers of MiniLM-L6): each number times 127 over the vector's largest
	// magnitude, rounded to the nearest integer, a half to the even one: pipeline.Int8s. The length is lost, so it is for
	// cosine similarity. This is not the int8 of sentence-transformers, which needs the range of each dimension over a
	// sample of texts.
	Int8 VectorType = "int8"
	// Binary is a bit for each number, set where it is over 0; eight bits a byte, the first the highest, zeros after the
	// last. Compare by Hamming distance. Binary gives the bytes less 128, pipeline.Int8s, as sentence-transformers'
	// precision binary does, and Ubinary as they are, pipeline.Uint8s.
	Binary  VectorType = "binary"
	Ubinary VectorType = "ubinary"
)

// vectorKey is a key of the vector that is set, with its value, or "".
func (v Vector) vectorKey() string {
	switch {
	case len(v.Pooling) > 0:
		return "pooling is " + v.Pooling.String()
	case v.IncludePrompt != nil:
		return fmt.Sprintf("include_prompt is %v", *v.IncludePrompt)
	case v.Normalize != nil:
		return fmt.Sprintf("normalize is %v", *v.Normalize)
	case v.Dimension != 0:
		return fmt.Sprintf("dimension is %d", v.Dimension)
	case v.Type != "":
		return fmt.Sprintf("type is %q", v.Type)
	}
	return ""
}

// numbers is how many numbers the column has of so many dimensions.
func (v Vector) numbers(dimension int) int {
	if v.Type == Binary || v.Type == Ubinary {
		return (dimension + 7) / 8
	}
	return dimension
}

func (h *Head) resolveEmbedding(s Source, output Output) error {
	v := &h.Vector
	width := output.Width
	switch {
	case output.Tokens:
		if len(v.Pooling) == 0 && s.Unsupported != "" {
			return fmt.Errorf(".output is %q with a vector for each token: %s", output.Name, s.Unsupported)
		}
		if len(v.Pooling) == 0 {
			v.Pooling = s.Vector.Pooling
		}
		if len(v.Pooling) == 0 {
			return fmt.Errorf(".pooling is missing, and the folder has no modules.json of sentence-transformers: want one of %s, as the "+
				"model's card says", poolings)
		}
		if err := v.Pooling.validate(); err != nil {
			return err
		}
		width *= len(v.Pooling)
		if v.IncludePrompt == nil {
			v.IncludePrompt = s.Vector.IncludePrompt
		}
	case len(v.Pooling) > 0:
		return fmt.Errorf(".pooling is %s: output %q has one vector for each text, remove it, or choose an output with tokens", v.Pooling, output.Name)
	case v.IncludePrompt != nil:
		return fmt.Errorf(".include_prompt is %v: output %q has one vector for each text, remove it", *v.IncludePrompt, output.Name)
	}
	if v.Normalize == nil {
		v.Normalize = s.Vector.Normalize
	}
	switch v.Type {
	case "":
		v.Type = Float32
	case Float32, Int8, Binary, Ubinary:
	default:
		return fmt.Errorf(".type is %q: want %s, %s, %s or %s", v.Type, Float32, Int8, Binary, Ubinary)
	}
	switch {
	case v.Dimension < 0, width > 0 && v.Dimension > width:
		return fmt.Errorf(".dimension is %d: want 1 to %s, or leave it out", v.Dimension, most(width))
	case v.Dimension == 0:
		v.Dimension = width // or 0, which the first answer decides
	}
	return nil
}

func most(width int) string {
	if width == 0 {
		return "what the model has"
	}
	return fmt.Sprint(width)
}

// embedding is a row's column.
func (h *Head) embedding(row Row) (pipeline.Value, error) {
	v, err := h.Embed(row)
	if err != nil {
		return pipeline.Value{}, err
	}
	switch h.Type {
	case Int8:
		return pipeline.Value{Kind: pipeline.Int8s, Str: int8s(v)}, nil
	case Binary:
		return pipeline.Value{Kind: pipeline.Int8s, Str: bits(v, 128)}, nil
	case Ubinary:
		return pipeline.Value{Kind: pipeline.Uint8s, Str: bits(v, 0)}, nil
	}
	return pipeline.FloatsValue(v), nil
}

// Embed makes the vector of a row, in float32 whatever the head's type.
func (h *Head) Embed(row Row) ([]float32, error) {
	width := row.Width * max(1, len(h.Pooling))
	dimension := h.Dimension
	if dimension == 0 {
		dimension = width
	}
	if dimension > width || width == 0 {
		return nil, fmt.Errorf("output %s has vectors of %d numbers: want at least the dimension, %d", h.Output, width, dimension)
	}
	v := make([]float32, dimension)
	switch {
	case len(h.Pooling) == 0 && row.Tokens > 0:
		return nil, fmt.Errorf("output %s has a vector for each token: want one for each text, or pooling", h.Output)
	case len(h.Pooling) == 0:
		copy(v, row.Values)
	case row.Tokens == 0:
		return nil, fmt.Errorf("output %s has one vector for each text: want no pooling", h.Output)
	default:
		first := 0
		if h.IncludePrompt != nil && !*h.IncludePrompt {
			first = row.Prompt
		}
		if first >= row.Tokens {
			return nil, errors.New("the text has no tokens beside the prompt")
		}
		for i, pooling := range h.Pooling {
			if at := i * row.Width; at < dimension {
				pooling.pool(v[at:min(at+row.Width, dimension)], row, first)
			}
		}
	}
	if err := h.finite(v); err != nil {
		return nil, err
	}
	if h.Normalize != nil && *h.Normalize {
		normalize(v)
	}
	return v, nil
}

// normalize divides by the Euclidean length, as torch.nn.functional.normalize does.
func normalize(v []float32) {
	squares := 0.0
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	length := max(math.Sqrt(squares), 1e-12)
	for i, x := range v {
		v[i] = float32(float64(x) / length)
	}
}

// int8s are the numbers over the largest, in 127ths, a byte each.
func int8s(v []float32) string {
	largest := 0.0
	for _, x := range v {
		largest = max(largest, math.Abs(float64(x)))
	}
	bytes := make([]byte, len(v))
	if largest == 0 {
		return string(bytes)
	}
	for i, x := range v {
		bytes[i] = byte(int8(math.RoundToEven(float64(x) / largest * 127)))
	}
	return string(bytes)
}

// bits are the signs, eight a byte, each less an offset.
func bits(v []float32, offset byte) string {
	bytes := make([]byte, (len(v)+7)/8)
	for i, x := range v {
		if x > 0 {
			bytes[i/8] |= 0x80 >> (i % 8)
		}
	}
	for i := range bytes {
		bytes[i] -= offset
	}
	return string(bytes)
}
