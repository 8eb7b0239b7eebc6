package features

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nearline/pipeline"
)

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

func TestTimesAreReadAsProgramsWriteThem(t *testing.T) {
	berlin, micros, nanos := TimesConfig{Zone: "Europe/Berlin"}, TimesConfig{Unit: "us"}, TimesConfig{Unit: "ns"}
	for _, c := range []struct {
		text   string
		config TimesConfig
		want   string // in UTC; "" is no time
	}{
		// Numbers: up to the year 2100 seconds, on either side of 1970; what is larger are milliseconds.
		{"1769860800", TimesConfig{}, "2026-01-31T12:00:00Z"},
		{"1769860800000", TimesConfig{}, "2026-01-31T12:00:00Z"},
		{"1769860800.123", TimesConfig{}, "2026-01-31T12:00:00.123Z"},
		{"1.7698608e9", TimesConfig{}, "2026-01-31T12:00:00Z"},
		{"0", TimesConfig{}, "1970-01-01T00:00:00Z"},
		{"-144633600", TimesConfig{}, "1965-06-02T00:00:00Z"},
		{"-144633600000", TimesConfig{}, "1965-06-02T00:00:00Z"},
		{"76204800000", TimesConfig{}, "1972-06-01T00:00:00Z"},
		{"-2208988800", TimesConfig{}, "1900-01-01T00:00:00Z"},
		{"-2208988800000", TimesConfig{}, "1900-01-01T00:00:00Z"},
		{"4102444800", TimesConfig{}, "2100-01-01T00:00:00Z"},
		{"1769860800123456", TimesConfig{}, ""},
		{"76204800000", TimesConfig{Unit: "s"}, "4384-11-01T00:00:00Z"},
		{"1209600000", TimesConfig{Unit: "ms"}, "1970-01-15T00:00:00Z"},
		{"1769860800123456", micros, "2026-01-31T12:00:00.123Z"},
		{"1769860800123456789", nanos, "2026-01-31T12:00:00.123Z"},
		{"text 1769860800123456", micros, "2026-01-31T12:00:00.123Z"},
		{"text 1769860800", TimesConfig{}, ""},
		{"text 20260131", TimesConfig{}, ""},
		{"1e300", TimesConfig{Unit: "s"}, ""},
		// RFC 3339, in each of its spellings.
		{"2026-01-31T12:00:00Z", TimesConfig{}, "2026-01-31T12:00:00Z"},
		{"2026-01-31t12:00:00.25z", TimesConfig{}, "2026-01-31T12:00:00.25Z"},
		{"2026-01-31 12:00:00+01:30", TimesConfig{}, "2026-01-31T10:30:00Z"},
		{"2016-12-31T23:59:60Z", TimesConfig{}, "2017-01-01T00:00:00Z"},
		{"2016-12-31T15:59:60.5-08:00", TimesConfig{}, "2017-01-01T00:00:00.5Z"},
		{"2016-12-31T22:59:60Z", TimesConfig{}, ""},
		{"2016-12-31T23:59:61Z", TimesConfig{}, ""},
		// Jackson, PostgreSQL, Java's toString of two types, Ruby, and Python with and without a zone.
		{"2026-01-31T12:00:00.000+0000", TimesConfig{}, "2026-01-31T12:00:00Z"},
		{"2026-01-31 12:00:00.123456+00", TimesConfig{}, "2026-01-31T12:00:00.123456Z"},
		{"2026-01-31T12:00Z", TimesConfig{}, "2026-01-31T12:00:00Z"},
		{"2026-01-31T13:00+01:00[Europe/Paris]", TimesConfig{}, "2026-01-31T12:00:00Z"},
		{"2026-01-31 07:00:00 -0500", TimesConfig{}, "2026-01-31T12:00:00Z"},
		{"2026-01-31 12:00:00 UTC", TimesConfig{}, "2026-01-31T12:00:00Z"},
		{"2026-01-31T12:00:00.123456+00:00", berlin, "2026-01-31T12:00:00.123456Z"},
		{"2026-01-31T12:00:00.123456", TimesConfig{}, "2026-01-31T12:00:00.123456Z"},
		{"2026-01-31 12:00:00,5", TimesConfig{}, "2026-01-31T12:00:00.5Z"},
		{"2026-01-31T12:00:00.1234567890123", TimesConfig{}, "2026-01-31T12:00:00.123456789Z"},
		{"2026-01-31T12:00:00", berlin, "2026-01-31T11:00:00Z"},
		{"2026-07-31T12:00:00", berlin, "2026-07-31T10:00:00Z"},
		{"2026-07-31T12:00:00", TimesConfig{Zone: "-0330"}, "2026-07-31T15:30:00Z"},
		{"2026-07-31T12:00:00Z", berlin, "2026-07-31T12:00:00Z"},
		{"2026-07-31", TimesConfig{}, "2026-07-31T00:00:00Z"},
		{"2026-07-31", berlin, "2026-07-30T22:00:00Z"},
		{"2026-01-31T24:00:00", TimesConfig{}, "2026-02-01T00:00:00Z"},
		// And what is none.
		{"2026-02-30", TimesConfig{}, ""},
		{"2026-01-31T25:00:00Z", TimesConfig{}, ""},
		{"2026-01-31T24:00:01", TimesConfig{}, ""},
		{"2026-01-31T12:00:00+25:00", TimesConfig{}, ""},
		{"0000-01-31T12:00:00Z", TimesConfig{}, ""},
		{"31.01.2026", TimesConfig{}, ""},
		{"01/02/2026 12:00", TimesConfig{}, ""},
		{"2026-01-31T12:00:00[Europe/Paris]", TimesConfig{}, ""},
		{"yesterday", TimesConfig{}, ""},
		{"text ", TimesConfig{}, ""},
	} {
		p := &checks{}
		if c.config.validate(p, "v"); p.Err() != nil {
			t.Errorf("%v is refused: %v", c.config, p.Err())
		}
		view := NewView(ViewConfig{Name: "v", Key: "k", TimesConfig: c.config})
		got, err := view.TimeOf(asTime(c.text), "made.at")
		switch {
		case c.want == "" && (err == nil || !strings.HasPrefix(err.Error(), "made.at is no time: want ")):
			t.Errorf("%s with %+v: got %v, %v, want it refused", c.text, c.config, got, err)
		case c.want != "" && (err != nil || got.UTC().Format(time.RFC3339Nano) != c.want):
			t.Errorf("%s with %+v: got %v, %v, want %s", c.text, c.config, got.UTC(), err, c.want)
		}
	}
}

