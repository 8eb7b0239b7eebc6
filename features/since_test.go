package features

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"nearline/pipeline"
)

func TestSinceCountsToNowWhereTheRecordHasNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(27 * 365 * 24 * time.Hour) // bubbles begin in 2000
		made := time.Now().Add(-36 * time.Hour).UTC().Format(time.RFC3339)
		for _, at := range []int64{-1, 0, time.Now().Unix(), time.Now().UnixMicro(), 253_402_300_799_999, time.Now().UnixMilli()} {
			columns, reads, err := NewColumns("m", []pipeline.Column{{Name: "c"}}, declared(t, "c: {of: made, since: {}}"), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			row := eventOf(reads, map[string]pipeline.Value{"made": pipeline.StringValue(made)})
			row.Record.Timestamp = time.UnixMilli(at)
			if numbers, _, fault := columns.Append(row, nil, nil); fault != nil || fmt.Sprint(numbers) != "[1.5]" {
				t.Errorf("a record with timestamp %d: got %v, %v, want 1.5 days", at, numbers, fault)
			}
		}
	})
}

func TestSinceCountsBeyond292Years(t *testing.T) {
	columns, reads, err := NewColumns("m", []pipeline.Column{{Name: "c"}}, declared(t, "c: {of: made, since: {until: sent}}"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	row := eventOf(reads, map[string]pipeline.Value{"made": pipeline.StringValue("1000-01-01T00:00:00Z"), "sent": pipeline.StringValue("2000-01-01T00:00:00Z")})
	if numbers, _, fault := columns.Append(row, nil, nil); fault != nil || fmt.Sprint(numbers) != "[365242]" {
		t.Errorf("got %v, %v, want the 365242 days of a thousand years", numbers, fault)
	}
}
