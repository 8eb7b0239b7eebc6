package dev

import (
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"github.com/mattn/go-runewidth"
	"golang.org/x/text/unicode/norm"
)

// Terminals do not agree on how wide an emoji of several code points is: some draw it in two cells, others draw each code point by itself. So a
// line is cut where it would be too long for either kind.

// runes has the same answer in every locale.
var runes = &runewidth.Condition{StrictEmojiNeutral: true}

// fit cuts a line, which may have escape sequences, so that no terminal needs more cells for it than width.
func fit(s string, width int, tail string) string {
	if cells(s) <= width {
		return s
	}
	left := width - cells(tail)
	if left < 0 {
		left, tail = width, ""
	}
	var b strings.Builder
	cut := false
	for state := byte(0); s != ""; {
		piece, clusters, n, next := ansi.DecodeSequence(s, state, nil)
		s, state = s[n:], next
		if piece[0] == ansi.ESC { // a colour goes on to count, so that none stays on
			b.WriteString(piece)
			continue
		}
		if cut {
			continue
		}
		if left -= widest(piece, clusters); left < 0 {
			cut = true
			b.WriteString(tail)
			continue
		}
		b.WriteString(piece)
	}
	return b.String()
}

// cells of a line on the terminal that needs most of them.
func cells(s string) (n int) {
	for state := byte(0); s != ""; {
		piece, clusters, read, next := ansi.DecodeSequence(s, state, nil)
		s, state = s[read:], next
		if piece[0] != ansi.ESC {
			n += widest(piece, clusters)
		}
	}
	return n
}

// widest of what terminals make of a cluster that has so many cells by itself.
func widest(cluster string, cells int) int {
	alone := 0
	for _, r := range cluster {
		switch {
		case r == emojiStyle:
			alone++ // makes a narrow symbol a wide one
		case unicode.Is(unicode.Regional_Indicator, r):
			alone += 2
		default:
			alone += runes.RuneWidth(r)
		}
	}
	return max(cells, alone)
}

const (
	joiner     = '\u200d'
	emojiStyle = '\ufe0f'
	// marks on one letter: more reach into the lines above and below.
	marks = 3
)

// clean makes one printable line of whatever a record holds: a review must not be able to drive the terminal.
func clean(s string) string {
	var b strings.Builder
	space, above := true, 0 // what begins with marks has no letter for them
	for _, r := range norm.NFC.String(s) {
		switch {
		case unicode.IsSpace(r):
			if !space {
				b.WriteByte(' ')
			}
			space, above = true, 0
			continue
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r):
			if above++; space || above > marks {
				continue
			}
		case r == joiner:
			if space {
				continue
			}
		case !unicode.IsPrint(r):
			continue
		default:
			above = 0
		}
		space = false
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// OnlyASCII says whether the locale has no character set but ASCII or another that is not UTF-8. Where no locale is set at all, as in most
// containers, the terminal is taken to know UTF-8.
func OnlyASCII(getenv func(string) string) bool {
	if runtime.GOOS == "windows" {
		return false
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := getenv(name); locale != "" {
			locale = strings.ToUpper(locale)
			return !strings.Contains(locale, "UTF-8") && !strings.Contains(locale, "UTF8")
		}
	}
	return false
}

// inASCII are the marks of the view itself, and what texts have most.
var inASCII = strings.NewReplacer("█", "#", "▉", "#", "▊", "#", "▋", "#", "▌", "#", "▍", " ", "▎", " ", "▏", " ", "─", "-", "→", "->", "▲", "^", "▼", "v", "★", "*",
	"…", "...", "–", "-", "—", "-", "‘", "'", "’", "'", "“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`, "ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "€", "EUR")

// ascii writes a line without any other character: letters lose their accents, and what has no like is a question mark.
func ascii(s string) string {
	var b strings.Builder
	for s = inASCII.Replace(s); s != ""; {
		piece, _, n, _ := ansi.DecodeSequence(s, 0, nil)
		s = s[n:]
		if piece[0] < utf8.RuneSelf {
			b.WriteString(piece)
			continue
		}
		base, size := utf8.DecodeRuneInString(norm.NFKD.String(piece))
		switch {
		case base < utf8.RuneSelf && size > 0:
			b.WriteRune(base)
		case unicode.IsMark(base) || base == joiner: // of the letter before
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}
