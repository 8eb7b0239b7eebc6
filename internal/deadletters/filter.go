package deadletters

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nearline/internal/committed"
	"nearline/pipeline"
	"nearline/producers"
)

// Filter picks dead letters. The zero Filter picks all.
type Filter struct {
	Classes []pipeline.Class
	Cause   *regexp.Regexp
	// Since and Until bound the time of death: from Since on, before Until.
	Since, Until time.Time
	// Model is NAME or NAME/VERSION.
	Model  string
	Source Source
	// Places are letters that were named one by one; none means all.
	Places []Place
	// Left picks those that nobody has dealt with.
	Left bool
}

// Place of a letter in its topic.
type Place struct {
	Partition int32
	Offset    int64
}

// Picks says whether the filter lets a letter through.
func (f *Filter) Picks(l *producers.Letter) bool {
	switch {
	case len(f.Classes) > 0 && !slices.Contains(f.Classes, l.Class),
		f.Cause != nil && !f.Cause.MatchString(l.Cause),
		!f.Since.IsZero() && l.Time.Before(f.Since),
		!f.Until.IsZero() && !l.Time.Before(f.Until),
		f.Model != "" && f.Model != l.Model && f.Model != fmt.Sprintf("%s/%d", l.Model, l.Version):
		return false
	}
	return f.Source.holds(l.Source) && (len(f.Places) == 0 || slices.Contains(f.Places, Place{l.At.Partition, l.At.Offset}))
}

// narrow a partition to where the places are; it is false where none is.
func (f *Filter) narrow(part *committed.Part) bool {
	if len(f.Places) == 0 {
		return true
	}
	first, last := int64(math.MaxInt64), int64(-1)
	for _, place := range f.Places {
		if place.Partition == part.Partition {
			first, last = min(first, place.Offset), max(last, place.Offset)
		}
	}
	part.From, part.End = max(part.From, first), min(part.End, last+1)
	return part.From < part.End
}

// Source is a topic, one of its partitions, or one of its records. The zero Source is everywhere.
type Source struct {
	Topic string
	// Partition and Offset are below zero for all of them.
	Partition int32
	Offset    int64
}

// ParseSource reads TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/OFFSET.
func ParseSource(text string) (Source, error) {
	s := Source{Partition: -1, Offset: -1}
	topic, rest, more := strings.Cut(text, "/")
	s.Topic = topic
	wrong := topic == ""
	if more {
		partition, offset, exact := strings.Cut(rest, "/")
		n, err := strconv.ParseInt(partition, 10, 32)
		s.Partition = int32(n) //nolint:gosec // 32 bits were read
		wrong = wrong || err != nil || n < 0
		if exact {
			s.Offset, err = strconv.ParseInt(offset, 10, 64)
			wrong = wrong || err != nil || s.Offset < 0
		}
	}
	if wrong {
		return Source{}, fmt.Errorf("%q is no source: want TOPIC, TOPIC/PARTITION or TOPIC/PARTITION/OFFSET", text)
	}
	return s, nil
}

func (s Source) holds(c pipeline.Coordinates) bool {
	return s.Topic == "" ||
		s.Topic == c.Topic && (s.Partition < 0 || s.Partition == c.Partition && (s.Offset < 0 || s.Offset == c.Offset))
}

// ParsePlace reads PARTITION/OFFSET.
func ParsePlace(text string) (partition int32, offset int64, err error) {
	first, second, found := strings.Cut(text, "/")
	n, err := strconv.ParseInt(first, 10, 32)
	if err == nil {
		offset, err = strconv.ParseInt(second, 10, 64)
	}
	if !found || err != nil || n < 0 || offset < 0 {
		return 0, 0, fmt.Errorf("%q is no place in the topic: want PARTITION/OFFSET, as the list has them", text)
	}
	return int32(n), offset, nil //nolint:gosec // 32 bits were read
}
