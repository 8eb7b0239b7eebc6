package producers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"nearline/pipeline"
)

const (
	deadLetterPrefix = "nearline-dlq-"
	// maxCause and maxText bound a header's text, so that a reference always fits.
	maxCause = 1024
	maxText  = 256
	// maxFirstBytes is how much of a large original its reference shows.
	maxFirstBytes = 256
)

// Reference stands, as JSON, for an original that the dead letters' topic does not take. As long as retention keeps it,
// the original is found by its coordinates, and is known to be the same by its hash.
type Reference struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Length    int64  `json:"length"` // of the value, in bytes
	SHA256    string `json:"sha256"` // of the value, in hex
	// FirstBytes of the value, in base64, since they may be anything.
	FirstBytes string `json:"first_bytes"`
	// KeyLength and KeySHA256 tell of a key that was dropped too.
	KeyLength int64  `json:"key_length,omitempty"`
	KeySHA256 string `json:"key_sha256,omitempty"`
	// Headers and HeadersLength tell of headers that were dropped too: how many, and their bytes.
	Headers       int   `json:"headers,omitempty"`
	HeadersLength int64 `json:"headers_length,omitempty"`
}

// keep says what of an original a dead letter carries.
type keep struct{ key, value, headers bool }

// sheds is what a dead letter gives up, step by step, until it fits. The value is worth more than the headers, since
// it is what has to be mended; without all of it, the key and the headers are all that is left to search for.
var sheds = []keep{
	{key: true, value: true, headers: true},
	{key: true, value: true},
	{key: true, headers: true},
	{key: true},
	{headers: true},
	{},
}

// DeadLetter builds the dead letter of a record: the original with its key and all its headers, and headers that say
// what was wrong. It always fits its topic: what of the original does not is left out, and a reference takes the
// value's place.
//
// A tombstone's null value stays null, and a header says that it is the original's. The timestamp is the time of
// publishing, so that retention counts from the failure and an old record's dead letter is not deleted at once.
func (b *Builder) DeadLetter(record *pipeline.Record, fault *pipeline.Fault, attempt int) pipeline.Output {
	own := describe(record, fault, attempt)
	original := make([]pipeline.Header, 0, len(record.Headers)+cap(own))
	for _, h := range record.Headers {
		if !strings.HasPrefix(h.Key, deadLetterPrefix) { // of an earlier death of a replayed record
			original = append(original, h)
		}
	}
	out := pipeline.Output{Topic: b.config.DeadLetters, Source: record}
	for _, kept := range sheds {
		if kept.value && record.Verdict.Withheld != nil {
			continue
		}
		shed(&out, record, original, own, kept)
		if batchSize(out.Key, out.Value, out.Headers) <= b.deadLetterLimit {
			break
		}
	}
	return out
}

// shed fills a dead letter with what is kept of the original.
func shed(out *pipeline.Output, record *pipeline.Record, original, own []pipeline.Header, kept keep) {
	var dropped []string
	ref := Reference{Topic: clip(record.Topic, maxText), Partition: record.Partition, Offset: record.Offset}
	out.Key, out.Value, out.Headers = record.Key, record.Value, nil
	if kept.headers {
		out.Headers = original
	} else if len(original) > 0 {
		dropped = append(dropped, "headers")
		ref.dropHeaders(original)
	}
	if !kept.key && record.Key != nil {
		dropped = append(dropped, "key")
		out.Key = nil
		ref.KeyLength, ref.KeySHA256 = int64(len(record.Key)), hash(record.Key)
	}
	if w := record.Verdict.Withheld; w != nil {
		dropped = append(dropped, ref.withhold(w)...)
	}
	out.Headers = append(out.Headers, own...)
	if len(dropped) > 0 {
		out.Headers = append(out.Headers, text("dropped", strings.Join(dropped, ",")))
	}
	if !kept.value {
		if record.Verdict.Withheld == nil {
			ref.describe(record.Value)
		}
		out.Value = ref.json()
		out.Headers = append(out.Headers, text("reference", "true"))
	}
}

// describe are the headers that every dead letter has.
func describe(record *pipeline.Record, fault *pipeline.Fault, attempt int) []pipeline.Header {
	headers := make([]pipeline.Header, 0, 16)
	headers = append(headers,
		text("class", string(fault.Class)),
		text("stage", fault.Stage),
		pipeline.Header{Key: deadLetterPrefix + "cause", Value: []byte(clip(fault.Cause, maxCause))},
		text("attempt", strconv.Itoa(attempt)),
		text("time", time.Now().UTC().Format(time.RFC3339Nano)),
		text("source-topic", record.Topic),
		text("source-partition", strconv.Itoa(int(record.Partition))),
		text("source-offset", strconv.FormatInt(record.Offset, 10)),
	)
	switch year := record.Timestamp.UTC().Year(); {
	case record.Timestamp.IsZero():
	case year < 0 || year > 9999: // which RFC 3339 cannot say: microseconds, taken for milliseconds
		headers = append(headers, text("source-timestamp-ms", strconv.FormatInt(record.Timestamp.UnixMilli(), 10)))
	default:
		headers = append(headers, text("source-timestamp", record.Timestamp.UTC().Format(time.RFC3339Nano)))
	}
	if fault.Model != "" {
		headers = append(headers, text("model", fault.Model), text("model-version", strconv.Itoa(fault.Version)))
	}
	if record.Tombstone() {
		headers = append(headers, text("tombstone", "true"))
	}
	return headers
}

func text(name, value string) pipeline.Header {
	return pipeline.Header{Key: deadLetterPrefix + name, Value: []byte(clip(value, maxText))}
}

// clip makes valid UTF-8 of at most that many bytes.
func clip(s string, most int) string {
	const ellipsis = "…"
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= most {
		return s
	}
	end := most - len(ellipsis)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}

func (r *Reference) describe(value []byte) {
	r.Length, r.SHA256 = int64(len(value)), hash(value)
	r.FirstBytes = base64.StdEncoding.EncodeToString(value[:min(len(value), maxFirstBytes)])
}

// withhold describes a record that was not kept in memory, and says what is missing beside the value.
func (r *Reference) withhold(w *pipeline.Withheld) (dropped []string) {
	r.Length, r.SHA256 = w.Length, hex.EncodeToString(w.SHA256[:])
	r.FirstBytes = base64.StdEncoding.EncodeToString(w.FirstBytes)
	if w.Headers > 0 {
		dropped = append(dropped, "headers")
		r.Headers, r.HeadersLength = w.Headers, w.HeadersLength
	}
	if w.KeyLength > 0 {
		dropped = append(dropped, "key")
		r.KeyLength, r.KeySHA256 = w.KeyLength, hex.EncodeToString(w.KeySHA256[:])
	}
	return dropped
}

func (r *Reference) dropHeaders(headers []pipeline.Header) {
	r.Headers = len(headers)
	for _, h := range headers {
		r.HeadersLength += int64(len(h.Key) + len(h.Value))
	}
}

func (r *Reference) json() []byte {
	value, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers always have a form in JSON
	}
	return value
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
