package pipeline

import (
	"strconv"
	"strings"
)

// mostDigits of a number that is written out. A guess, far above those of any id.
const mostDigits = 40

// Digits writes a JSON number in one way, however it was written: 318 for 318, 318.0 and 3.18e2, since JSON has one number there; whole numbers to the
// digit, whatever their size, and 7.5 for 7.50. What would take too many digits is written with an exponent, as a float of 64 bits.
func Digits(literal string) string {
	if !strings.ContainsAny(literal, ".eE") {
		if literal == "-0" {
			return "0"
		}
		return literal
	}
	mantissa, exponent := literal, 0
	if at := strings.IndexAny(literal, "eE"); at >= 0 {
		var err error
		if exponent, err = strconv.Atoi(literal[at+1:]); err != nil {
			return literal // too large for any number
		}
		mantissa = literal[:at]
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	point := len(digits) - len(fraction) + exponent // how many of the digits are before it
	digits = strings.TrimRight(digits, "0")
	sign := ""
	if negative {
		sign = "-"
	}
	switch {
	case digits == "":
		return "0"
	case point >= len(digits) && point <= mostDigits:
		return sign + digits + strings.Repeat("0", point-len(digits))
	case point > 0 && point < len(digits) && len(digits) <= mostDigits:
		return sign + digits[:point] + "." + digits[point:]
	case point <= 0 && point > -6 && len(digits) <= mostDigits:
		return sign + "0." + strings.Repeat("0", -point) + digits
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return literal
	}
	return strconv.FormatFloat(f, 'e', -1, 64)
}

// Whole says that a JSON number is a whole one, however it is written: 318.0 is.
func Whole(literal string) bool { return !strings.ContainsAny(Digits(literal), ".e") }
