package tables

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/charmbracelet/x/ansi"
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

// on a terminal, what a table of rows is.
func on(t *testing.T, columns uint16, table *Table) []string {
	t.Helper()
	shown := openTerminal(t, columns)
	if err := table.Write(shown); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(shown.String(), "\n"), "\n")
}

func TestALineEndsAtItsLimitWithoutLoss(t *testing.T) {
	for text, want := range map[string][]string{
		"its tensors are freed; nothing returns before it. - Pooling reads a row's own tokens alone. A vector": {
			"its tensors are freed; nothing returns before it.",
			"- Pooling reads a row's own tokens alone. A",
			"vector",
		},
		// What has no room stands below, with its hyphen.
		"its tensors are freed; nothing returns from-where-ever it is": {
			"its tensors are freed; nothing returns from-",
			"where-ever it is",
		},
		"its tensors are freed; nothing returns ever before-hand": {
			"its tensors are freed; nothing returns ever",
			"before-hand",
		},
		"its tensors are freed; nothing returns nearline --repair": {
			"its tensors are freed; nothing returns nearline",
			"--repair",
		},
		"its tensors are freed;\u3000nothing returns before it.\u3000A\u3000vector\u00a0of\u00a0it\u3000\u3000": {
			"its tensors are freed;\u3000nothing returns before",
			"it.\u3000A\u3000vector\u00a0of\u00a0it",
		},
		"  indented, and " + strings.Repeat("検索", 13) + " it\n\nis " + strings.Repeat("-", 50): {
			"  indented, and",
			strings.Repeat("検索", 12),
			"検索 it",
			"",
			"is",
			strings.Repeat("-", 49),
			"-",
		},
	} {
		table := New(2, "N", "TEXT")
		table.Row("1", text)
		got := on(t, 52, table)
		for i := range got {
			got[i] = got[i][min(len("1  "), len(got[i])):]
		}
		if got, want := strings.Join(got[1:], "\n"), strings.Join(want, "\n"); got != want {
			t.Errorf("%q: got\n%s\nwant\n%s", text, got, want)
		}
	}
}

func TestNoWordIsLostOnATerminal(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	words := strings.Fields("its tensors are freed; nothing returns - before it. -- A I --repair well-known reviews-raw-scored x-y e\u0301te\u0301 größe 日本語 検索エンジン 👩‍👩‍👧 ❤️ \ue000 " +
		"a\u00a0b\u202fc soft\u00adly ends- " + strings.Repeat("extraordinarily", 9) + " " + strings.Repeat("ニアライン", 20) + " " + strings.Repeat("-", 70))
	spaces := []string{" ", " ", " ", " ", "  ", "\u3000", "\u2003", "\n"}
	prose := func(most int) string {
		var text strings.Builder
		for range random.IntN(most + 1) {
			text.WriteString(words[random.IntN(len(words))] + spaces[random.IntN(len(spaces))])
		}
		return text.String()
	}
	for range 500 {
		columns := 40 + random.IntN(120)
		table := New(1+random.IntN(3), "N", "NAME", "TEXT")
		table.Indent = random.IntN(4)
		var texts []string // of the last column
		for range 1 + random.IntN(4) {
			texts = append(texts, prose(40))
			table.Row(string(rune('a'+random.IntN(26))), "名-n", texts[len(texts)-1])
		}
		got := strings.Split(strings.TrimSuffix(table.render(columns), "\n"), "\n")
		begin := table.Indent + 1 + table.Gap + 4 + table.Gap
		var shown strings.Builder
		for _, line := range got[1:] {
			if wide := ansi.StringWidth(line); wide > columns {
				t.Fatalf("%d columns: a line has %d:\n%s", columns, wide, strings.Join(got, "\n"))
			}
			shown.WriteString(ansi.TruncateLeft(line, begin, "") + "\n")
		}
		if got, want := unspaced(shown.String()), unspaced(strings.Join(texts, "")); got != want {
			t.Fatalf("%d columns: got\n%s\nof\n%s", columns, got, want)
		}
		// Nor is one broken that need not be.
		left := strings.Fields(shown.String())
		for word := range strings.FieldsSeq(strings.Join(texts, "")) {
			if strings.Contains(word, "-") || ansi.StringWidth(word) > leastLast {
				continue
			}
			at := slices.Index(left, word)
			if at < 0 {
				t.Fatalf("%d columns: %q is broken in\n%s", columns, word, shown.String())
			}
			left = left[at+1:]
		}
	}
}

// unspaced is all of a text but its spaces.
func unspaced(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
}

