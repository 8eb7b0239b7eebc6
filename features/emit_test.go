package features

import (
	"testing"
	"testing/synctest"
	"time"

	"nearline/pipeline"
)

func TestTheEventsOwnTimeWinsOverATimestampThatIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(27 * 365 * 24 * time.Hour) // bubbles begin in 2000
		now := time.Now()
		own := now.Add(-40 * 24 * time.Hour)
		for name, at := range map[string]int64{
			"none": -1, "zero": 0, "seconds": now.Unix(), "microseconds": now.UnixMicro(), "9999": 253_402_300_799_999, "2300": 10_413_792_000_000,
		} {
			for _, ttl := range []time.Duration{0, testTTL} {
				view := NewView(ViewConfig{Name: "v", Key: "k", Time: "t", TTL: ttl, Fields: []FieldConfig{{Name: "n", Count: &CountConfig{HalfLife: time.Minute}}}})
				emit, _, err := NewEmit(view, "updates", nil, nil, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				for text, want := range map[string]time.Time{
					own.Format(time.RFC3339Nano):                now.Add(-40 * 24 * time.Hour),
					now.Add(time.Hour).Format(time.RFC3339Nano): now, // it is of a future
					"": now, // the time of processing
				} {
					said := pipeline.StringValue(text)
					if text == "" {
						said = pipeline.Value{}
					}
					row := &pipeline.Row{Record: &pipeline.Record{Timestamp: time.UnixMilli(at)}, Read: []pipeline.Value{pipeline.StringValue("a"), said}}
					if fault := emit.emit(row); fault != nil {
						t.Fatalf("%s: %v", name, fault)
					}
					update, fault := view.DecodeUpdate(&pipeline.Record{Key: []byte("a"), Value: row.Beside[0].Value})
					if fault != nil || update.At != want.UnixMilli() {
						t.Errorf("%s, said %q: got %v, %v, want %v", name, said.Str, time.UnixMilli(update.At), fault, want)
					}
					if future := said.Kind != pipeline.Null && want.Equal(now); update.Alone != future {
						t.Errorf("%s, said %q: alone is %t, want %t: a row of this event has only the time that it claims", name, said.Str, update.Alone, future)
					}
					if !row.Beside[0].Timestamp.IsZero() {
						t.Errorf("%s: the update has timestamp %v, want the time of writing", name, row.Beside[0].Timestamp)
					}
				}
			}
		}
	})
}
