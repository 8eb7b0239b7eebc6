package producers

import (
	"strconv"
	"testing"
	"time"

	"nearline/pipeline"
)

func TestResultHasTheTimeOfWritingAndTellsOfItsInputs(t *testing.T) {
	now := time.Now()
	b := newBuilder(t, Config{}, fixed{value: []byte("v")}).WithTimes(pipeline.TopicTimes{Kept: 7 * 24 * time.Hour, After: time.Hour})
	for _, at := range []time.Time{
		time.UnixMilli(-1), time.UnixMilli(0), time.UnixMilli(now.Unix()), time.UnixMilli(now.UnixMicro()), time.UnixMilli(253_402_300_799_999),
		now.Add(-30 * 24 * time.Hour), now.Add(24 * time.Hour),
	} {
		record := review()
		record.Timestamp = at
		result, fault := b.Result(scored(record))
		if fault != nil {
			t.Fatal(fault)
		}
		for what, out := range map[string]pipeline.Output{"result": result, "tombstone": b.Tombstone(record)} {
			if got := header(t, out.Headers, "nearline-source-timestamp"); !out.Timestamp.IsZero() || got != strconv.FormatInt(at.UnixMilli(), 10) || out.Restamped == "" {
				t.Errorf("%s of %v: got timestamp %v, header %q and reason %q, want the time of writing, and the input's as a header", what, at, out.Timestamp, got, out.Restamped)
			}
		}
	}
	record := review()
	record.Timestamp = now.Add(-time.Hour)
	for what, out := range map[string]pipeline.Output{"tombstone": b.Tombstone(record)} {
		if !out.Timestamp.Equal(record.Timestamp) || header(t, out.Headers, "nearline-source-timestamp") != "" || out.Restamped != "" {
			t.Errorf("%s: got %+v, want the input's timestamp and no header", what, out)
		}
	}
	// The header counts when the result is measured.
	record.Timestamp = time.UnixMilli(-1)
	out, _ := b.Result(scored(record))
	limited, err := b.WithLimits(batchSize(out.Key, out.Value, out.Headers)-1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, fault := limited.Result(scored(record)); fault == nil {
		t.Error("a result that is a byte too large with its header passes")
	}
}

// Microseconds, taken for milliseconds, are of a year that RFC 3339 cannot say.
func TestLetterOfAnImplausibleTimestampIsReadable(t *testing.T) {
	for _, ms := range []int64{-1, 0, time.Now().Unix(), time.Now().UnixMicro(), 253_402_300_799_999, -1 << 57} {
		record := review()
		record.Timestamp = time.UnixMilli(ms)
		out := newBuilder(t, Config{}, fixed{}).DeadLetter(record, undecodable(), 1)
		if got := read(t, out).SourceTimestamp; !got.IsZero() && got.UnixMilli() != ms {
			t.Errorf("got %v, want the time of %d or none", got, ms)
		} else if got.IsZero() && header(t, out.Headers, "nearline-dlq-source-timestamp-ms") != strconv.FormatInt(ms, 10) {
			t.Errorf("the timestamp %d is nowhere in %s", ms, show(out.Headers))
		}
	}
}
