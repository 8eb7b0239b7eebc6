package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
	text.Tell(func(content, written string, _ any) { told = append(told, written+"="+content) })
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

// What is told last is what holds, whoever of many readers finds it out: an alert would stay on for ever.
func TestWhatIsToldLastOfAFileIsWhatHolds(t *testing.T) {
	bad := errors.New("it cannot be used")
	found := make(chan error, 1)
	k := NewKept("key", func(string) (string, error) { return "", <-found })
	telling, goOn := make(chan struct{}), make(chan struct{})
	var told []error
	k.Report(func(_ string, err error) {
		if err != nil {
			close(telling)
			<-goOn
		}
		told = append(told, err)
	})
	var readers sync.WaitGroup
	read := func(finds error) {
		found <- finds
		_, _ = k.Read()
	}
	readers.Go(func() { read(bad) })
	<-telling // and before that is done, another one finds that all is well again
	readers.Go(func() { read(nil) })
	for k.Trouble() != nil {
		runtime.Gosched()
	}
	close(goOn)
	readers.Wait()
	if n := len(told); n != 3 || told[1] == nil || told[2] != nil {
		t.Errorf("told %v: want that all is well, that it is not, and at last that it is", told)
	}
}

// Kubernetes replaces what it mounts by another folder behind the link ..data.
func TestASecretIsReadThroughLinksThatAreSwapped(t *testing.T) {
	folder := t.TempDir()
	link := func(to, name string) {
		t.Helper()
		if err := errors.Join(os.Symlink(to, filepath.Join(folder, "new")), os.Rename(filepath.Join(folder, "new"), filepath.Join(folder, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"..1", "..2"} {
		if err := errors.Join(os.Mkdir(filepath.Join(folder, version), 0o700), os.WriteFile(filepath.Join(folder, version, "password"), []byte("of"+version), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	link("..data/password", "password")
	text := New("key", "${file:password}", func() (string, error) { return File(filepath.Join(folder, "password")) })
	if got := text.Value(); got != "of..1" {
		t.Errorf("got %q, want the first", got)
	}
	link("..2", "..data")
	if got := text.Value(); got != "of..2" {
		t.Errorf("got %q, want the second", got)
	}
	if err := os.RemoveAll(filepath.Join(folder, "..2")); err != nil {
		t.Fatal(err)
	}
	if got := text.Value(); got != "of..2" || !errors.Is(text.Trouble(), os.ErrNotExist) {
		t.Errorf("got %q, %v; want the last good one, and that it is gone", got, text.Trouble())
	}
}

func TestManyMayReadASecretWhileItChanges(t *testing.T) {
	text, _, write := inFile(t, "first")
	text.Tell(func(string, string, any) {})
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
