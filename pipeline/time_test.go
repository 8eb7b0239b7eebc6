package pipeline

import (
	"math"
	"testing"
	"time"
)

// asClient is what the Kafka client makes of a timestamp in milliseconds (kgo: timeFromMillis).
func asClient(ms int64) time.Time { return time.Unix(0, ms*1_000_000) }

func TestTimestampIsTheOneInTheTopicBeyondWhatTheClientCanCount(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 123e6, time.UTC).UnixMilli()
	for _, ms := range []int64{
		-1, 0, 1, -2, now / 1000, now, now * 1000, now*1000 + 1, lastPlausible, lastPlausible + 1, 253_402_300_799_999, -62_135_596_800_000,
		-lastPlausible - 1, 1<<57 - 1, -1 << 57,
	} {
		if got := Timestamp(asClient(ms)).UnixMilli(); got != ms {
			t.Errorf("got %d of a record with %d", got, ms)
		}
	}
	// The client's microseconds fall on plausible days at times; those of the topic never do.
	fell := 0
	for at := range int64(200_000) {
		micros := (now + at*977) * 1000
		if Plausible(asClient(micros)) {
			fell++
		}
		if Plausible(Timestamp(asClient(micros))) || Plausible(Timestamp(asClient(micros*1000))) {
			t.Fatalf("%d microseconds, or their nanoseconds, are plausible milliseconds", micros)
		}
	}
	if fell == 0 {
		t.Error("no microseconds look plausible to the client: this test shows nothing")
	}
}

func TestPlausibleTimestampsAreMilliseconds(t *testing.T) {
	now := time.Now().UnixMilli()
	for ms, want := range map[int64]bool{
		-1: false, 0: false, now / 1000: false, now: true, now * 1000: false, now * 1_000_000: false, now - 30*365*86_400_000: true,
		time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(): true, time.Date(2263, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(): false,
		253_402_300_799_999: false, math.MinInt64 / 1000: false,
	} {
		if got := Plausible(time.UnixMilli(ms)); got != want {
			t.Errorf("%d (%v): got %t, want %t", ms, time.UnixMilli(ms).UTC(), got, want)
		}
	}
	if Plausible(time.Time{}) {
		t.Error("no timestamp at all is plausible")
	}
	r := &Record{Timestamp: time.UnixMilli(now / 1000)}
	if at := time.UnixMilli(now); !r.Written(at).Equal(at) {
		t.Errorf("a record with seconds for milliseconds was written at %v, want now", r.Written(at))
	}
}

func TestTimestampsAreInheritedWhereTheTopicKeepsThemLongEnough(t *testing.T) {
	now := time.Now()
	week := TopicTimes{Kept: 7 * 24 * time.Hour, Before: 6 * 24 * time.Hour, After: time.Hour}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		topic TopicTimes
		at    time.Time
		want  Restamp
	}{
		"just now":                         {week, now, ""},
		"younger than half":                {week, ago(84*time.Hour - time.Second), ""},
		"half of the retention":            {week, ago(84 * time.Hour), RestampOld},
		"gone before it is written":        {week, ago(30 * 24 * time.Hour), RestampOld},
		"older than is taken":              {TopicTimes{Before: time.Hour}, ago(2 * time.Hour), RestampOld},
		"kept for ever":                    {TopicTimes{}, ago(30 * 24 * time.Hour), ""},
		"a little ahead":                   {week, ago(-time.Minute), ""},
		"ahead of what is taken":           {week, ago(-2 * time.Hour), RestampAhead},
		"ahead, where anything is taken":   {TopicTimes{Kept: time.Hour}, ago(-1000 * time.Hour), ""},
		"the brokers' own":                 {TopicTimes{Brokers: true}, now, RestampBroker},
		"none":                             {TopicTimes{}, time.UnixMilli(-1), RestampImplausible},
		"seconds":                          {TopicTimes{}, time.UnixMilli(now.Unix()), RestampImplausible},
		"microseconds":                     {TopicTimes{}, time.UnixMilli(now.UnixMicro()), RestampImplausible},
		"the year 9999":                    {TopicTimes{}, time.UnixMilli(253_402_300_799_999), RestampImplausible},
		"nothing to inherit, as of a line": {week, time.Time{}, ""},
	} {
		if got := c.topic.Restamp(&Record{Timestamp: c.at}, now); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got := (TopicTimes{}).Restamp(&Record{Timestamp: now, Unstamped: true}, now); got != RestampRefused {
		t.Errorf("a timestamp that was refused: got %q, want %q", got, RestampRefused)
	}
}

// A refusal for the timestamp is no fault of the record: what is made of it is published again with the time of writing, and not as a dead letter.
func TestNotesHaveARefusedTimestampLeftOut(t *testing.T) {
	c, program := new(Cycle), &Program{Decoder: new(plain)}
	record := &Record{Topic: "in", Offset: 7, Value: []byte("v"), Timestamp: time.Now()}
	refused := func(stamp time.Time) error {
		outputs := []Output{{Topic: "out", Source: record, Timestamp: stamp}}
		return c.notes.take(&RefusedError{Guilty: map[int]error{0: ErrTimestamp}}, outputs, []*Row{{Record: record}})
	}
	if err := refused(record.Timestamp); Assign(err) != BlameRecord {
		t.Errorf("got %v, want the cycle given back for the record's sake", err)
	}
	rows := c.decode(program, []*Record{record})
	if rows[0].Fault != nil || !record.Unstamped {
		t.Errorf("got fault %v and unstamped %t, want a good record whose timestamp is left out", rows[0].Fault, record.Unstamped)
	}
	// The time of writing is refused as well: there is nothing else to try.
	if err := refused(time.Time{}); Assign(err) != BlameRecord {
		t.Errorf("got %v", err)
	}
	if rows := c.decode(program, []*Record{record}); rows[0].Fault == nil || rows[0].Fault.Class != ClassRefused {
		t.Errorf("got fault %v, want one of class refused", rows[0].Fault)
	}
}
