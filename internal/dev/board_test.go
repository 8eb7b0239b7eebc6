package dev

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/mattn/go-runewidth"
	"github.com/muesli/termenv"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func plainRenderer() *lipgloss.Renderer { return lipgloss.NewRenderer(io.Discard) }

func testFacts() Facts {
	return Facts{Kafka: "127.0.0.1:9092", HTTP: "127.0.0.1:8080", Input: TopicRaw, Output: TopicScored, DeadLetters: TopicDeadLetters}
}

// busyBoard has seen a minute of a busy stream, and the worst of what a terminal can be sent.
func busyBoard(renderer *lipgloss.Renderer) *Board {
	b := NewBoard(testFacts(), noon, renderer)
	texts := []string{ // every other one has a title, and most have stars
		"The lid is remarkably well made and my sister wants one too.",
		"Broke after two days. I want my money back for this!",
		"短い一週間で壊れました。写真と全然違います。返事が来ません。お金の無駄でした。短い一週間で壊れました。写真と全然違います。",
		"Love it 😍😍 👌🏽 works very well\n\n\tat home, and here the text goes on for long enough to be cut off at any width that there is",
		"\x1b[2J\x1b[31mhostile \x07review \u202ereversed\u200b with \x00 controls",
		"",
		"👩🏽‍🚀👨‍👩‍👧‍👦🏳️‍🌈🇩🇪🇯🇵❤️1️⃣ " + strings.Repeat("👌🏽", 80),
		"Z\u0310\u0344\u0312\u0333\u0352a\u0321\u0353\u031e\u0345lgo cafe\u0301 \u1112\u1161\u11ab " + strings.Repeat("e\u0301\u0301\u0301\u0301\u0301", 150),
		strings.Repeat("\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u2067\u202e", 20) + strings.Repeat("क्षि", 60),
	}
	var said []Said
	for i, text := range texts {
		s := Said{Text: text, Stars: 1 + i%5, Language: []string{"en", "en-GB", "ja", "", "zxx-very-long"}[i%5]}
		if i%2 == 1 && text != "" {
			s.Title = []string{"Would buy again", "What a letdown!"}[i/2%2]
		}
		said = append(said, s)
	}
	for i := range 12_000 {
		at := noon.Add(time.Duration(i) * 5 * time.Millisecond)
		label, score := "positive", 0.5+float64(i%50)/100
		if i%3 == 0 {
			label = "negative"
		}
		b.Add(Scored{At: at, Input: at.Add(-time.Duration(8+i%30) * time.Millisecond), ReviewID: fmt.Sprintf("r1-%d", i), Said: said[i%len(said)],
			Label: label, Score: score, Helpfulness: float64(i%100) / 100, Ranked: i%7 != 0})
		if i%500 == 0 {
			class := "decode"
			if i%1500 == 0 {
				class = "invalid"
			}
			b.Add(DeadLetter{At: at, Class: class, Cause: "text is empty", Source: "reviews.raw[3]@17"})
		}
	}
	for _, seconds := range []int{50, 60} {
		var items Items
		for i, moved := range []float64{0, 0.1, -0.2, 0.001} {
			item := Item{At: noon.Add(time.Duration(seconds) * time.Second), ItemID: fmt.Sprintf("item-%04d", i), Sentiment: 0.5, Reviews: int64(i * 700)}
			if seconds == 60 {
				item.Sentiment += moved
			}
			item.Before = b.before(item)
			items = append(items, item)
		}
		b.Add(items)
	}
	b.Add(Tombstone{At: noon.Add(time.Minute)})
	b.Add(Lag{Records: 99})
	return b
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s\n(go test -update writes it anew)", name, got, want)
	}
}

