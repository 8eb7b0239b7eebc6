// Package veil keeps secrets, and what environment variables hold, out of everything that is printed: where a value of the configuration was taken
// from a variable or a file, messages show what is written in the configuration, such as ${env:REDIS_PASSWORD}. It works at the edges, on whole texts, since a value travels
// far: into errors of clients, names of transactions, addresses in dial errors. Which values there are is the configuration's to say.
package veil

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

const (
	// shortest value that is hidden. Less is no secret, and would be found in many words.
	shortest = 4
	// shortestNumber of digits alone: ports and counts have fewer.
	shortestNumber = 6
	// certain is from which length on a value is hidden inside of words, too: a shorter one may be a part of a word that has nothing to do with it.
	certain = 8
	// remembered is how many contents are hidden that one thing has had: what a client says of a password may come after the next one is there.
	// A token that is renewed every minute must not fill memory.
	remembered = 16
)

// Veil hides values. One that is nil, or that was told of none, hides nothing. It is safe for concurrent use, while more values come to be known.
type Veil struct {
	plain func(text string) bool
	shown atomic.Pointer[[]piece] // the longest first; never changed, but replaced

	mu     sync.Mutex // guards all below
	values []value    // in the order that they came to be known in
	known  map[string]bool
	pieces []piece
}

// value that is hidden. One that changes is forgotten after a while.
type value struct {
	text, written string
	of            any // what has had other values before; nil where it is always the same
}

// New makes a veil that leaves texts alone which are plain: they are no secret, and would make messages unreadable.
func New(plain func(text string) bool) *Veil {
	return &Veil{plain: plain, known: make(map[string]bool)}
}

// piece of text to look for, and what to show in its place.
type piece struct{ value, written string }

// Hide the value behind what is written. Parts of it that clients print by themselves are hidden, too: the entries of a list, the host of an
// address, a user and a password in a URL.
func (v *Veil) Hide(text, written string) { v.hide(value{text, written, nil}) }

// HideLatest is Hide for the value that something has now, such as a file: of those that it had before, the latest stay hidden. Of is a key of a map.
func (v *Veil) HideLatest(text, written string, of any) { v.hide(value{text, written, of}) }

func (v *Veil) hide(next value) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if before := slices.Index(v.values, next); before >= 0 {
		v.values = append(slices.Delete(v.values, before, before+1), next) // it is the latest again
		return
	}
	v.values = append(v.values, next)
	if oldest, full := v.beyond(next); full {
		// Another value may have parts in common with the one that goes.
		v.values = slices.Delete(v.values, oldest, oldest+1)
		v.known, v.pieces = make(map[string]bool), nil
		for _, other := range v.values {
			v.hideValue(other)
		}
	} else {
		v.hideValue(next)
	}
	slices.SortStableFunc(v.pieces, func(a, b piece) int { return cmp.Compare(len(b.value), len(a.value)) })
	v.shown.Store(new(slices.Clone(v.pieces)))
}

// beyond says which value is no longer remembered, if there are too many of one thing.
func (v *Veil) beyond(next value) (oldest int, full bool) {
	n := 0
	for i, other := range slices.Backward(v.values) {
		if next.of != nil && other.of == next.of {
			oldest, n = i, n+1
		}
	}
	return oldest, n > remembered
}

func (v *Veil) hideValue(of value) {
	for entry := range strings.SplitSeq(of.text, ",") {
		v.hideParts(strings.TrimSpace(entry), of.written)
	}
	v.hideParts(of.text, of.written)
}

