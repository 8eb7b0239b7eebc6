package columns

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nearline/features"
	"nearline/pipeline"
)

func TestSinceCountsToNowWhereTheRecordHasNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(27 * 365 * 24 * time.Hour) // bubbles begin in 2000
		made := time.Now().Add(-36 * time.Hour).UTC().Format(time.RFC3339)
		for _, at := range []int64{-1, 0, time.Now().Unix(), time.Now().UnixMicro(), 253_402_300_799_999, time.Now().UnixMilli()} {
			columns, reads, err := New("m", []pipeline.Column{{Name: "c"}}, declared(t, "c: {of: made, since: {}}"), nil, nil)
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
	columns, reads, err := New("m", []pipeline.Column{{Name: "c"}}, declared(t, "c: {of: made, since: {until: sent}}"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	row := eventOf(reads, map[string]pipeline.Value{"made": pipeline.StringValue("1000-01-01T00:00:00Z"), "sent": pipeline.StringValue("2000-01-01T00:00:00Z")})
	if numbers, _, fault := columns.Append(row, nil, nil); fault != nil || fmt.Sprint(numbers) != "[365242]" {
		t.Errorf("got %v, %v, want the 365242 days of a thousand years", numbers, fault)
	}
}

// asTime is a value of a test: a number where it is written as one.
func asTime(text string) pipeline.Value {
	if quoted, ok := strings.CutPrefix(text, "text "); ok {
		return pipeline.StringValue(quoted)
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return pipeline.Value{Kind: pipeline.Number, Str: text}
	}
	return pipeline.StringValue(text)
}

// A number in another unit than it was taken for would be of a far future, and its age 0.
func TestAnAmbiguousNumberHasNoAge(t *testing.T) {
	for _, c := range []struct{ since, made, want string }{
		{"{unit: 24h}", "76204800000", "19640.5"}, // 1972-06-01
		{"{unit: 24h}", "-144633600", "22196.5"},
		{"{unit: 24h}", "2764800000", "c: made is 2764800000, which in s is 2057-08-12, long after what it is compared with: say in which unit it is, as since.time_unit"},
		{"{unit: 24h, time_unit: ms}", "2764800000", "20490.5"}, // 1970-02-02
		{"{unit: 24h, time_unit: s}", "2764800000", "0"},
		{"{unit: 24h}", "76204800000000", "made is 76204800000000, which in ms is 4384-11-01"},
		{"{unit: 24h, time_unit: us}", "76204800000000", "19640.5"},
		{"{unit: 24h}", "1773230400", "0"}, // tomorrow, in any case
		{"{unit: 24h}", "text 2057-08-12T00:00:00Z", "0"},
		{"{unit: 1h, time_zone: Europe/Berlin}", "2026-03-10T12:00:00", "1"},
		{"{unit: 1h, until: sent, time_unit: ms}", "1209600000", "24"},
	} {
		columns, reads, err := New("m", []pipeline.Column{{Name: "c"}}, declared(t, "c: {of: made, since: "+c.since+"}"), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		row := eventOf(reads, map[string]pipeline.Value{"made": asTime(c.made), "sent": asTime("1296000000")})
		numbers, _, fault := columns.Append(row, nil, nil)
		got := fmt.Sprint(numbers[0])
		if fault != nil {
			got = fault.Cause
		}
		if got != c.want && (fault == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s, since %s: got %s, want %s", c.made, c.since, got, c.want)
		}
	}
}

func TestZonesAndUnitsOfTimesThatAreNoneAreRefused(t *testing.T) {
	column := Config{Since: &SinceConfig{TimesConfig: features.TimesConfig{Zone: "Local", Unit: "milliseconds"}}}
	got := fmt.Sprint(column.Validate("inputs.age"))
	for _, want := range []string{`inputs.age.since.time_zone is "Local": want`, `inputs.age.since.time_unit is "milliseconds": want s, ms, us or ns`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want it to say %q", got, want)
		}
	}
}
