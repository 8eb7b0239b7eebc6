package tokenizer

import (
	"math"
	"strconv"
	"sync"
)

// readScore reads a JSON number as the reference does, whose reader (serde_json) is quick rather than exact: it takes
// the digits for one integer and divides that by a power of ten, which rounds twice. Of the scores in files a good third
// are the next number but the nearest, and that decides which of two nearly equal ways wins. It is false for what is no
// number and for what is too large.
func readScore(text string) (score float64, ok bool) {
	digits, negative := text, false
	if len(text) > 0 && text[0] == '-' {
		digits, negative = text[1:], true
	}
	sign := 1.0
	if negative {
		sign = -1
	}
	var whole uint64
	exponent, i := 0, 0
	isDigit := func() bool { return i < len(digits) && '0' <= digits[i] && digits[i] <= '9' }
	take := func() (fits bool) {
		d := uint64(digits[i] - '0')
		if whole > (math.MaxUint64-d)/10 {
			return false
		}
		whole = whole*10 + d
		i++
		return true
	}
	if !isDigit() {
		return 0, false
	}
	for isDigit() && take() {
	}
	for ; isDigit(); i++ { // digits that do not fit are dropped
		exponent++
	}
	if i < len(digits) && digits[i] == '.' {
		i++
		for isDigit() && take() {
			exponent--
		}
		for isDigit() {
			i++
		}
	}
	if i < len(digits) && (digits[i] == 'e' || digits[i] == 'E') {
		e, err := strconv.Atoi(digits[i+1:])
		if err != nil || e != int(int32(e)) {
			return sign * 0, err == nil && (whole == 0 || e < 0)
		}
		exponent, i = exponent+e, len(digits)
	}
	f := float64(whole)
	for exponent < -308 && f != 0 {
		f /= 1e308
		exponent += 308
	}
	switch {
	case f == 0 || i != len(digits):
		f = 0
	case exponent > 308:
		return 0, false
	case exponent < 0:
		f /= powersOfTen()[-exponent]
	default:
		f *= powersOfTen()[exponent]
	}
	return sign * f, i == len(digits) && !math.IsInf(f, 0)
}

// powersOfTen are the nearest to 10⁰ to 10³⁰⁸; math.Pow10 gives some of them a bit off.
var powersOfTen = sync.OnceValue(func() []float64 {
	powers := make([]float64, 309)
	for i := range powers {
		powers[i], _ = strconv.ParseFloat("1e"+strconv.Itoa(i), 64)
	}
	return powers
})
