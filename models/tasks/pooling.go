package tasks

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Pooling makes one vector of those of a text's tokens, special tokens included. The names and what they do are those of
// sentence-transformers (as of 6.2); sums are in 64 bits, so that results are at least as exact as theirs.
type Pooling string

// The poolings, of n tokens numbered from 1.
const (
	CLS          Pooling = "cls"                  // the first token's vector
	Mean         Pooling = "mean"                 // the sum over n
	Max          Pooling = "max"                  // the largest of each number
	MeanSqrtLen  Pooling = "mean_sqrt_len_tokens" // the sum over the root of n
	WeightedMean Pooling = "weightedmean"         // the sum of each times its number, over the sum of the numbers
	LastToken    Pooling = "lasttoken"            // the last token's vector
)

// poolings to choose from, in the order in which sentence-transformers joins those that older files switch on.
const poolings = "cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken"

// Poolings are one pooling or several; in YAML and in JSON a name or a list of names.
type Poolings []Pooling

// UnmarshalYAML reads either form.
func (p *Poolings) UnmarshalYAML(unmarshal func(any) error) error {
	var one Pooling
	if err := unmarshal(&one); err == nil {
		*p = Poolings{one}
		return nil
	}
	var list []Pooling
	if err := unmarshal(&list); err != nil {
		return err
	}
	*p = list
	return nil
}

func (p Poolings) String() string {
	names := make([]string, len(p))
	for i, pooling := range p {
		names[i] = string(pooling)
	}
	return strings.Join(names, ", ")
}

// validate returns an error that begins with the key below the head.
func (p Poolings) validate() error {
	for _, pooling := range p {
		if !slices.Contains(strings.Split(poolings, ", "), string(pooling)) {
			return fmt.Errorf(".pooling is %q: want one of %s, or a list of them", pooling, poolings)
		}
	}
	return nil
}

// block is how many numbers are pooled at a time: a cache line of the input, and sums that stay in registers.
const block = 16

// pool puts the first len(into) numbers of the row's pooled vector, passing by the tokens before first.
func (p Pooling) pool(into []float32, row Row, first int) {
	at := func(token int) []float32 { return row.Values[token*row.Width:][:len(into)] }
	switch p {
	case CLS:
		copy(into, at(first))
		return
	case LastToken:
		copy(into, at(row.Tokens-1))
		return
	case Max:
		copy(into, at(first))
		for token := first + 1; token < row.Tokens; token++ {
			for i, v := range at(token) {
				into[i] = max(into[i], v) // NaN, where either is
			}
		}
		return
	}
	// A prompt that is passed by leaves the others their numbers.
	weight := func(token int) float64 {
		if p == WeightedMean {
			return float64(token + 1)
		}
		return 1
	}
	total := 0.0
	for token := first; token < row.Tokens; token++ {
		total += weight(token)
	}
	if p == MeanSqrtLen {
		total = math.Sqrt(total)
	}
	for start := 0; start < len(into); start += block {
		var sums [block]float64
		end := min(start+block, len(into))
		for token := first; token < row.Tokens; token++ {
			w := weight(token)
			for i, v := range at(token)[start:end] {
				sums[i] += w * float64(v)
			}
		}
		for i := range end - start {
			into[start+i] = float32(sums[i] / total)
		}
	}
}
