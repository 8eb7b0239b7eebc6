package tokenizer

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fuzzedFile is a line that testdata/fuzz.py wrote: a random tokenizer.json, and what the reference makes of it.
type fuzzedFile struct {
	Seed      int             `json:"seed"`
	Tokenizer json.RawMessage `json:"tokenizer"`
	Refused   string          `json:"refused"`
	Cases     []fuzzedCase    `json:"cases"`
}

// fuzzedCase is a text. On some the reference panics, or refuses the text: nothing is compared then but that we do not.
type fuzzedCase struct {
	Text  string  `json:"text"`
	IDs   []int64 `json:"ids"`
	Types []int64 `json:"types"`
	Error string  `json:"error"`
}

// TestFuzzedFilesEqualReference compares the file that NEARLINE_TOKENIZER_FUZZ names, as testdata/fuzz.py makes it without an end; and the
// cases that it once found, which are kept.
func TestFuzzedFilesEqualReference(t *testing.T) {
	if path := os.Getenv("NEARLINE_TOKENIZER_FUZZ"); path != "" {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		compareFuzzed(t, f)
		return
	}
	f, err := os.Open(filepath.Join("testdata", "fuzzed.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if files := compareFuzzed(t, z); files < 100 {
		t.Errorf("compared %d files: want at least 100", files)
	}
}

func compareFuzzed(t *testing.T, in io.Reader) (files int) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	refused, distinct := 0, make(map[string]bool)
	for lines.Scan() {
		var f fuzzedFile
		mustUnmarshal(t, lines.Bytes(), &f)
		files++
		why := f.compare(t)
		if why != "" {
			refused++
			distinct[why] = true
		}
		keepFuzzed(t, lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("compared %d files, of which %d were refused", files, refused)
	if os.Getenv("NEARLINE_TOKENIZER_FUZZ_REFUSED") != "" {
		for why := range distinct {
			t.Log(why)
		}
	}
	return files
}

// keepFuzzed appends the line to the file that NEARLINE_TOKENIZER_FUZZ_FOUND names, if the test has failed since the line before.
func keepFuzzed(t *testing.T, line []byte) {
	path := os.Getenv("NEARLINE_TOKENIZER_FUZZ_FOUND")
	if path == "" || !fuzzedFailed {
		return
	}
	fuzzedFailed = false
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	if _, err := out.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

var fuzzedFailed bool

// compare returns why the file is refused, where we refuse one that the reference reads.
func (f *fuzzedFile) compare(t *testing.T) (why string) {
	tok, err := Parse(f.Tokenizer)
	if f.Refused != "" {
		if err == nil {
			f.fail(t, "is read: want it refused, as by the reference (%s)", f.Refused)
		}
		return ""
	}
	if err != nil {
		if !strings.HasPrefix(err.Error(), "tokenizer.json: ") {
			f.fail(t, "is refused without a place: %v", err)
		}
		return err.Error()
	}
	small := *tok
	small.windowBytes = 7
	for _, c := range f.Cases {
		got, err := tok.TryEncode(c.Text)
		if c.Error != "" {
			continue
		}
		want := fuzzedCase{IDs: c.IDs, Types: c.Types}
		if want.Types == nil {
			want.Types = make([]int64, len(c.IDs))
		}
		if err != nil || !slices.Equal(got.IDs, want.IDs) || !slices.Equal(got.TypeIDs, want.Types) {
			f.fail(t, "Encode(%+q) = %v %v %v: want %v %v", c.Text, got.IDs, got.TypeIDs, err, want.IDs, want.Types)
			continue
		}
		if got := small.Encode(c.Text); !slices.Equal(got.IDs, want.IDs) {
			f.fail(t, "Encode(%+q) = %v in small windows: want %v", c.Text, got.IDs, want.IDs)
		}
	}
	return ""
}

func (f *fuzzedFile) fail(t *testing.T, format string, args ...any) {
	t.Helper()
	fuzzedFailed = true
	t.Errorf("file of seed %d "+format, append([]any{f.Seed}, args...)...)
}
