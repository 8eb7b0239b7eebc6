package plain

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
)

func TestWhatDrivesATerminalIsWrittenOut(t *testing.T) {
	for text, want := range map[string]string{
		"tabs\tand\nlines, größe, 👌🏽": "tabs\tand\nlines, größe, 👌🏽",
		"\x1b[2J\r\x7f\u009b":         `\u001b[2J\u000d\u007f\u009b`,
		"a\u202eb":                    `a\u202eb`,
		"\xff\x00\xc3":                "\ufffd\\u0000\ufffd",
	} {
		if got := Text(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		var out bytes.Buffer
		w := &Writer{To: &out}
		for i := range len(text) {
			if n, err := w.Write([]byte{text[i]}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := out.String() + string(JSON(w.rest)); got != want {
			t.Errorf("%q, byte by byte: got %q, want %q", text, got, want)
		}
	}
}

func TestPlainJSONIsTheSameValue(t *testing.T) {
	const text = "\x1b[31m\x7f\u0085\u202e é"
	encoded, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	made := JSON(encoded)
	var got string
	if err := json.Unmarshal(made, &got); err != nil || got != text || DrivesTerminal(string(made)) {
		t.Errorf("got %q (%v) of %q, want the same text, plainly written", got, err, made)
	}
}

type withFd struct{ bytes.Buffer }

func (*withFd) Fd() uintptr { return 7 }

func TestTheTerminalBehindAWriterIsKnown(t *testing.T) {
	for to, want := range map[io.Writer]uintptr{&withFd{}: 7, &bytes.Buffer{}: ^uintptr(0)} {
		if got := (&Writer{To: to}).Fd(); got != want {
			t.Errorf("%T: got %d, want %d", to, got, want)
		}
	}
}