func TestZonesAndUnitsOfTimesThatAreNoneAreRefused(t *testing.T) {
	config := Config{Views: []ViewConfig{{Name: "v", Key: "k", TimesConfig: TimesConfig{Zone: "Berlin", Unit: "days"}, Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}}}}
	got := fmt.Sprint(config.Validate("features"))
	for _, want := range []string{
		`features.views[0].time_zone is "Berlin": want a name such as Europe/Berlin`, `features.views[0].time_unit is "days": want s, ms, us or ns`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want it to say %q", got, want)
		}
	}
}

func TestEventsBefore1973AreOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(27 * 365 * 24 * time.Hour) // bubbles begin in 2000
		view := NewView(ViewConfig{Name: "v", Key: "k", Time: "t", TimesConfig: TimesConfig{Zone: "+02:00"}, Fields: []FieldConfig{{Name: "n", Count: &CountConfig{}}}})
		emit, _, err := NewEmit(view, "updates", nil, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for said, want := range map[string]string{"76204800000": "1972-06-01T00:00:00Z", "-144633600": "1965-06-02T00:00:00Z", "1999-01-01T00:00:00": "1998-12-31T22:00:00Z"} {
			row := &pipeline.Row{Record: &pipeline.Record{Timestamp: time.Now()}, Read: []pipeline.Value{pipeline.StringValue("a"), asTime(said)}}
			if fault := emit.emit(row); fault != nil {
				t.Fatal(fault)
			}
			update, fault := view.DecodeUpdate(&pipeline.Record{Key: []byte("a"), Value: row.Beside[0].Value})
			if got := time.UnixMilli(update.At).UTC().Format(time.RFC3339); fault != nil || got != want {
				t.Errorf("%s: got %s, %v, want %s", said, got, fault, want)
			}
		}
	})
}
