package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"nearline/internal/committed"
	"nearline/offline"
	"nearline/pipeline"
	"nearline/schemas"
)

// label is a row as its source has it.
type label struct {
	place fmt.Stringer
	text  []byte    // valid until the next one
	at    time.Time // that it was written; zero for a line, and where the record does not say
	fault error     // why the source does not have all of it
	// unstamped says that the record's timestamp is implausible: whether the row is asked for, its own time tells.
	unstamped bool
}

type line int64

func (l line) String() string { return fmt.Sprintf("line %d", int64(l)) }

// eachLine reads a file.
func eachLine(ctx context.Context, in io.Reader, f func(label) error) error {
	lines := offline.NewLines(in, 0)
	for {
		next, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the rows: %w", err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case next.Blank():
			continue
		}
		l := label{place: line(next.Number), text: next.Text}
		if next.TooLong {
			l.fault = fmt.Errorf("the line has %d bytes: want at most %d", next.Size, offline.DefaultMaxLine)
		}
		if err := f(l); err != nil {
			return err
		}
	}
}

// eachRecord reads a topic, by partition and offset. Records without a value are counted.
func eachRecord(ctx context.Context, reader *committed.Reader, topic string, since, until time.Time, f func(label) error) (tombstones int, err error) {
	parts, err := reader.Parts(ctx, topic, since)
	if err != nil {
		return 0, err
	}
	for _, part := range parts {
		err := reader.Scan(ctx, part, func(r *pipeline.Record) error {
			switch {
			case !pipeline.Plausible(r.Timestamp):
			case r.Timestamp.Before(since), !until.IsZero() && !r.Timestamp.Before(until):
				return nil
			}
			if r.Tombstone() && r.Verdict.Withheld == nil {
				tombstones++
				return nil
			}
			l := label{place: r.Coordinates(), text: r.Value, at: r.Written(time.Time{}), unstamped: !pipeline.Plausible(r.Timestamp)}
			if fault := r.Verdict.Fault(); fault != nil {
				l.fault = errors.New(fault.Cause)
			}
			return f(l)
		})
		if err != nil {
			return tombstones, err
		}
	}
	return tombstones, nil
}

// row is one that was read.
type row struct {
	text  []byte   // all of the object but its last brace, in one line
	keys  []string // by view
	times []int64  // by view, in milliseconds since 1970
}

// rows reads them.
type rows struct {
	views   []View
	decoder pipeline.Decoder
	reads   [][2]int // by view, where key and time are in what the decoder reads; -1 is nowhere
	names   map[string]string
	tokens  *jsontext.Decoder
}

// newRows says what of the views does not go together.
func newRows(views []View, lines bool) (*rows, error) {
	r := &rows{views: views, names: make(map[string]string), tokens: jsontext.NewDecoder(&bytes.Buffer{})}
	var paths []string
	find := func(path string) int {
		if path == "" {
			return -1
		}
		if i := slices.Index(paths, path); i >= 0 {
			return i
		}
		paths = append(paths, path)
		return len(paths) - 1
	}
	for i := range views {
		v := &views[i]
		if lines && v.Time == "" {
			return nil, fmt.Errorf("view %s takes the time from records, and lines have none: say where in the rows their time is", v.Name())
		}
		for _, path := range []string{v.Key, v.Time} {
			if slices.Contains(strings.Split(path, "."), "") && path != "" {
				return nil, fmt.Errorf("%q is no path: want names joined by single dots, such as meta.item_id", path)
			}
		}
		for _, name := range v.names() {
			if other, taken := r.names[name]; taken {
				return nil, fmt.Errorf("views %s and %s would both write %q: name one of them otherwise", other, v.Name(), name)
			}
			r.names[name] = v.Name()
		}
		r.reads = append(r.reads, [2]int{find(v.Key), find(v.Time)})
	}
	var err error
	r.decoder, err = schemas.NewDecoder(schemas.InputConfig{
		Map: &schemas.Mapping{}, MaxValueBytes: offline.DefaultMaxLine,
	}, schemas.OutputConfig{}, schemas.Wanted{Paths: paths, Textless: true})
	return r, err
}

// read a row.
func (r *rows) read(l label) (row, *BadRow) {
	bad := func(what string, err error) (row, *BadRow) {
		return row{}, &BadRow{Place: l.place, what: what, Err: err}
	}
	if l.fault != nil {
		return bad("too large", l.fault)
	}
	decoded, fault := r.decoder.Decode(&pipeline.Record{Value: l.text})
	if fault != nil {
		return bad("no JSON object", errors.New(fault.Cause))
	}
	// There is one object, and around it what may be around JSON: it was read.
	text := bytes.Trim(l.text, "\xef\xbb\xbf \t\r\n")
	if name := r.taken(text); name != "" {
		return bad(name+" is there", fmt.Errorf("%s is there, which view %s would write: name the view's otherwise", name, r.names[name]))
	}
	out := row{text: oneLine(text), keys: make([]string, len(r.views)), times: make([]int64, len(r.views))}
	for i := range r.views {
		v := &r.views[i]
		key, err := v.KeyOf(decoded.Read[r.reads[i][0]], v.Key)
		switch {
		case err != nil:
			return bad(v.Key+" is no key", err)
		case key == "":
			return bad(v.Key+" is missing", fmt.Errorf("%s is missing: it is the key of view %s", v.Key, v.Name()))
		}
		at := pipeline.Value{}
		if v.Time != "" {
			at = decoded.Read[r.reads[i][1]]
		}
		t := l.at
		switch {
		case at.Kind != pipeline.Null:
			said, err := v.TimeOf(at, v.Time)
			if err != nil {
				return bad(v.Time+" is no time", err)
			}
			if l.at.IsZero() || said.Before(l.at) { // or else as events: see features.Emit
				t = said
			}
		case v.Time != "" && (!v.OrWritten || l.at.IsZero()):
			return bad(v.Time+" is missing", fmt.Errorf("%s is missing: it is the row's time for view %s", v.Time, v.Name()))
		case l.at.IsZero():
			return bad("the record's timestamp is none", fmt.Errorf("the record's timestamp is none from 1973 to 2262, and it is the row's time for view %s: say where in the rows their time is",
				v.Name()))
		}
		out.keys[i], out.times[i] = key, t.UnixMilli()
	}
	return out, nil
}

// taken is the first name in an object that a view would write.
func (r *rows) taken(object []byte) string {
	// What is wrong with the object was found before.
	r.tokens.Reset(bytes.NewBuffer(object), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	_, _ = r.tokens.ReadToken()
	for r.tokens.PeekKind() == jsontext.KindString {
		name, err := r.tokens.ReadToken()
		if err != nil {
			return ""
		}
		if text := name.String(); r.names[text] != "" {
			return text
		}
		if r.tokens.SkipValue() != nil {
			return ""
		}
	}
	return ""
}

// oneLine is a copy of an object without its last brace.
func oneLine(object []byte) []byte {
	text := jsontext.Value(bytes.Clone(object))
	if bytes.IndexByte(text, '\n') >= 0 {
		_ = text.Compact() // fails only for what is no JSON
	}
	return bytes.TrimRight(text[:len(text)-1], " \t\r\n")
}
