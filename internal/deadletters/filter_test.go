package deadletters

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"nearline/pipeline"
)

// filter of "class=a,b cause=x": words of a test's table.
func filter(t *testing.T, flags string) (f Filter) {
	t.Helper()
	for flag := range strings.SplitSeq(strings.ReplaceAll(flags, "THE MODEL", "THE.MODEL"), " ") {
		name, value, _ := strings.Cut(flag, "=")
		var err error
		switch name {
		case "class":
			for class := range strings.SplitSeq(value, ",") {
				f.Classes = append(f.Classes, pipeline.Class(class))
			}
		case "cause":
			f.Cause, err = regexp.Compile(value)
		case "model":
			f.Model = value
		case "source":
			f.Source, err = ParseSource(value)
		case "since":
			f.Since, err = time.Parse(time.RFC3339, value)
		case "until":
			f.Until, err = time.Parse(time.RFC3339, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// noise does not compress.
func noise(n int) string {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return string(b)
}

func TestWhatIsNoPlaceIsRefused(t *testing.T) {
	for _, text := range []string{"", "/1", "t/x", "t/1/x", "t/-1", "t/1/-2", "t/99999999999", "t/1/2/3"} {
		if s, err := ParseSource(text); err == nil {
			t.Errorf("source %q: got %+v, want an error", text, s)
		}
	}
	for _, text := range []string{"", "1", "1/", "/1", "a/1", "1/a", "-1/1", "1/-1", "1/2/3", "99999999999/1"} {
		if p, o, err := ParsePlace(text); err == nil {
			t.Errorf("place %q: got %d/%d, want an error", text, p, o)
		}
	}
}

func TestMemoryIsABitForEachOffset(t *testing.T) {
	m := make(memory)
	offsets := []int64{0, 1, 63, 64, pieceBits - 1, pieceBits, 1 << 40}
	for _, offset := range offsets {
		m.set(3, offset)
	}
	for _, offset := range offsets {
		if !m.has(pipeline.Coordinates{Partition: 3, Offset: offset}) {
			t.Errorf("offset %d is forgotten", offset)
		}
		if m.has(pipeline.Coordinates{Partition: 2, Offset: offset}) {
			t.Errorf("offset %d is remembered of another partition", offset)
		}
	}
	for _, offset := range []int64{2, 65, pieceBits + 1, 1<<40 + 1} {
		if m.has(pipeline.Coordinates{Partition: 3, Offset: offset}) {
			t.Errorf("offset %d is remembered, and was never set", offset)
		}
	}
}
