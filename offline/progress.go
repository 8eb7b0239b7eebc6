package offline

import (
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Bar shows the progress of a run on a terminal: how far, how fast, and, when the size of the input is known, how long
// still. On anything that is no terminal it shows nothing.
type Bar struct {
	bar *progressbar.ProgressBar
}

// NewBar draws on the file. Size is the input's in bytes; zero or less means unknown.
func NewBar(on *os.File, size int64, what string) *Bar {
	if !term.IsTerminal(int(on.Fd())) {
		return &Bar{}
	}
	return newBar(on, size, what)
}

func newBar(on io.Writer, size int64, what string) *Bar {
	if size <= 0 {
		size = -1
	}
	return &Bar{progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(on),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(20),
		progressbar.OptionThrottle(0),
		progressbar.OptionSetPredictTime(size > 0),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionFullWidth(),
	)}
}

// Show is a Progress of Options.
func (b *Bar) Show(s Stats) {
	if b.bar == nil {
		return
	}
	b.bar.Describe(fmt.Sprintf("%d scored, %d rejected, %.0f/s", s.Scored, s.Rejects(), s.Rate()))
	_ = b.bar.Set64(s.Bytes) // a bar that cannot be drawn hurts nobody
}

// Close takes the bar away, so that what follows starts on a clean line.
func (b *Bar) Close() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}
