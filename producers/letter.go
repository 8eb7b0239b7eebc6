package producers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"nearline/pipeline"
)

// Letter is a dead letter as it is read back: what Builder.DeadLetter wrote.
type Letter struct {
	At    pipeline.Coordinates // of the dead letter itself
	Class pipeline.Class
	Stage string
	Cause string
	// Attempt at which the record died, within the service.
	Attempt int
	Time    time.Time
	// Source is where the original was read.
	Source          pipeline.Coordinates
	SourceTimestamp time.Time // zero when the original had none
	Model           string    // "" when no model had a part in it
	Version         int
	// Key, Value and Headers are the original's, as far as the dead letter carries them. The value is nil for a tombstone, and
	// where there is a reference.
	Key, Value []byte
	Headers    []pipeline.Header
	// Dropped names what of the original was left out beside the value: key, headers.
	Dropped []string
	// Reference stands for a value that the topic did not take.
	Reference *Reference
}

// errNoLetter says that a record is no dead letter of ours.
var errNoLetter = errors.New("no dead letter of Nearline: the header " + deadLetterPrefix + "class is missing")

// ReadLetter reads a record of a dead letter topic. Whoever may write to the topic can write any header, so texts are cut to what
// Builder.DeadLetter writes.
func ReadLetter(r *pipeline.Record) (*Letter, error) {
	l := &Letter{At: r.Coordinates(), Key: r.Key, Value: r.Value}
	var known, reference bool
	var errs []error
	number := func(name, text string, bits int) int64 {
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			errs = append(errs, fmt.Errorf("the header %s%s is %q: want a number", deadLetterPrefix, name, text))
		}
		return n
	}
	moment := func(name, text string) time.Time {
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("the header %s%s is %q: want a time", deadLetterPrefix, name, text))
		}
		return t
	}
	for _, h := range r.Headers {
		name, ours := strings.CutPrefix(h.Key, deadLetterPrefix)
		if !ours {
			l.Headers = append(l.Headers, h)
			continue
		}
		value := clip(string(h.Value), maxText)
		switch name {
		case "class":
			l.Class, known = pipeline.Class(value), true
		case "stage":
			l.Stage = value
		case "cause":
			l.Cause = clip(string(h.Value), maxCause)
		case "attempt":
			l.Attempt = int(number(name, value, 32))
		case "time":
			l.Time = moment(name, value)
		case "source-topic":
			l.Source.Topic = value
		case "source-partition":
			l.Source.Partition = int32(number(name, value, 32)) //nolint:gosec // 32 bits were read
		case "source-offset":
			l.Source.Offset = number(name, value, 64)
		case "source-timestamp":
			l.SourceTimestamp = moment(name, value)
		case "model":
			l.Model = value
		case "model-version":
			l.Version = int(number(name, value, 32))
		case "dropped":
			l.Dropped = strings.Split(value, ",")
		case "reference":
			reference = value == "true"
		}
	}
	if !known {
		return nil, errNoLetter
	}
	if reference {
		l.Reference, l.Value = new(Reference), nil
		if err := json.Unmarshal(r.Value, l.Reference); err != nil {
			errs = append(errs, fmt.Errorf("the reference in place of the value: %w", err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return l, nil
}

// Whole says that the letter carries all of its original.
func (l *Letter) Whole() bool { return l.Reference == nil && len(l.Dropped) == 0 }

// Same says why a record is not the original that the letter tells of; nil when it is.
func (l *Letter) Same(r *pipeline.Record) error {
	switch ref := l.Reference; {
	case ref == nil && (!bytes.Equal(r.Value, l.Value) || (r.Value == nil) != (l.Value == nil)):
		return errors.New("its value is another one")
	case ref != nil && (int64(len(r.Value)) != ref.Length || hash(r.Value) != ref.SHA256):
		return fmt.Errorf("its value is another one: %d bytes with sha256 %s, not %d with %s", len(r.Value), hash(r.Value), ref.Length, ref.SHA256)
	case ref != nil && ref.KeySHA256 != "" && (int64(len(r.Key)) != ref.KeyLength || hash(r.Key) != ref.KeySHA256):
		return errors.New("its key is another one")
	case (ref == nil || ref.KeySHA256 == "") && !bytes.Equal(r.Key, l.Key):
		return errors.New("its key is another one")
	}
	return nil
}

// Replayed is how often the original had been replayed when it died, and where the first of all these records was read: the
// lineage goes on through every replay. Both are zero for a record that was never replayed.
func (l *Letter) Replayed() (attempt int, first string) { return replayed(l.Headers) }

func replayed(headers []pipeline.Header) (attempt int, first string) {
	for _, h := range headers {
		switch h.Key {
		case headerReplayAttempt:
			attempt, _ = strconv.Atoi(string(h.Value))
			if attempt < 0 || attempt > maxReplays {
				attempt = 0 // a header that somebody else made up counts as none
			}
		case headerReplaySource:
			first = clip(string(h.Value), maxPlace)
		}
	}
	return attempt, first
}

const (
	// maxReplays bounds what a header may say: nobody replays a record more often.
	maxReplays = 1_000_000
	// maxPlace bounds a place: a topic's name of 249 characters, two numbers, two slashes.
	maxPlace = 300
)

// The headers of replayed records, which their next dead letter keeps as it keeps all of the original's.
const (
	headerReplayAttempt = "nearline-replay-attempt"
	headerReplaySource  = "nearline-replay-source"
	headerReplayLetter  = "nearline-replay-letter"
)

// Replay builds the record that puts an original back into a topic: its key, its bytes and its headers, and beside them
// which attempt this is, where the record was read first, and the dead letter that it came from. The time is that of the
// replay, so that retention does not take it at once.
func (l *Letter) Replay(original *pipeline.Record, topic string) pipeline.Output {
	attempt, first := replayed(original.Headers)
	if first == "" {
		first = place(l.Source)
	}
	out := pipeline.Output{Topic: topic, Key: original.Key, Value: original.Value, Source: original}
	for _, h := range original.Headers {
		switch h.Key {
		case headerReplayAttempt, headerReplaySource, headerReplayLetter:
		default:
			out.Headers = append(out.Headers, h)
		}
	}
	out.Headers = append(out.Headers,
		pipeline.Header{Key: headerReplayAttempt, Value: strconv.AppendInt(nil, int64(attempt)+1, 10)},
		pipeline.Header{Key: headerReplaySource, Value: []byte(first)},
		pipeline.Header{Key: headerReplayLetter, Value: []byte(place(l.At))})
	return out
}

// place writes coordinates as topic/partition/offset. A topic's name has no slash.
func place(c pipeline.Coordinates) string {
	return fmt.Sprintf("%s/%d/%d", c.Topic, c.Partition, c.Offset)
}
