package offline

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Input is a file of lines, or one of these that gzip has compressed: its first bytes say which, whatever it is called. It refuses what is
// no file of lines at all, such as Parquet, with what to do. Not safe for concurrent use.
type Input struct {
	raw     *bufio.Reader
	name    string
	objects bool
	opened  io.Reader // nil before the first look
	err     error
	packed  bool
}

// NewInput reads from r. Name is the file, for what is said of it; "" or - is standard input. Objects says that each line has to be a JSON
// object, and then CSV and JSON of other forms is refused as a whole, too.
func NewInput(r io.Reader, name string, objects bool) *Input {
	if name == "" {
		name = "-"
	}
	return &Input{raw: bufio.NewReaderSize(r, sampled), name: name, objects: objects}
}

// sampled is how much of an input is looked at, in bytes; of a slow one, what its first read has.
const sampled = 64 << 10

// Look at the first bytes. Read does it otherwise, when it is first called. It waits for them.
func (i *Input) Look() error {
	if i.opened != nil || i.err != nil {
		return i.err
	}
	i.opened, i.err = i.look()
	return i.err
}

// Packed says that the input is compressed, so that its size says little of how much is in it.
func (i *Input) Packed() bool { return i.packed }

func (i *Input) Read(p []byte) (int, error) {
	if err := i.Look(); err != nil {
		return 0, err
	}
	return i.opened.Read(p)
}

var gzipped = []byte{0x1f, 0x8b}

func (i *Input) look() (io.Reader, error) {
	head, err := peek(i.raw)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(head, gzipped) {
		return i.raw, i.refuse(head)
	}
	i.packed = true
	unpacked, err := gzip.NewReader(i.raw)
	if err != nil {
		return nil, fmt.Errorf("%s begins as gzip does, and is not: %w", i.called(), err)
	}
	lines := bufio.NewReaderSize(&unpacking{unpacked}, sampled)
	if head, err = peek(lines); err != nil {
		return nil, err
	}
	return lines, i.refuse(head)
}

// unpacking names what went wrong.
type unpacking struct{ in io.Reader }

func (u *unpacking) Read(p []byte) (int, error) {
	n, err := u.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("its gzip data are damaged or cut off: %w", err)
	}
	return n, err
}

// peek at what one read has, and at so many bytes that a format can be told.
func peek(r *bufio.Reader) ([]byte, error) {
	if _, err := r.Peek(1); err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return nil, err
	}
	head, err := r.Peek(max(r.Buffered(), min(r.Size(), 8)))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head, nil
}

// called is the input's name in a message.
func (i *Input) called() string {
	if i.name == "-" {
		return "standard input"
	}
	return i.name
}

// file is the input's name in a command.
func (i *Input) file() string {
	if i.name == "-" {
		return "'FILE'"
	}
	return "'" + strings.ReplaceAll(i.name, "'", `'\''`) + "'"
}

// FormatError says that an input is no file of lines.
type FormatError struct{ problem string }

func (e *FormatError) Error() string { return e.problem }

func (i *Input) wrong(what, remedy string) error {
	return &FormatError{fmt.Sprintf("%s is %s: want JSON lines, one object a line: %s", i.called(), what, remedy)}
}