func TestARemarkIsKnownWithoutAMark(t *testing.T) {
	table := New(2, "\ue000", "NAME", "KEPT")
	table.Row("\ue000", "missing:\n\ue000")
	table.Row("\ue000", "\ue000\ue000", "\ue000")
	table.Row("a remark in place of all")
	want := strings.Join([]string{
		"\ue000  NAME  KEPT",
		"\ue000  missing:",
		"   \ue000",
		"\ue000  \ue000\ue000    \ue000",
		"a remark in place of all",
	}, "\n")
	if got := strings.Join(on(t, 80, table), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestATerminalSetsWhatItWillShow(t *testing.T) {
	made := func() *Table {
		table := New(2, "NAME", "N", "CAUSE")
		table.Row("a\x1b[31mb", "1", "a\tb\r\u2028 \xff\u202e, and more that has no room")
		table.Row("longer than it", "2", "\x9b")
		table.Row("a\u009b", "remark\x00")
		return table
	}
	const want = "NAME            N  CAUSE\n" +
		`a\u001b[31mb    1  a    b\u000d\u2028` + "\n" +
		"                   \ufffd\\u202e, and more that\n" +
		"                   has no room\n" +
		"longer than it  2  \ufffd\n" +
		`a\u009b         remark\u0000` + "\n"
	shown := openTerminal(t, 44)
	if err := made().Write(shown); err != nil {
		t.Fatal(err)
	}
	if got := shown.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	shielded := openTerminal(t, 44)
	if err := made().Write(&plain.Writer{To: shielded}); err != nil { // as main has it
		t.Fatal(err)
	}
	if got := shielded.String(); got != want {
		t.Errorf("once more made plain, it is\n%s\nwant\n%s", got, want)
	}
	// Whoever reads a pipe escapes for itself.
	var piped bytes.Buffer
	table := New(2, "NAME", "CAUSE")
	table.Row("a\x1b[31mb", "\xfe\u202e")
	table.Row("longer than it", "\r")
	if err := table.Write(&piped); err != nil {
		t.Fatal(err)
	}
	if got, want := piped.String(), "NAME            CAUSE\na\x1b[31mb         \xfe\u202e\nlonger than it  \r\n"; got != want {
		t.Errorf("a pipe: got %q, want %q", got, want)
	}
}

func TestTooNarrowATerminalGetsALineForEachRow(t *testing.T) {
	for _, columns := range []uint16{1, 20, 40} {
		var piped bytes.Buffer
		ascii := func() *Table {
			table := New(3, "PIPELINE", "TOPIC", "REPLICAS", "KEPT")
			table.Row("reviews", "reviews.raw", "3", "until read, and then for as long as the brokers keep it")
			table.Row("reviews", "reviews.scored", "missing, like all that nobody has made so far")
			return table
		}
		if err := ascii().Write(&piped); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(on(t, columns, ascii()), "\n")+"\n", piped.String(); got != want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", columns, got, want)
		}
	}
}

func TestATableWithoutRows(t *testing.T) {
	for name, c := range map[string]struct {
		table *Table
		want  string
	}{
		"a heading":  {New(2, "AT", "CAUSE"), "AT  CAUSE\n"},
		"no columns": {New(2), "\n"},
		"numbers":    {&Table{Gap: 2, Right: true, rows: [][]string{{"AT", "CAUSE"}}, columns: 2}, "  AT  CAUSE\n"},
		"nothing":    {new(Table), ""},
		"no cells":   {&Table{Gap: 2, rows: [][]string{{"AT"}, {}, {"1"}}, columns: 1}, "AT\n\n1\n"},
		"one more":   {&Table{Gap: 2, rows: [][]string{{"A"}, {"1", "2"}}, columns: 1}, "A\n1  2\n"},
	} {
		var piped bytes.Buffer
		for kind, out := range map[string]interface {
			io.Writer
			String() string
		}{"a pipe": &piped, "a terminal": openTerminal(t, 20)} {
			copied := *c.table
			if err := copied.Write(out); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != c.want {
				t.Errorf("%s, %s: got %q, want %q", name, kind, got, c.want)
			}
		}
	}
}

func TestWideTextsEndBelowEachOther(t *testing.T) {
	table := New(2, "日本", "count", "rate")
	table.Right = true
	table.Row("1", "12000", "0.5")
	table.Row("12345", "2", "12.25")
	want := strings.Join([]string{
		"   日本  count   rate",
		"      1  12000    0.5",
		"  12345      2  12.25",
	}, "\n")
	for _, columns := range []uint16{10, 20, 80} {
		copied := *table
		if got := strings.Join(on(t, columns, &copied), "\n"); got != want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", columns, got, want)
		}
	}
}
