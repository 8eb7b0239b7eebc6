package producers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"nearline/pipeline"
)

func TestDeadLetterIsTheOriginalWithItsStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the bubble's clock starts at 2000-01-01
		record := review()
		fault := &pipeline.Fault{Class: pipeline.ClassModel, Stage: pipeline.StagePredict, Cause: "the model said no", Model: "sentiment", Version: 7}
		out := newBuilder(t, Config{Headers: HeadersNone}, fixed{}).DeadLetter(record, fault, 2)
		if out.Topic != "reviews.raw.dlq" || !bytes.Equal(out.Key, record.Key) || !bytes.Equal(out.Value, record.Value) || out.Source != record {
			t.Errorf("got %+v, want the original", out)
		}
		if !out.Timestamp.IsZero() {
			t.Errorf("got timestamp %v, want none: retention counts from the failure", out.Timestamp)
		}
		want := show(record.Headers) + `nearline-dlq-class=model
nearline-dlq-stage=predict
nearline-dlq-cause=the model said no
nearline-dlq-attempt=2
nearline-dlq-time=2000-01-01T00:00:00Z
nearline-dlq-source-topic=reviews.raw
nearline-dlq-source-partition=3
nearline-dlq-source-offset=42
nearline-dlq-source-timestamp=2026-05-06T07:08:09.123Z
nearline-dlq-model=sentiment
nearline-dlq-model-version=7
`
		if got := show(out.Headers); got != want {
			t.Errorf("got headers\n%swant\n%s", got, want)
		}
	})
}

func undecodable() *pipeline.Fault {
	return pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode, "not JSON")
}

func TestReplayedDeadLetterTellsOnlyItsLastDeath(t *testing.T) {
	b := newBuilder(t, Config{}, fixed{})
	first := b.DeadLetter(review(), undecodable(), 1)
	again := &pipeline.Record{Topic: first.Topic, Offset: 9, Key: first.Key, Value: first.Value, Headers: first.Headers}
	out := b.DeadLetter(again, undecodable(), 1)
	if got := header(t, out.Headers, "nearline-dlq-source-offset"); got != "9" {
		t.Errorf("got source offset %s, want that of the replayed record, 9", got)
	}
}

func TestTombstonesDeadLetterIsNoEmptyRecords(t *testing.T) {
	b := newBuilder(t, Config{}, fixed{})
	record := review()
	record.Value = nil
	tombstone := b.DeadLetter(record, undecodable(), 1)
	record.Value = []byte{}
	empty := b.DeadLetter(record, undecodable(), 1)
	if tombstone.Value != nil || header(t, tombstone.Headers, "nearline-dlq-tombstone") != "true" {
		t.Errorf("got %+v, want a null value and a header that says so", tombstone)
	}
	if empty.Value == nil || header(t, empty.Headers, "nearline-dlq-tombstone") != "" {
		t.Errorf("got %+v, want an empty value and no such header", empty)
	}
}

func TestOriginalTooLargeForTheTopicBecomesAReference(t *testing.T) {
	b, err := newBuilder(t, Config{}, fixed{}).WithLimits(0, 16_000)
	if err != nil {
		t.Fatal(err)
	}
	record := review()
	record.Value = bytes.Repeat([]byte("\xff\x00ab"), 5000)
	out := b.DeadLetter(record, undecodable(), 1)
	var ref Reference
	if err := json.Unmarshal(out.Value, &ref); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(record.Value)
	want := Reference{Topic: "reviews.raw", Partition: 3, Offset: 42, Length: 20_000, SHA256: hex.EncodeToString(sum[:]),
		FirstBytes: base64.StdEncoding.EncodeToString(record.Value[:256])}
	if ref != want {
		t.Errorf("got %+v, want %+v", ref, want)
	}
	if got := header(t, out.Headers, "nearline-dlq-reference"); got != "true" {
		t.Errorf("got nearline-dlq-reference %q, want true", got)
	}
	if string(out.Key) != "B00A1" || header(t, out.Headers, "traceparent") == "" {
		t.Errorf("got key %q and headers %q, want both kept", out.Key, show(out.Headers))
	}
}

