package features

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"nearline/pipeline"
)

// MissingDefault is how a configuration writes that a key has no value rather than some number. It stands as NaN in FieldDefault.
const MissingDefault = "missing"

// FieldDefault is a number, or NaN for none.
type FieldDefault float64

// UnmarshalText reads a number, or missing.
func (d *FieldDefault) UnmarshalText(text []byte) error {
	if string(text) == MissingDefault {
		*d = FieldDefault(math.NaN())
		return nil
	}
	number, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !pipeline.Finite(number) {
		return errors.New(strconv.Quote(string(text)) + ": want a number, or missing")
	}
	*d = FieldDefault(number)
	return nil
}

// String is the default as a configuration writes it.
func (d FieldDefault) String() string {
	if math.IsNaN(float64(d)) {
		return MissingDefault
	}
	return fmt.Sprint(float64(d))
}

// byDefault is the value of a key without one: Null where that is missing.
func (f *field) byDefault() pipeline.Value {
	if math.IsNaN(f.fallback) {
		return pipeline.Value{}
	}
	return pipeline.FloatValue(f.fallback)
}
