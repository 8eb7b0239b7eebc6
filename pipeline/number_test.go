package pipeline

import (
	"encoding/json"
	"math/big"
	"testing"
)

func TestANumberHasOneTextHoweverItIsWritten(t *testing.T) {
	for literal, want := range map[string]string{
		"318": "318", "318.0": "318", "3.18e2": "318", "31800E-2": "318", "318.000": "318", "-318.0": "-318", "0.318e+3": "318",
		"9007199254740993": "9007199254740993", "9007199254740993.0": "9007199254740993", "9.007199254740993e15": "9007199254740993", "18446744073709551617.00": "18446744073709551617",
		"7.50": "7.5", "0.10": "0.1", "1e3": "1000", "1E+3": "1000", "1e21": "1000000000000000000000", "0": "0", "-0": "0", "0.0": "0", "-0.0e5": "0", "0e999": "0",
		"1e-6": "0.000001", "1.5e-7": "1.5e-07", "12345678901234567890.5": "12345678901234567890.5", "1e300": "1e+300", "1e99999": "1e99999",
	} {
		got := Digits(literal)
		if got != want {
			t.Errorf("%s: got %s, want %s", literal, got, want)
		}
		// It is the same number to JSON, and to whoever reads the text.
		a, ok := new(big.Rat).SetString(literal)
		b, also := new(big.Rat).SetString(got)
		if literal != got && (!ok || !also || a.Cmp(b) != 0) {
			t.Errorf("%s: got %s, which is another number", literal, got)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: got %s, which is no JSON number", literal, got)
		}
	}
	for literal, want := range map[string]bool{"318": true, "318.0": true, "3.18e2": true, "318.5": false, "1e-3": false, "-2.0": true} {
		if Whole(literal) != want {
			t.Errorf("%s: got whole %t, want %t", literal, !want, want)
		}
	}
}
