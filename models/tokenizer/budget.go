package tokenizer

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// budget bounds what the searches for a file's own patterns may read of one text. Go's search for one match takes time in proportion to
// what it reads, but a search that reads to the end before it knows its match, at each place anew, takes the square of that:
// x|\p{L}[\s\S]*z does in "axax…". What is counted is text and not time, so that a text is refused everywhere or nowhere.
//
// As long as even the worst would fit, a search costs the rest of the text, whether it reads it or not, and runs at full speed. After that it
// is counted rune by rune, which is slower. The zero budget bounds nothing: what a file says of itself needs none.
type budget struct {
	bounded        bool
	quick, counted int
	spent          bool
}

// A text may cost this much, and so much more for each of its bytes: searches that read little more than they match take two or three. A
// megabyte that is given up costs a second or two.
const (
	budgetBase  = 1 << 20
	budgetBytes = 8
)

func newBudget(text int) budget {
	n := budgetBase + budgetBytes*text
	return budget{bounded: true, quick: n, counted: n}
}

// ErrCostly says that a text was given up: a pattern of the tokenizer would read it over and over.
var ErrCostly = errors.New("the text is too costly to cut into tokens")

// err of a text of so many bytes.
func (b *budget) err(text int) error {
	if !b.spent {
		return nil
	}
	return fmt.Errorf("%w: a pattern of tokenizer.json reads its %d bytes over and over, more than %d in all", ErrCostly, text, 2*(budgetBase+budgetBytes*text))
}

// affords a search that may read so many bytes.
func (b *budget) affords(n int) bool {
	if !b.bounded {
		return true
	}
	if b.quick < n {
		return false
	}
	b.quick -= n
	return true
}

// counting hands out text as long as there is something left of the budget.
type counting struct {
	text   []byte
	budget *budget
}

// ReadRune implements io.RuneReader.
func (c *counting) ReadRune() (r rune, size int, err error) {
	if len(c.text) == 0 {
		return 0, 0, io.EOF
	}
	if c.budget.counted == 0 {
		c.budget.spent = true
		return 0, 0, io.EOF
	}
	c.budget.counted--
	r, size = utf8.DecodeRune(c.text)
	c.text = c.text[size:]
	return r, size, nil
}
