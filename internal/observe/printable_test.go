package observe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingPrintableDrivesATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"plain\ttext\n":         "plain\ttext\n",
		"ü 👌🏽 日本":               "ü 👌🏽 日本",
		"a\x1b[2Jb":             `a\x1b[2Jb`,
		"a\rb\x00\x7f":          `a\rb\x00\x7f`,
		"a\u009b31mb":           `a\u009b31mb`,
		"a\u202eb\u2066\u2028c": `a\u202eb\u2066\u2028c`,
		"a\xff\x9bb":            `a\xff\x9bb`,
		`a\x1b`:                 `a\x1b`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	var out bytes.Buffer
	if n, err := fmt.Fprint(PrintableWriter(&out), "a\x1bb"); n != 3 || err != nil || out.String() != `a\x1bb` {
		t.Errorf("wrote %d, %v, %q; want 3 as asked, and the escape", n, err, out.String())
	}
	if err := PrintableError(fmt.Errorf("open \x1b: %w", fs.ErrNotExist)); !errors.Is(err, fs.ErrNotExist) || err.Error() != `open \x1b: file does not exist` {
		t.Errorf("got %q, want it printable and fs.ErrNotExist", err)
	}
}

func TestLogsHoldNothingThatDrivesATerminal(t *testing.T) {
	var out bytes.Buffer
	logger, damper := NewLogger(&out, slog.LevelInfo)
	logger.Info("m\u009b", "a", "b\u009b\u202e\x1b", "error", errors.New("c\u009b"))
	damper.Flush()
	if strings.ContainsFunc(out.String(), drives) {
		t.Errorf("got %q, want escapes", out.String())
	}
}

type withFd struct{ bytes.Buffer }

func (*withFd) Fd() uintptr { return 7 }

func TestTheTerminalBehindAPrintableWriterIsKnown(t *testing.T) {
	for to, want := range map[io.Writer]uintptr{&withFd{}: 7, &bytes.Buffer{}: ^uintptr(0)} {
		file, ok := PrintableWriter(to).(interface{ Fd() uintptr })
		if !ok || file.Fd() != want {
			t.Errorf("%T: got %v, want the descriptor %d", to, file, want)
		}
	}
}