func (v *Veil) hideParts(value, written string) {
	v.add(value, written)
	v.add(strings.TrimSpace(value), written)
	if strings.ContainsAny(value, `/\`) {
		v.add(filepath.Clean(value), written)
	}
	if _, rest, ok := strings.Cut(value, "://"); ok {
		value, _, _ = strings.Cut(rest, "/")
	}
	if at := strings.LastIndexByte(value, '@'); at >= 0 {
		user, password, _ := strings.Cut(value[:at], ":")
		v.add(user, written)
		v.add(password, written)
		if plain, err := url.PathUnescape(password); err == nil {
			v.add(plain, written)
		}
		value = value[at+1:]
		v.add(value, written)
	}
	if host, _, err := net.SplitHostPort(value); err == nil {
		v.add(host, written)
	}
}

// add a value in the forms that it is printed in.
func (v *Veil) add(value, written string) {
	if v.plain(value) || here(value) {
		return
	}
	quoted := inside(strconv.Quote(value))
	asJSON, _ := json.Marshal(value) // texts always marshal
	for _, form := range []string{
		value, quoted, inside(strconv.Quote(quoted)), inside(strconv.QuoteToASCII(value)), inside(string(asJSON)), url.QueryEscape(value), url.PathEscape(value),
	} {
		if len(form) < shortest || v.known[form] || len(form) < shortestNumber && strings.Trim(form, "0123456789.") == "" {
			continue
		}
		v.known[form] = true
		v.pieces = append(v.pieces, piece{form, written})
	}
}

// here says that a host is this machine, or any address that it has: no secret, and a part of other addresses.
func here(host string) bool {
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && (address.IsLoopback() || address.IsUnspecified())
}

// now is what is hidden.
func (v *Veil) now() []piece {
	if v == nil {
		return nil
	}
	if pieces := v.shown.Load(); pieces != nil {
		return *pieces
	}
	return nil
}

// inside of the quotes.
func inside(quoted string) string { return quoted[1 : len(quoted)-1] }

// Text with what is written in place of values.
func (v *Veil) Text(text string) string {
	pieces := v.now()
	if !slices.ContainsFunc(pieces, func(p piece) bool { return strings.Contains(text, p.value) }) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		at := slices.IndexFunc(pieces, func(p piece) bool {
			return strings.HasPrefix(text[i:], p.value) && (len(p.value) >= certain || !joins(text[:i], text[i+len(p.value):]))
		})
		if at < 0 {
			b.WriteByte(text[i])
			i++
			continue
		}
		b.WriteString(pieces[at].written)
		i += len(pieces[at].value)
	}
	return b.String()
}

// JSON is Text for the strings of a document of JSON, which stays one: a number may have a value's digits, and an escape its letters.
func (v *Veil) JSON(document []byte) []byte {
	if len(v.now()) == 0 {
		return document
	}
	var out []byte
	for rest := document; ; {
		opens := bytes.IndexByte(rest, '"')
		if opens < 0 {
			return append(out, rest...)
		}
		end := closes(rest, opens)
		out = append(out, rest[:opens]...)
		out = append(out, v.literal(rest[opens:end])...)
		rest = rest[end:]
	}
}

// closes says where the string ends that begins with a quote at from.
func closes(document []byte, from int) int {
	for i := from + 1; i < len(document); i++ {
		switch document[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(document)
}

// literal is a string of JSON, as it is where nothing has to be hidden.
func (v *Veil) literal(literal []byte) []byte {
	var text string
	if err := json.Unmarshal(literal, &text); err != nil {
		return []byte(v.Text(string(literal))) // the document was none
	}
	shown := v.Text(text)
	if shown == text {
		return literal
	}
	encoded, _ := json.Marshal(shown) // texts always marshal
	return encoded
}

// joins says that what stands between the two is a part of a word. The letter of an escape, as in \\n, is none.
func joins(before, after string) bool {
	if escape := len(before) - 2; escape >= 0 && before[escape] == '\\' {
		before = ""
	}
	last, _ := utf8.DecodeLastRuneInString(before)
	first, _ := utf8.DecodeRuneInString(after)
	word := func(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
	return word(last) || word(first)
}

// Error says the same, without values; nil stays nil. What it wraps is still found.
func (v *Veil) Error(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if shown := v.Text(text); shown != text {
		return &veiled{err, shown}
	}
	return err
}

type veiled struct {
	err  error
	text string
}

func (e *veiled) Error() string { return e.text }

func (e *veiled) Unwrap() error { return e.err }

// Writer hides values in what is written to w; each write is looked at by itself.
func (v *Veil) Writer(w io.Writer) io.Writer {
	if v == nil {
		return w
	}
	return &writer{v, w}
}

type writer struct {
	veil *Veil
	to   io.Writer
}

func (w *writer) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.to, w.veil.Text(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Fd of what is written to, so that a terminal is known for one; no descriptor has the number of what has none.
func (w *writer) Fd() uintptr {
	if file, ok := w.to.(interface{ Fd() uintptr }); ok {
		return file.Fd()
	}
	return ^uintptr(0)
}
