package producers

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"nearline/pipeline"
)

// fixed is an encoder that answers the same value, or a fault.
type fixed struct {
	value []byte
	fault *pipeline.Fault
}

func (f fixed) Append(dst []byte, _ *pipeline.Row) ([]byte, *pipeline.Fault) {
	return append(dst, f.value...), f.fault
}

func newBuilder(t *testing.T, config Config, encoder pipeline.Encoder) *Builder {
	t.Helper()
	config.Topic, config.DeadLetters = "reviews.scored", "reviews.raw.dlq"
	b, err := New(config, encoder)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func review() *pipeline.Record {
	return &pipeline.Record{
		Topic: "reviews.raw", Partition: 3, Offset: 42, Key: []byte("B00A1"), Value: []byte(`{"text":"good"}`),
		Timestamp: time.Date(2026, 5, 6, 7, 8, 9, 123e6, time.UTC),
		Headers: []pipeline.Header{
			{Key: "traceparent", Value: []byte("00-abc-def-01")},
			{Key: "tenant", Value: []byte("a")},
			{Key: "tenant", Value: nil},
			{Key: "nearline-model", Value: []byte("older")},
		},
	}
}

func scored(record *pipeline.Record) *pipeline.Row {
	return &pipeline.Row{Record: record, Predictions: []pipeline.Prediction{{Model: "first", Version: 1}, {Model: "sentiment", Version: 7}}}
}

// show renders headers one a line.
func show(headers []pipeline.Header) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString(h.Key + "=" + string(h.Value) + "\n")
	}
	return b.String()
}

func header(t *testing.T, headers []pipeline.Header, key string) string {
	t.Helper()
	found := ""
	count := 0
	for _, h := range headers {
		if h.Key == key {
			found = string(h.Value)
			count++
		}
	}
	if count > 1 {
		t.Errorf("header %s: got it %d times, want at most once", key, count)
	}
	return found
}

func TestResultKeepsKeyAndTimestampAndTellsItsLineage(t *testing.T) {
	record := review()
	out, fault := newBuilder(t, Config{}, fixed{value: []byte(`{"ok":1}`)}).Result(scored(record))
	if fault != nil {
		t.Fatal(fault)
	}
	if out.Topic != "reviews.scored" || string(out.Key) != "B00A1" || string(out.Value) != `{"ok":1}` ||
		!out.Timestamp.Equal(record.Timestamp) || out.Source != record {
		t.Errorf("got %+v, want the key, the timestamp and the source of %+v", out, record)
	}
	want := "traceparent=00-abc-def-01\ntenant=a\ntenant=\nnearline-source-topic=reviews.raw\nnearline-source-partition=3\n" +
		"nearline-source-offset=42\nnearline-model=sentiment\nnearline-model-version=7\n"
	if got := show(out.Headers); got != want {
		t.Errorf("got headers\n%swant\n%s", got, want)
	}
}

func TestResultOfRecordWithoutKeyHasNone(t *testing.T) {
	record := review()
	record.Key = nil
	out, _ := newBuilder(t, Config{}, fixed{}).Result(scored(record))
	if out.Key != nil || out.Value == nil {
		t.Errorf("got key %#v and value %#v, want a nil key, and a value that is not nil: an empty result is no tombstone", out.Key, out.Value)
	}
}

func TestTraceContextPassesWithoutOtherHeaders(t *testing.T) {
	b := newBuilder(t, Config{Headers: HeadersNone}, fixed{})
	out, _ := b.Result(scored(review()))
	if got := header(t, out.Headers, "traceparent"); got != "00-abc-def-01" {
		t.Errorf("got traceparent %q, want it passed", got)
	}
	if strings.Contains(show(out.Headers), "tenant") {
		t.Errorf("got %q, want no header of the input but the trace", show(out.Headers))
	}
}

