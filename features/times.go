package features

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // images have no zones of their own

	"nearline/pipeline"
)

// TimesConfig says how times are read where they do not tell it themselves.
type TimesConfig struct {
	// Zone of texts without one: a name such as Europe/Berlin, or an offset such as +02:00; empty is UTC.
	Zone string `yaml:"time_zone"`
	// Unit of numbers since 1970, which may then be texts as well: s, ms, us or ns. Empty takes numbers up to the year 2100 in seconds for seconds, and
	// all others for milliseconds.
	Unit string `yaml:"time_unit"`
}

// timeUnits are what TimesConfig.Unit may be, by how many of them a second has.
var timeUnits = map[string]float64{"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}

// Validate names every problem, each with its key below path, its value and the remedy.
func (c TimesConfig) Validate(path string) error {
	p := &checks{}
	c.validate(p, path)
	return p.Err()
}

func (c TimesConfig) validate(p *checks, path string) {
	if _, err := zoneOf(c.Zone); err != nil {
		p.Add(path+".time_zone", "is %q: want a name such as Europe/Berlin, or an offset such as +02:00", c.Zone)
	}
	if _, ok := timeUnits[c.Unit]; !ok && c.Unit != "" {
		p.Add(path+".time_unit", "is %q: want s, ms, us or ns", c.Unit)
	}
}

// Times reads them. The zero value is what a configuration has that says nothing.
type Times struct {
	zone *time.Location
	unit float64 // how many a second has; 0 for a guess by the number
}

// NewTimes of a configuration that has been validated.
func NewTimes(c TimesConfig) Times {
	zone, err := zoneOf(c.Zone)
	if err != nil {
		zone = time.UTC
	}
	return Times{zone, timeUnits[c.Unit]}
}

// zoneOf a name or an offset.
func zoneOf(name string) (*time.Location, error) {
	for _, layout := range []string{"Z07:00", "Z0700", "Z07"} {
		if at, err := time.Parse(layout, name); err == nil && name != "" {
			_, offset := at.Zone()
			return time.FixedZone(name, offset), nil
		}
	}
	if name == "Local" { // which differs from machine to machine
		return nil, fmt.Errorf("%q is no zone", name)
	}
	return time.LoadLocation(name)
}

// Without a unit, a number up to this one is in seconds, which is the year 2100; beyond it and below 0 alike. As milliseconds it would be within 48 days of
// 1970-01-01. What is larger is in milliseconds, up to the year 5138: nobody can tell those of later years from microseconds.
const (
	mostSeconds = 4_102_444_800
	mostMillis  = 1e14
)

// TimeOf reads the time of an event as the view does. Path is where the value was, for the error.
func (v *View) TimeOf(value pipeline.Value, path string) (time.Time, error) {
	t, _, err := v.times.Read(value, path)
	return t, err
}

// Read the time that a value is. The guess is the unit that a number was taken to be in, if nobody has said it. The error begins with the path.
func (t *Times) Read(value pipeline.Value, path string) (at time.Time, guess string, err error) {
	ok := false
	switch value.Kind {
	case pipeline.String:
		if at, ok = t.ofText(value.Str); !ok && t.unit > 0 {
			// Protocol buffers write a number of 64 bits as a text.
			if number, numeric := (pipeline.Value{Kind: pipeline.Number, Str: value.Str}).Number(); numeric {
				at, _, ok = t.ofNumber(number)
			}
		}
	case pipeline.Number, pipeline.Int, pipeline.Float:
		if number, numeric := value.Number(); numeric {
			at, guess, ok = t.ofNumber(number)
		}
	}
	if ok && inTime(at.UnixMilli()) {
		return at, guess, nil
	}
	is := ""
	if text, scalar := value.Text(); scalar {
		is = fmt.Sprintf("; it is %q", pipeline.Shown(text))
	}
	return time.Time{}, "", fmt.Errorf("%s is no time: want one as in RFC 3339, such as 2026-01-31T12:00:00Z, or seconds or milliseconds since 1970, "+
		"or another unit where time_unit says so%s", path, is)
}

func (t *Times) ofNumber(number float64) (at time.Time, guess string, ok bool) {
	unit := t.unit
	switch size := math.Abs(number); {
	case unit > 0:
	case size <= mostSeconds:
		unit, guess = 1, "s"
	case size <= mostMillis:
		unit, guess = 1e3, "ms"
	default:
		return at, "", false
	}
	ms := math.Round(number * 1e3 / unit)
	if !(math.Abs(ms) <= lastMilli) {
		return at, "", false
	}
	return time.UnixMilli(int64(ms)), guess, true
}

// written is ISO 8601 as programs write it: RFC 3339, and beside it the offsets of Jackson (+0000) and PostgreSQL (+00), a space before them or the time,
// none as Python's isoformat has it, no seconds as Java's toString, which also names the zone in brackets, and a date alone.
var written = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?: ?(?:([Zz]|UTC|GMT)|([+-]\d\d)(?::?(\d\d))?)(?:\[[^\]]+\])?)?)?$`)

// ofText reads a time as ISO 8601 has it.
func (t *Times) ofText(text string) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, true
	}
	m := written.FindStringSubmatch(text)
	if m == nil {
		return time.Time{}, false
	}
	date, hour, minute, second, fraction, utc, sign, minutes := m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8]
	or := func(text, other string) string {
		if text == "" {
			return other
		}
		return text
	}
	hour, minute, second = or(hour, "00"), or(minute, "00"), or(second, "00")
	// What clocks show once in years, and once a day: read as the second before, and as the hour before.
	var later time.Duration
	leap := second == "60"
	if leap {
		second, later = "59", time.Second
	}
	if hour == "24" && minute == "00" && second == "00" && strings.Trim(fraction, "0") == "" && !leap {
		hour, later = "23", time.Hour
	}
	clock := date + "T" + hour + ":" + minute + ":" + second + "." + or(fraction, "0")
	var at time.Time
	var err error
	switch {
	case utc != "":
		at, err = time.Parse(time.RFC3339, clock+"Z")
	case sign != "":
		at, err = time.Parse(time.RFC3339, clock+sign+":"+or(minutes, "00"))
	default:
		zone := t.zone
		if zone == nil {
			zone = time.UTC
		}
		at, err = time.ParseInLocation("2006-01-02T15:04:05", clock, zone)
	}
	if err != nil {
		return time.Time{}, false
	}
	if leap { // is the last second of a day of UTC, wherever it is written down
		if u := at.UTC(); u.Hour() != 23 || u.Minute() != 59 {
			return time.Time{}, false
		}
	}
	return at.Add(later), true
}

// Unsure says that a number may have been meant in another unit than the one that was guessed: as it was taken it is of a future far beyond
// the time that it is compared with.
func Unsure(guess string, at, until time.Time) bool {
	return guess != "" && at.Sub(until) > 366*24*time.Hour
}
