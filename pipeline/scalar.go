package pipeline

import (
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Text is a value as text: of a string itself, of a number its digits, the same however it was written. Other kinds have none.
func (v Value) Text() (string, bool) {
	switch v.Kind {
	case String:
		return v.Str, true
	case Number:
		return Digits(v.Str), true
	case Int:
		return strconv.FormatInt(v.Int, 10), true
	case Float:
		return string(jsontext.AppendFloat(nil, v.Float, 64)), true // as JSON has it: 1000000, and not 1e+06
	case Bool:
		return strconv.FormatBool(v.Bool), true
	default:
		return "", false
	}
}

// Number is a value as a number.
func (v Value) Number() (float64, bool) {
	switch v.Kind {
	case Number:
		f, err := strconv.ParseFloat(v.Str, 64)
		return f, err == nil
	case Int:
		return float64(v.Int), true
	case Float:
		return v.Float, true
	case Bool:
		if v.Bool {
			return 1, true
		}
		return 0, true
	default:
		return 0, false
	}
}

// Inside follows a path into an object; Null where it leads nowhere.
func (v Value) Inside(path string) Value {
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, ".")
		v, _ = v.Lookup(name)
	}
	return v
}

// Probability of one of two labels, of a prediction of a label and a score.
func (v Value) Probability(label string) (float64, bool) {
	is, ok := v.Lookup("label")
	score, scored := v.Lookup("score")
	number, numeric := score.Number()
	switch {
	case !ok || !scored || is.Kind != String || !numeric:
		return 0, false
	case is.Str == label:
		return number, true
	default:
		return 1 - number, true
	}
}

// Finite says that a number is one: neither infinite nor NaN.
func Finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// Shown is enough of a text to know it by, for errors.
func Shown(text string) string {
	const most = 60
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
