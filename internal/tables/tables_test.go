package tables

import (
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nearline/internal/plain"
)

func topics() *Table {
	t := New(3, "PIPELINE", "TOPIC", "REPLICAS", "KEPT")
	t.Row("reviews", "reviews.raw", "3", "7 days")
	t.Row("all", "item.updates", "3", "until read, and then for as long as the brokers keep it")
	t.Row("reviews", "reviews.scored", "missing, like all that nobody has made so far")
	t.Row("", "größe.日本語", "1", "")
	return t
}

// terminal has the size of one, and keeps what is written to it.
type terminal struct {
	bytes.Buffer
	*os.File
}

func (t *terminal) Write(p []byte) (int, error) { return t.Buffer.Write(p) }

func (t *terminal) Fd() uintptr { return t.File.Fd() }

func openTerminal(t *testing.T, columns uint16) *terminal {
	t.Helper()
	file, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		// Some sandboxes have no pseudo-terminals, and nothing else is a terminal. CI allows no such skip.
		t.Skip("NOT RUN, no pseudo-terminal can be had here:", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if err := unix.IoctlSetWinsize(int(file.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	return &terminal{File: file}
}

func TestAPipeGetsALineForEachRow(t *testing.T) {
	var out bytes.Buffer
	if err := topics().Write(&out); err != nil {
		t.Fatal(err)
	}
	// The remark widens no column, and columns begin anew after it; wide characters count as one.
	want := strings.Join([]string{
		"PIPELINE   TOPIC            REPLICAS   KEPT",
		"reviews    reviews.raw      3          7 days",
		"all        item.updates     3          until read, and then for as long as the brokers keep it",
		"reviews    reviews.scored   missing, like all that nobody has made so far",
		"           größe.日本語        1   ",
		"",
	}, "\n")
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestATerminalGetsWhatFitsIt(t *testing.T) {
	for columns, want := range map[uint16][]string{
		200: {
			"PIPELINE   TOPIC            REPLICAS   KEPT",
			"reviews    reviews.raw      3          7 days",
			"all        item.updates     3          until read, and then for as long as the brokers keep it",
			"reviews    reviews.scored   missing, like all that nobody has made so far",
			"           größe.日本語     1",
			"",
		},
		64: {
			"PIPELINE   TOPIC            REPLICAS   KEPT",
			"reviews    reviews.raw      3          7 days",
			"all        item.updates     3          until read, and then for",
			"                                       as long as the brokers",
			"                                       keep it",
			"reviews    reviews.scored   missing, like all that nobody has made so far",
			"           größe.日本語     1",
			"",
		},
		// Names are never broken in two to make room.
		40: {
			"PIPELINE   TOPIC            REPLICAS   KEPT",
			"reviews    reviews.raw      3          7 days",
			"all        item.updates     3          until read, and then for as long as the brokers keep it",
			"reviews    reviews.scored   missing, like all that nobody has made so far",
			"           größe.日本語     1",
			"",
		},
	} {
		shown := openTerminal(t, columns)
		if err := topics().Write(&plain.Writer{To: shown}); err != nil { // as main has it
			t.Fatal(err)
		}
		if got, want := shown.String(), strings.Join(want, "\n"); got != want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", columns, got, want)
		}
	}
}

func TestNumbersEndBelowEachOther(t *testing.T) {
	want := strings.Join([]string{
		"        batch   rows/s",
		"            1      900",
		"          128    12000",
		"",
	}, "\n")
	for name, out := range map[string]interface {
		io.Writer
		String() string
	}{"a pipe": new(bytes.Buffer), "a terminal": openTerminal(t, 10)} {
		table := New(3, "batch", "rows/s")
		table.Right, table.Indent = true, 5
		table.Row("1", "900")
		table.Row("128", "12000")
		if err := table.Write(out); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestALongTableIsWrittenInBlocks(t *testing.T) {
	const want = "AT  CAUSE\n1   one\n\n100  hundred\n200  two hundred\n"
	for name, out := range map[string]interface {
		io.Writer
		String() string
	}{"a pipe": new(bytes.Buffer), "a terminal": openTerminal(t, 80)} {
		table := New(2, "AT", "CAUSE")
		table.Row("1", "one")
		for range 2 { // once for nothing
			if err := table.Write(out); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = io.WriteString(out, "\n")
		table.Row("100", "hundred")
		table.Row("200", "two hundred")
		if err := table.Write(out); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