func TestHeaderValuesDoNotOverlap(t *testing.T) {
	out, _ := newBuilder(t, Config{}, fixed{value: []byte("v")}).Result(scored(review()))
	want := show(out.Headers)
	for _, h := range out.Headers {
		_ = append(h.Value, '!')
	}
	_ = append(out.Value, '!')
	if got := show(out.Headers); got != want {
		t.Errorf("appending to one value changed another: got\n%swant\n%s", got, want)
	}
}

func TestResultsDoNotShareBuffers(t *testing.T) {
	b := newBuilder(t, Config{}, fixed{value: []byte("first")})
	one, _ := b.Result(scored(review()))
	b.encoder = fixed{value: []byte("other")}
	if _, fault := b.Result(scored(review())); fault != nil {
		t.Fatal(fault)
	}
	if string(one.Value) != "first" {
		t.Errorf("the second result overwrote the first: got %q", one.Value)
	}
}

func TestEncoderFaultIsPassedOn(t *testing.T) {
	want := pipeline.Faultf(pipeline.ClassEncode, pipeline.StageEncode, "no")
	if _, got := newBuilder(t, Config{}, fixed{fault: want}).Result(scored(review())); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestResultAtTheLimitFitsAndOneByteMoreDoesNot(t *testing.T) {
	value := bytes.Repeat([]byte("x"), 20_000)
	out, _ := newBuilder(t, Config{}, fixed{value: value}).Result(scored(review()))
	size := batchSize(out.Key, out.Value, out.Headers)

	b, err := newBuilder(t, Config{}, fixed{value: value}).WithLimits(size, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, fault := b.Result(scored(review())); fault != nil {
		t.Errorf("got %v, want a result of exactly the limit to pass", fault)
	}
	b.encoder = fixed{value: append(value, 'x')}
	_, fault := b.Result(scored(review()))
	if fault == nil || fault.Class != pipeline.ClassTooLarge || fault.Stage != pipeline.StageEncode {
		t.Fatalf("got %+v, want a fault of class too_large at stage encode", fault)
	}
	for _, want := range []string{"reviews.scored", "max.message.bytes", "20001 of value"} {
		if !strings.Contains(fault.Cause, want) {
			t.Errorf("got cause %q, want it to name %q", fault.Cause, want)
		}
	}
}

func TestTombstoneIsPassedOnByKey(t *testing.T) {
	record := review()
	record.Value = nil
	out := newBuilder(t, Config{}, fixed{}).Tombstone(record)
	if out.Value != nil || string(out.Key) != "B00A1" || out.Topic != "reviews.scored" || out.Source != record {
		t.Errorf("got %+v, want a null value under the input's key", out)
	}
	want := "traceparent=00-abc-def-01\ntenant=a\ntenant=\nnearline-source-topic=reviews.raw\nnearline-source-partition=3\nnearline-source-offset=42\n"
	if got := show(out.Headers); got != want {
		t.Errorf("got headers\n%swant\n%s", got, want)
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	err := Config{Headers: "some", MaxRecordBytes: 10}.Validate("pipelines[0].output")
	want := []string{
		"pipelines[0].output.topic is missing: name the topic of the results, such as reviews.scored",
		"pipelines[0].output.dead_letters is missing: name the topic of the dead letters, such as reviews.raw.dlq",
		`pipelines[0].output.headers is "some": want copy or none`,
		"pipelines[0].output.max_record_bytes is 10: want at least 8192, or 0 for Kafka's default of 1048588",
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
	if err := (Config{Topic: "a", DeadLetters: "a"}).Validate("p"); err == nil {
		t.Error("got nil, want one topic for both refused")
	}
	if _, err := New(Config{}, fixed{}); err == nil {
		t.Error("got nil, want New to refuse what Validate does")
	}
}

func BenchmarkResult(b *testing.B) {
	config := Config{Topic: "reviews.scored", DeadLetters: "dlq"}
	builder, err := New(config, fixed{value: bytes.Repeat([]byte("x"), 250)})
	if err != nil {
		b.Fatal(err)
	}
	row := scored(review())
	b.ReportAllocs()
	for b.Loop() {
		if _, fault := builder.Result(row); fault != nil {
			b.Fatal(fault)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reviews/s")
}