func TestBoardLooksRight(t *testing.T) {
	now := noon.Add(time.Minute)
	golden(t, "busy_80x24.txt", busyBoard(plainRenderer()).Draw(80, 24, now))
	golden(t, "busy_120x30.txt", busyBoard(plainRenderer()).Draw(120, 30, now))
	golden(t, "idle_80x24.txt", NewBoard(testFacts(), noon, plainRenderer()).Draw(80, 24, now))
}

// perRune is how wide a line is on a terminal that draws each code point by itself.
func perRune(line string) (n int) {
	for _, r := range ansi.Strip(line) {
		n += runewidth.RuneWidth(r)
	}
	return n
}

func TestBoardFitsEveryTerminal(t *testing.T) {
	renderer := lipgloss.NewRenderer(io.Discard)
	renderer.SetColorProfile(termenv.TrueColor)
	plain := busyBoard(renderer)
	plain.facts.ASCII = true
	for name, b := range map[string]*Board{"busy": busyBoard(renderer), "idle": NewBoard(testFacts(), noon, renderer), "ASCII": plain} {
		for _, width := range []int{1, 2, 10, 39, 40, 79, 80, 81, 120, 200, 400} {
			for _, height := range []int{1, 2, 3, 8, 24, 100} {
				drawn := b.Draw(width, height, noon.Add(time.Minute))
				lines := strings.Split(drawn, "\n")
				if len(lines) != height {
					t.Errorf("%s at %dx%d: %d lines", name, width, height, len(lines))
				}
				for _, line := range lines {
					if clusters, alone := ansi.StringWidth(line), perRune(line); max(clusters, alone) > width {
						t.Errorf("%s at %dx%d: a line of %d cells, or of %d where each code point is drawn by itself: %q", name, width, height, clusters, alone, line)
					}
				}
				if b == plain && strings.ContainsFunc(drawn, func(r rune) bool { return r > unicode.MaxASCII }) {
					t.Errorf("at %dx%d: other characters than ASCII: %s", width, height, drawn)
				}
			}
		}
	}
}

func TestFitCutsBetweenClustersAndKeepsColours(t *testing.T) {
	for _, test := range []struct {
		s     string
		width int
		want  string
	}{
		{"short", 5, "short"},
		{"longer", 5, "long…"},
		{"ab👌🏽cd", 8, "ab👌🏽cd"},
		{"ab👌🏽cd", 7, "ab👌🏽…"},
		{"ab👌🏽cd", 6, "ab…"}, // 4 cells where the tone is drawn by itself
		{"a🇩🇪🇯🇵", 6, "a🇩🇪…"},
		{"❤️❤️", 4, "❤️❤️"},
		{"❤️❤️", 3, "❤️…"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"\x1b[31mred and more\x1b[0m", 4, "\x1b[31mred…\x1b[0m"},
		{"any", 0, ""},
	} {
		if got := fit(test.s, test.width, "…"); got != test.want {
			t.Errorf("%q in %d cells: got %q, want %q", test.s, test.width, got, test.want)
		}
	}
}

func TestCleanLeavesOneHarmlessLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\tb\r\n c\u2028d": "a b c d",
		"\x1b[2J\x07\u202eabc\u2066\u200b\u00ad\u009b31m": "[2Jabc31m",
		"cafe\u0301 \u1112\u1161\u11ab":                   "café 한",
		"\u0301\u200dx":                                   "x",
		"q" + strings.Repeat("\u0323", 40):                "q" + strings.Repeat("\u0323", marks),
		"🤦🏻\u200d♀\ufe0f":                                 "🤦🏻\u200d♀\ufe0f",
	} {
		if got := clean(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestASCIIIsUsedWhereTheLocaleSaysSo(t *testing.T) {
	for _, test := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "", false},
		{"", "", "C.UTF-8", false},
		{"", "", "en_US.utf8", false},
		{"", "", "C", true},
		{"POSIX", "", "C.UTF-8", true},
		{"", "UTF-8", "C", false},
		{"", "", "de_DE.ISO-8859-1", true},
	} {
		env := map[string]string{"LC_ALL": test.all, "LC_CTYPE": test.ctype, "LANG": test.lang}
		if got := OnlyASCII(func(name string) string { return env[name] }); got != test.want && runtime.GOOS != "windows" {
			t.Errorf("%v: got %v, want %v", env, got, test.want)
		}
	}
	if got, want := ascii("Très “bon” — 5€ ▲ 日本 👌🏽 Straße e\u0301 \x1b[31mx\x1b[0m…"), `Tres "bon" - 5EUR ^ ?? ? Strasse e `+"\x1b[31mx\x1b[0m..."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBoardSaysHowOftenItAgreesWithTheStars(t *testing.T) {
	b := NewBoard(testFacts(), noon, plainRenderer())
	lines := func() []string { return strings.Split(b.Draw(120, 30, noon), "\n") }
	if got := lines()[5]; got != "" {
		t.Errorf("without stars: got %q, want nothing", got)
	}
	add := func(n int, label, language string, stars int) {
		for range n {
			b.Add(Scored{At: noon, Label: label, Said: Said{Title: "Well", Text: "said", Stars: stars, Language: language}})
		}
	}
	add(3, "positive", "en", 5)
	add(4, "positive", "en-GB", 4)
	add(2, "negative", "EN", 1)
	add(1, "positive", "en", 2) // the only one that is wrong
	add(5, "negative", "en", 3) // of two minds
	add(7, "negative", "", 5)   // of no language
	add(8, "neutral", "en", 5)  // another model's
	add(9, "positive", "en", 0) // without stars
	add(1, "positive", "de", 1)
	add(1, "positive", "ja", 5)
	if got, want := lines()[5], "agrees with stars: 90.0% of 10 English, 50.0% of 2 others, 5 mixed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := lines()[10]; !strings.HasSuffix(got, "[ja] Well. said") || !strings.Contains(got, " 5★ ") {
		t.Errorf("got %q, want the stars, the language and the title", got)
	}
	var out strings.Builder
	if err := b.Summary(noon).Write(&out); err != nil {
		t.Fatal(err)
	}
	if want := "agrees with stars: 90.0% of 10 English, 50.0% of 2 others, 5 mixed\n"; !strings.Contains(out.String(), want) {
		t.Errorf("got %q, want %q in it", out.String(), want)
	}
}

func TestBoardColoursOnlyWhereThereAreColours(t *testing.T) {
	if got := busyBoard(plainRenderer()).Draw(80, 24, noon); strings.Contains(got, "\x1b") {
		t.Error("escape sequences without colours")
	}
	renderer := lipgloss.NewRenderer(io.Discard)
	renderer.SetColorProfile(termenv.ANSI)
	if got := busyBoard(renderer).Draw(80, 24, noon); !strings.Contains(got, "\x1b[32mpositive") || strings.Contains(got, "\x1b[2J") {
		t.Errorf("colours are missing, or a review drives the terminal: %q", got)
	}
}

func TestNoColorIsRespected(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	t.Setenv("TERM", "xterm-256color")
	if got := lipgloss.NewRenderer(os.Stdout).ColorProfile(); got != termenv.Ascii {
		t.Errorf("with NO_COLOR the profile is %v, want no colours", got)
	}
}

func TestBoardRateIsThatOfTheWindow(t *testing.T) {
	b := NewBoard(testFacts(), noon, plainRenderer())
	if got := b.rate(noon); got != 0 {
		t.Errorf("rate of nothing is %v", got)
	}
	for i := range 3000 { // 100 a second for 30 s, then silence
		b.Add(Scored{At: noon.Add(time.Duration(i) * 10 * time.Millisecond), Label: "positive"})
	}
	for after, want := range map[time.Duration]float64{30 * time.Second: 100, 35 * time.Second: 400.0 / 9, time.Minute: 0} {
		if got := b.rate(noon.Add(after)); got != want {
			t.Errorf("rate after %v: got %v, want %v", after, got, want)
		}
	}
	early := NewBoard(testFacts(), noon, plainRenderer())
	for i := range 200 {
		early.Add(Scored{At: noon.Add(time.Duration(i) * 10 * time.Millisecond), Label: "positive"})
	}
	if got := early.rate(noon.Add(2 * time.Second)); got != 100 {
		t.Errorf("rate after two seconds: got %v, want 100", got)
	}
}

