package producers

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"nearline/pipeline"
)

// read back what was built, as if it had been published at 1/7 of its topic.
func read(t *testing.T, out pipeline.Output) *Letter {
	t.Helper()
	l, err := ReadLetter(&pipeline.Record{Topic: out.Topic, Partition: 1, Offset: 7, Key: out.Key, Value: out.Value, Headers: out.Headers})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLetterSaysWhatWasWritten(t *testing.T) {
	record := review()
	fault := &pipeline.Fault{Class: pipeline.ClassModel, Stage: pipeline.StagePredict, Cause: "the model said no", Model: "sentiment", Version: 7}
	got := read(t, newBuilder(t, Config{}, fixed{}).DeadLetter(record, fault, 2))
	if time.Since(got.Time) > time.Hour {
		t.Errorf("got time %v, want now", got.Time)
	}
	got.Time = time.Time{}
	want := &Letter{
		At: pipeline.Coordinates{Topic: "reviews.raw.dlq", Partition: 1, Offset: 7}, Class: pipeline.ClassModel, Stage: pipeline.StagePredict,
		Cause: "the model said no", Attempt: 2, Source: record.Coordinates(), SourceTimestamp: record.Timestamp.UTC(),
		Model: "sentiment", Version: 7, Key: record.Key, Value: record.Value, Headers: record.Headers,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if !got.Whole() || got.Same(record) != nil {
		t.Errorf("got a letter that is not whole, or not of its original: %v", got.Same(record))
	}
}

func TestLetterKnowsItsOriginalByTheReference(t *testing.T) {
	b, err := newBuilder(t, Config{}, fixed{}).WithLimits(0, 16_000)
	if err != nil {
		t.Fatal(err)
	}
	large := func() *pipeline.Record {
		r := review()
		r.Value, r.Key = []byte(strings.Repeat("v", 20_000)), []byte(strings.Repeat("k", 20_000))
		return r
	}
	l := read(t, b.DeadLetter(large(), undecodable(), 1))
	if l.Whole() || l.Reference == nil || l.Value != nil || l.Key != nil {
		t.Fatalf("got %+v, want a reference without key and value", l)
	}
	if err := l.Same(large()); err != nil {
		t.Errorf("got %v for the original, want none", err)
	}
	for what, change := range map[string]func(*pipeline.Record){
		"value":  func(r *pipeline.Record) { r.Value[9] = 'x' },
		"length": func(r *pipeline.Record) { r.Value = r.Value[1:] },
		"key":    func(r *pipeline.Record) { r.Key[9] = 'x' },
	} {
		other := large()
		change(other)
		if l.Same(other) == nil {
			t.Errorf("a record with another %s is taken for the original", what)
		}
	}
}

func TestTombstonesLetterIsNotThatOfAnEmptyValue(t *testing.T) {
	record := review()
	record.Value = nil
	l := read(t, newBuilder(t, Config{}, fixed{}).DeadLetter(record, undecodable(), 1))
	if l.Same(record) != nil {
		t.Errorf("got %v for the tombstone, want none", l.Same(record))
	}
	record.Value = []byte{}
	if l.Same(record) == nil {
		t.Error("an empty value is taken for a tombstone")
	}
}

func TestReplayKeepsItsLineageThroughEveryDeath(t *testing.T) {
	b := newBuilder(t, Config{}, fixed{})
	original := review()
	letter := read(t, b.DeadLetter(original, undecodable(), 1))
	for attempt := 1; attempt <= 3; attempt++ {
		out := letter.Replay(&pipeline.Record{Key: letter.Key, Value: letter.Value, Headers: letter.Headers}, "reviews.raw")
		want := show(original.Headers) + "nearline-replay-attempt=" + string(rune('0'+attempt)) +
			"\nnearline-replay-source=reviews.raw/3/42\nnearline-replay-letter=reviews.raw.dlq/1/7\n"
		if got := show(out.Headers); got != want {
			t.Errorf("attempt %d: got headers\n%swant\n%s", attempt, got, want)
		}
		if string(out.Key) != string(original.Key) || string(out.Value) != string(original.Value) {
			t.Errorf("attempt %d: got %q: %q, want the original", attempt, out.Key, out.Value)
		}
		replayed := &pipeline.Record{Topic: "reviews.raw", Partition: 5, Offset: int64(1000 * attempt), Key: out.Key, Value: out.Value, Headers: out.Headers}
		letter = read(t, b.DeadLetter(replayed, undecodable(), 1))
		if got, first := letter.Replayed(); got != attempt || first != "reviews.raw/3/42" {
			t.Errorf("the dead letter of replay %d tells of replay %d, first read at %s", attempt, got, first)
		}
	}
}

func TestOtherRecordsAreNoLetters(t *testing.T) {
	letter := newBuilder(t, Config{}, fixed{}).DeadLetter(review(), undecodable(), 1)
	with := func(key, value string) pipeline.Output {
		out := letter
		out.Headers = append([]pipeline.Header{}, letter.Headers...)
		for i := range out.Headers {
			if out.Headers[i].Key == key {
				out.Headers[i].Value = []byte(value)
			}
		}
		return out
	}
	for want, out := range map[string]pipeline.Output{
		"nearline-dlq-class is missing":                 {Topic: "reviews.raw.dlq", Value: []byte("{}")},
		`nearline-dlq-source-offset is "x"`:             with("nearline-dlq-source-offset", "x"),
		`nearline-dlq-source-partition is "9999999999"`: with("nearline-dlq-source-partition", "9999999999"),
		`nearline-dlq-time is "noon"`:                   with("nearline-dlq-time", "noon"),
	} {
		_, err := ReadLetter(&pipeline.Record{Value: out.Value, Headers: out.Headers})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestLetterOfWhatWasWithheldIsAReference(t *testing.T) {
	record := review()
	record.Key, record.Value, record.Headers = nil, []byte{}, nil
	record.Verdict.Withheld = &pipeline.Withheld{
		Limit: 32 << 20, Length: 1 << 30, SHA256: [32]byte{0xab}, FirstBytes: []byte("first"),
		KeyLength: 3000, KeySHA256: [32]byte{0xcd}, Headers: 7, HeadersLength: 70,
	}
	out := newBuilder(t, Config{}, fixed{}).DeadLetter(record, record.Verdict.Fault(), 1)
	l := read(t, out)
	want := &Reference{
		Topic: "reviews.raw", Partition: 3, Offset: 42, Length: 1 << 30, SHA256: "ab" + strings.Repeat("00", 31), FirstBytes: "Zmlyc3Q=",
		KeyLength: 3000, KeySHA256: "cd" + strings.Repeat("00", 31), Headers: 7, HeadersLength: 70,
	}
	if !reflect.DeepEqual(l.Reference, want) || l.Class != pipeline.ClassTooLarge || l.Stage != pipeline.StageFetch || strings.Join(l.Dropped, ",") != "headers,key" {
		t.Errorf("got %+v of %+v, want %+v", l.Reference, l, want)
	}
}

func TestForgedHeadersAreBounded(t *testing.T) {
	out := newBuilder(t, Config{}, fixed{}).DeadLetter(review(), undecodable(), 1)
	long := strings.Repeat("\xff€", 1<<16)
	for i, h := range out.Headers {
		switch h.Key {
		case "nearline-dlq-class", "nearline-dlq-stage", "nearline-dlq-cause", "nearline-dlq-source-topic":
			out.Headers[i].Value = []byte(long)
		}
	}
	out.Headers = append(out.Headers, pipeline.Header{Key: headerReplaySource, Value: []byte(long)})
	l := read(t, out)
	_, first := l.Replayed()
	for what, text := range map[string]string{"class": string(l.Class), "stage": l.Stage, "cause": l.Cause, "source": l.Source.Topic, "first": first} {
		if len(text) > maxCause || !utf8.ValidString(text) {
			t.Errorf("the %s has %d bytes: want valid UTF-8 of at most %d", what, len(text), maxCause)
		}
	}
	for _, said := range []string{"9223372036854775807", "-9223372036854775808", "1000001", "-1", "x", ""} {
		l.Headers = []pipeline.Header{{Key: headerReplayAttempt, Value: []byte(said)}}
		if attempt, _ := l.Replayed(); attempt != 0 {
			t.Errorf("%s %q: got %d, want none", headerReplayAttempt, said, attempt)
		}
		replay := l.Replay(&pipeline.Record{Headers: l.Headers}, "t")
		if got := show(replay.Headers); !strings.Contains(got, headerReplayAttempt+"=1\n") {
			t.Errorf("replayed after %q: got %s, want the first attempt", said, got)
		}
	}
}