// binaries are known by their first bytes. %s is the file.
var binaries = []struct{ magic, what, remedy string }{
	{"PAR1", "Parquet", `duckdb -c "COPY (FROM %s) TO 'lines.jsonl' (FORMAT json)" makes them`},
	{"Obj\x01", "an Avro file", "avro-tools tojson %s > lines.jsonl makes them"},
	{"ARROW1", "an Arrow file", `python3 -c 'import pandas; pandas.read_feather("FILE").to_json("lines.jsonl", orient="records", lines=True)' makes them`},
	{"ORC", "ORC", "orc-contents %s > lines.jsonl makes them"},
	{"PK\x03\x04", "a ZIP archive or a spreadsheet", "unzip it, or export the sheet"},
	{"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -dc %s gives what is in it, and gzip is read as it is"},
	{"BZh", "compressed by bzip2", "bzip2 -dc %s gives what is in it, and gzip is read as it is"},
	{"\xfd7zXZ\x00", "compressed by xz", "xz -dc %s gives what is in it, and gzip is read as it is"},
	{"\x04\x22\x4d\x18", "compressed by lz4", "lz4 -dc %s gives what is in it, and gzip is read as it is"},
	{"\x1f\x8b", "compressed by gzip twice", "gunzip it once"},
	{"SQLite format 3\x00", "an SQLite database", "export a table of it"},
	{"\xff\xfe", "text in UTF-16", "iconv -f UTF-16 -t UTF-8 %s > lines.jsonl makes UTF-8 of it"},
	{"\xfe\xff", "text in UTF-16", "iconv -f UTF-16 -t UTF-8 %s > lines.jsonl makes UTF-8 of it"},
	{"%PDF", "a PDF", "export what is in it"},
}

// refuse what is no file of lines. Head is its beginning.
func (i *Input) refuse(head []byte) error {
	text := utf8.Valid(head[:max(0, len(head)-utf8.UTFMax)]) && bytes.IndexByte(head, 0) < 0
	for _, b := range binaries {
		if bytes.HasPrefix(head, []byte(b.magic)) && (i.objects || !text) { // lines of text may begin like one of these
			remedy := b.remedy
			if strings.Contains(remedy, "%s") {
				remedy = fmt.Sprintf(remedy, i.file())
			}
			return i.wrong(b.what, remedy)
		}
	}
	// Text has no zero byte, and where one stands in a JSON string it is written otherwise.
	first, _, _ := bytes.Cut(head, []byte("\n"))
	if bytes.IndexByte(first, 0) >= 0 || i.objects && !text && bytes.ContainsFunc(first, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' }) {
		return i.wrong("binary", "write it as such")
	}
	if !i.objects {
		return nil
	}
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	first, rest, more := bytes.Cut(head, []byte("\n"))
	first, rest = bytes.TrimSpace(first), bytes.TrimLeft(rest, " \t\r\n")
	switch {
	case len(first) == 0:
		return nil
	case array(first, rest, more):
		return i.wrong("a JSON array", "jq -c '.[]' "+i.file()+" > lines.jsonl makes them")
	case string(first) == "{" && more:
		return i.wrong("JSON over several lines", "jq -c . "+i.file()+" > lines.jsonl makes them")
	case separated(head):
		return i.wrong("CSV", `python3 -c 'import csv,json,sys; [print(json.dumps(row)) for row in csv.DictReader(sys.stdin)]' < `+i.file()+" > lines.jsonl makes them")
	}
	return nil
}

// array says that a text is one JSON array, and not lines of which the first is one.
func array(first, rest []byte, more bool) bool {
	if first[0] != '[' {
		return false
	}
	if inside := bytes.TrimLeft(first[1:], " \t"); len(inside) == 0 && more || len(inside) > 0 && inside[0] == '{' {
		return true
	}
	return len(rest) == 0 && utf8.Valid(first)
}

// separated says that a text is a table: lines of as many values each, and no JSON among them.
func separated(text []byte) bool {
	for line := range bytes.Lines(text) {
		if first := bytes.TrimSpace(line); len(first) > 0 && (first[0] == '{' || first[0] == '[') {
			return false
		}
	}
	for _, comma := range []rune{',', ';', '\t'} {
		reader := csv.NewReader(bytes.NewReader(text))
		reader.Comma = comma
		reader.ReuseRecord, reader.LazyQuotes = true, true
		rows := 0
		for {
			fields, err := reader.Read()
			if err != nil || len(fields) < 2 {
				// What is looked at may end within a row.
				if err != nil && rows >= 2 && reader.InputOffset() >= int64(len(text))/2 {
					return true
				}
				break
			}
			rows++
		}
	}
	return false
}