func TestBoardLatencyForgetsTheBacklog(t *testing.T) {
	b := NewBoard(testFacts(), noon, plainRenderer())
	b.Add(Lag{Records: 3000})
	for i := range 1000 { // 100 a second
		at := noon.Add(time.Duration(i) * 10 * time.Millisecond)
		b.Add(Scored{At: at, Input: at.Add(-time.Minute), Label: "positive"})
	}
	var drawn strings.Builder
	drawn.WriteString(b.Draw(120, 30, noon.Add(10*time.Second)))
	if want := "lag 3,000, 30s to catch up"; !strings.Contains(drawn.String(), want) || strings.Contains(drawn.String(), "latency") {
		t.Errorf("got %s, want %q and no latency", drawn.String(), want)
	}
	b.Add(Lag{Records: 3})
	b.Add(Scored{At: noon.Add(12 * time.Second), Input: noon.Add(9 * time.Second), Label: "positive"}) // its last
	for i := range 100 {
		at := noon.Add(20*time.Second + time.Duration(i))
		b.Add(Scored{At: at, Input: at.Add(-time.Duration(i+1) * time.Millisecond), Label: "positive"})
		b.Add(Scored{At: at, Label: "positive"}) // its input was not seen
	}
	median, p99, ok := b.latency(noon.Add(21 * time.Second))
	if !ok || median != 51*time.Millisecond || p99 != 100*time.Millisecond {
		t.Errorf("got %v and %v, want 51ms and 100ms", median, p99)
	}
	s := b.Summary(noon.Add(21 * time.Second))
	if want := (Latency{time.Minute, time.Minute, 1001}); s.Backlog != want {
		t.Errorf("of the backlog: got %+v, want %+v", s.Backlog, want)
	}
}

func TestSummaryIsWritten(t *testing.T) {
	var out strings.Builder
	if err := busyBoard(plainRenderer()).Summary(noon.Add(time.Minute)).Write(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.txt", out.String())
	out.Reset()
	if err := NewBoard(testFacts(), noon, plainRenderer()).Summary(noon.Add(1500 * time.Millisecond)).Write(&out); err != nil {
		t.Fatal(err)
	}
	if want := "0 reviews scored in 1.5s\ndead letters: 0\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestLinesAreOnePrintableLine(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{Scored{Label: "positive", Score: 0.984, Helpfulness: 0.41, Ranked: true, Said: Said{Text: "Great\nkettle"}}.Line(), "positive 0.98  helpful 0.41  Great kettle"},
		{Scored{Label: "negative", Score: 0.5, ReviewID: "r1"}.Line(), "negative 0.50  review r1"},
		{DeadLetter{Class: "invalid", Cause: "text\x1b[2J is\rempty", Source: "reviews.raw[3]@17"}.Line(), "dead letter  reviews.raw[3]@17  invalid: text[2J is empty"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
	if got := ansi.StringWidth((Scored{Said: Said{Text: strings.Repeat("long ", 1000)}}).Line()); got > lineWidth {
		t.Errorf("a line of %d cells", got)
	}
}

func TestBar(t *testing.T) {
	for share, want := range map[float64]string{0: "        ", 0.5: "████    ", 1: "████████", 0.98: "███████▉", -3: "        ", 7: "████████"} {
		if got := bar(share); got != want {
			t.Errorf("bar of %v: got %q, want %q", share, got, want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 12345678: "12,345,678", -1000: "-1,000", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
