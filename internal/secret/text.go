package secret

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"nearline/internal/files"
)

// Hidden is what stands in messages for a secret that is written in the configuration as it is.
const Hidden = "(hidden)"

// maxBytes bounds the file of a secret: tokens have a few kilobytes.
const maxBytes = 64 << 10

// Text is a secret of the configuration. No print, log or encoder shows it: only Value does. Copies share what they know of its file. The zero
// value is an empty one.
type Text struct{ of *source }

// derivedFrom a source are tokens, which come far more often than its contents.
type derivedFrom struct{ source *source }

type source struct {
	written string
	kept    *Kept[string]

	mu    sync.Mutex // guards all below
	tell  func(content, written string, of any)
	told  string
	check func(content string) error
}

// New is the text at a key of the configuration. Messages have what is written in its place, such as ${env:PASSWORD}. Load is called at each use;
// an error of it, or a content that cannot be a secret, leaves the last good one.
func New(key, written string, load func() (string, error)) Text {
	s := &source{written: written}
	s.kept = NewKept(key, func(string) (string, error) {
		content, err := load()
		if err == nil {
			err = errors.Join(fit(content), s.fits(content))
		}
		return content, err
	})
	return Text{s}
}

// Plain is a text that stands for itself.
func Plain(text string) Text {
	if text == "" {
		return Text{}
	}
	return New("", Hidden, func() (string, error) { return text, nil })
}

// fit says what keeps a content from being a secret. None that anybody uses has a line end: it is one of another file, or one that came along.
func fit(content string) error {
	if strings.ContainsAny(content, "\n\r\x00") {
		return errors.New("it has more than one line: want the secret alone; the line end at a file's end is no part of it")
	}
	return nil
}

// Value is the secret as its file has it now, or had it when it could be read last.
func (t Text) Value() string {
	value, _ := t.Read()
	return value
}

// Read is Value for whoever reads it first: an error says that there has never been one, and what to do.
func (t Text) Read() (string, error) {
	if t.of == nil {
		return "", nil
	}
	value, err := t.of.kept.Read()
	if err == nil {
		t.of.hide(value)
	}
	return value, err
}

// Require has each content that the secret comes to have fit a rule; one that does not leaves the last good one. An error is what the rule says of the
// content of now. No error of a rule has the content in it.
func (t Text) Require(fits func(content string) error) error {
	if t.of == nil {
		return fits("")
	}
	err := fits(t.Value())
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.of.check = fits
	return err
}

// Empty says that there is none.
func (t Text) Empty() bool { return t.Value() == "" }

// Written is what stands in messages in place of the secret.
func (t Text) Written() string {
	if t.of == nil {
		return ""
	}
	return t.of.written
}

// Report has to told what is wrong with the secret's file; the last good content is used meanwhile.
func (t Text) Report(to Report) {
	if t.of != nil {
		t.of.kept.Report(to)
	}
}

// Trouble is what was wrong with the secret's file when it was read last; nil where all is well.
func (t Text) Trouble() error {
	if t.of == nil {
		return nil
	}
	return t.of.kept.Trouble()
}

// Tell has a veil told of each content that the secret has had or comes to have, of what is written in its place, and of what these contents are: those of
// one thing follow each other.
func (t Text) Tell(tell func(content, written string, of any)) {
	if t.of == nil {
		return
	}
	t.of.mu.Lock()
	t.of.tell, t.of.told = tell, ""
	t.of.mu.Unlock()
	_ = t.Value()
}

// Hide what was made of the secret and is as secret, such as a token that it was exchanged for.
func (t Text) Hide(derived string) {
	if t.of != nil {
		t.of.mu.Lock()
		defer t.of.mu.Unlock()
		if t.of.tell != nil {
			t.of.tell(derived, t.of.written, derivedFrom{t.of})
		}
	}
}

func (s *source) fits(content string) error {
	s.mu.Lock()
	check := s.check
	s.mu.Unlock()
	if check == nil {
		return nil
	}
	return check(content)
}

func (s *source) hide(content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tell != nil && content != s.told {
		s.told = content
		s.tell(content, s.written, s)
	}
}

// Format writes (hidden), or nothing for an empty one, whatever the verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// String is (hidden), or empty as the secret is.
func (t Text) String() string {
	if t.Empty() {
		return ""
	}
	return Hidden
}

// MarshalText is String.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Name is a text that may stand in a file as a secret does, and is none, such as a user that a rotation replaces by another. Where it is written as it
// is, messages show it.
type Name struct{ Text }

// Format writes it.
func (n Name) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, n.Value()) }

// String is the name.
func (n Name) String() string { return n.Value() }

// MarshalText is String.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.Value()), nil }

// File reads a text that stands in a file alone. One line end is cut off, since most editors and commands write one.
func File(path string) (string, error) {
	data, err := files.ReadText(path, maxBytes)
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("%s is empty: want a text in it", path)
	}
	return text, nil
}