func TestDeadLetterShedsWhatWeighs(t *testing.T) {
	heavy := bytes.Repeat([]byte("x"), 20_000)
	for _, c := range []struct {
		name                string
		key, value, headers []byte
		reference, dropped  string
		keepsValue          bool
	}{
		{name: "nothing", key: []byte("k"), value: []byte("v"), headers: []byte("h"), keepsValue: true},
		{name: "headers", key: []byte("k"), value: []byte("v"), headers: heavy, dropped: "headers", keepsValue: true},
		{name: "value", key: []byte("k"), value: heavy, headers: []byte("h"), reference: "true"},
		{name: "value and headers", key: []byte("k"), value: heavy, headers: heavy, reference: "true", dropped: "headers"},
		{name: "key", key: heavy, value: []byte("v"), headers: []byte("h"), reference: "true", dropped: "key"},
		{name: "all", key: heavy, value: heavy, headers: heavy, reference: "true", dropped: "headers,key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := newBuilder(t, Config{}, fixed{}).WithLimits(0, 16_000)
			if err != nil {
				t.Fatal(err)
			}
			record := &pipeline.Record{Topic: "in", Key: c.key, Value: c.value, Headers: []pipeline.Header{{Key: "h", Value: c.headers}}}
			out := b.DeadLetter(record, undecodable(), 1)
			if got := header(t, out.Headers, "nearline-dlq-reference"); got != c.reference {
				t.Errorf("got reference %q, want %q", got, c.reference)
			}
			if got := header(t, out.Headers, "nearline-dlq-dropped"); got != c.dropped {
				t.Errorf("got dropped %q, want %q", got, c.dropped)
			}
			if got := bytes.Equal(out.Value, c.value); got != c.keepsValue {
				t.Errorf("value kept: got %v, want %v", got, c.keepsValue)
			}
		})
	}
}

func TestHeaderTextIsBoundedAndValid(t *testing.T) {
	fault := pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode, "%s", strings.Repeat("ü\xff", 4000))
	out := newBuilder(t, Config{}, fixed{}).DeadLetter(review(), fault, 1)
	got := header(t, out.Headers, "nearline-dlq-cause")
	if len(got) > 1024 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("got a cause of %d bytes, valid %v, ending %q; want at most 1024, valid, with an ellipsis", len(got), utf8.ValidString(got), got[len(got)-5:])
	}
}

func TestDeadLetterAlwaysFits(t *testing.T) {
	for seed := range uint64(300) {
		source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
		rng := rand.New(source)
		blob := func(most int) []byte {
			b := make([]byte, rng.IntN(1+rng.IntN(1+most)))
			_, _ = source.Read(b) // never fails
			return b
		}
		record := &pipeline.Record{Topic: string(blob(5000)), Partition: rng.Int32(), Offset: rng.Int64(), Key: blob(40_000), Value: blob(100_000)}
		for range rng.IntN(20) {
			record.Headers = append(record.Headers, pipeline.Header{Key: string(blob(3000)), Value: blob(3000)})
		}
		fault := &pipeline.Fault{Class: pipeline.Class(blob(500)), Stage: string(blob(500)), Cause: string(blob(5000)), Model: string(blob(3000)) + "m", Version: rng.Int()}
		limit := minMaxRecordBytes + rng.IntN(60_000)
		b, err := newBuilder(t, Config{}, fixed{}).WithLimits(0, limit)
		if err != nil {
			t.Fatal(err)
		}
		out := b.DeadLetter(record, fault, rng.Int())
		if got := batchSize(out.Key, out.Value, out.Headers); got > limit {
			t.Fatalf("seed %d: got a dead letter of %d bytes, want at most %d", seed, got, limit)
		}
	}
}

func TestLimitTooSmallForAnyDeadLetterIsRefused(t *testing.T) {
	_, err := newBuilder(t, Config{}, fixed{}).WithLimits(0, 100)
	want := "topic reviews.raw.dlq takes records of at most 100 bytes: raise its max.message.bytes to at least 8192"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
