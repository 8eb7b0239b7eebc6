package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// inFile is a secret in a file, and what changes it.
func inFile(t *testing.T, content string) (text Text, path string, write func(string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "password")
	write = func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(content)
	return New("kafka.sasl.password", "${file:password}", func() (string, error) { return File(path) }), path, write
}

func TestASecretIsReadFromItsFileAtEachUse(t *testing.T) {
	text, _, write := inFile(t, "first\n")
	for _, c := range []struct{ content, want string }{
		{"first\n", "first"}, {"second", "second"}, {"third\r\n", "third"}, {" with spaces \n", " with spaces "}, {"\xef\xbb\xbfmarked\n", "marked"},
	} {
		write(c.content)
		if got := text.Value(); got != c.want {
			t.Errorf("%q in the file: got %q, want %q", c.content, got, c.want)
		}
	}
}

func TestWhatCannotBeASecretLeavesTheLastGoodOne(t *testing.T) {
	text, path, write := inFile(t, "good\n")
	var said []string
	text.Report(func(key string, err error) { said = append(said, fmt.Sprint(key, ": ", err)) })
	if want := []string{"kafka.sasl.password: <nil>"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
	if got := text.Value(); got != "good" {
		t.Fatalf("got %q, want good", got)
	}
	for _, c := range []struct {
		what, want string
		make       func()
	}{
		{"an empty file", "is empty: want a text in it", func() { write("") }},
		{"a line end alone", "is empty: want a text in it", func() { write("\n") }},
		{"several lines", "more than one line", func() { write("one\ntwo\n") }},
		{"too much", "has more than 65536 bytes", func() { write(strings.Repeat("x", maxBytes+1)) }},
		{"no file", "no such file", func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		said = nil
		c.make()
		for range 3 {
			if got := text.Value(); got != "good" {
				t.Errorf("%s: got %q, want the last good one", c.what, got)
			}
		}
		if len(said) > 1 || len(said) == 1 && !strings.Contains(said[0], "kafka.sasl.password: ") || text.Trouble() == nil || !strings.Contains(text.Trouble().Error(), c.want) {
			t.Errorf("%s: said %q, trouble %v, want one with %q, said once", c.what, said, text.Trouble(), c.want)
		}
	}
	said = nil
	write("better\n")
	if got := text.Value(); got != "better" || text.Trouble() != nil || !slices.Equal(said, []string{"kafka.sasl.password: <nil>"}) {
		t.Errorf("got %q, said %q, trouble %v; want better, and that all is well, said once", got, said, text.Trouble())
	}
}

func TestASecretThatNeverWasIsAnError(t *testing.T) {
	text := New("k", "${file:x}", func() (string, error) { return File(filepath.Join(t.TempDir(), "x")) })
	if got, err := text.Read(); got != "" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %q, %v; want an error that there is no such file", got, err)
	}
}

func TestAVeilIsToldOfEachContent(t *testing.T) {
	text, _, write := inFile(t, "first\n")
	var told []string
	text.Tell(func(content, written string) { told = append(told, written+"="+content) })
	write("second")
	for range 2 {
		_ = text.Value()
	}
	text.Hide("token")
	if want := []string{"${file:password}=first", "${file:password}=second", "${file:password}=token"}; !slices.Equal(told, want) {
		t.Errorf("got %q, want %q", told, want)
	}
}

func TestNothingShowsASecret(t *testing.T) {
	text, _, _ := inFile(t, "hunter2hunter2")
	config := struct{ Password, None Text }{Password: text}
	shown := []string{text.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t", "%p"} {
		shown = append(shown, fmt.Sprintf(verb, config), fmt.Sprintf(verb, &config), fmt.Sprintf(verb, text))
	}
	encoded, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(shown, string(encoded)) {
		if strings.Contains(s, "hunter2") || strings.Contains(s, "68756e") {
			t.Errorf("the secret is in %s", s)
		}
	}
	if want := `{"Password":"(hidden)","None":""}`; string(encoded) != want {
		t.Errorf("got %s, want %s", encoded, want)
	}
}

func TestAnEmptySecretIsOne(t *testing.T) {
	var none Text
	none.Report(nil)
	none.Tell(nil)
	none.Hide("x")
	if !none.Empty() || none.Value() != "" || none.Written() != "" || none.Trouble() != nil || none.String() != "" || !Plain("").Empty() {
		t.Error("want that there is none, and nothing to say of it")
	}
	if plain := Plain("word"); plain.Value() != "word" || plain.Empty() || plain.Written() != Hidden {
		t.Errorf("got %q written %q, want word, hidden", plain.Value(), plain.Written())
	}
}

func TestManyMayReadASecretWhileItChanges(t *testing.T) {
	text, _, write := inFile(t, "first")
	text.Tell(func(string, string) {})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 100 {
				if got := text.Value(); got != "first" && got != "second" {
					t.Errorf("got %q, want first or second", got)
				}
			}
		})
	}
	for range 50 {
		write("second") // it is empty for a moment
	}
	readers.Wait()
}
