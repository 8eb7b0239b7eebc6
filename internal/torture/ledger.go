package torture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/torture/faulty"
)

// kind is what has to become of an input record.
type kind uint8

const (
	absent kind = iota // no record has this offset: the end of a transaction upstream, say
	result
	tombstone
	undecodable // and what follows are dead letters, each of its class
	keyless
	failing
	crashing
)

// class of the dead letter that a record of this kind has to become, "" if none.
func (k kind) class() string {
	return [...]string{undecodable: "decode", keyless: "no_key", failing: "model", crashing: "crash"}[k]
}

func (k kind) String() string {
	if class := k.class(); class != "" {
		return "a dead letter of class " + class
	}
	return [...]string{"nothing", "a result", "a tombstone"}[k]
}

// Counts say what became of the records. All but Records, Results, DeadLetters, Refused and Aggregates are zero where the promise is kept.
type Counts struct {
	Records     int `json:"records"`
	Results     int `json:"results"`
	DeadLetters int `json:"dead_letters"`
	Refused     int `json:"refused"` // of the dead letters, those that the faults have the broker refuse
	Lost        int `json:"lost"`
	Doubled     int `json:"doubled"`
	OutOfOrder  int `json:"out_of_order"`
	Uncaused    int `json:"dead_letters_without_cause"` // dead letters without a cause: that is missing, of another class, or the record is a good one
	Misplaced   int `json:"misplaced"`                  // a result where a dead letter or a tombstone belongs, or the like
	Unknown     int `json:"unknown"`                    // outputs of no input
	Aggregates  int `json:"aggregates"`                 // items whose features were compared with what the input says
	Miscounted  int `json:"aggregates_wrong"`           // of which so many are others
	Misstamped  int `json:"timestamps_wrong"`           // results that have neither their input's timestamp nor tell of it
}

// wrong is how many things are.
func (c Counts) wrong() int {
	return c.Lost + c.Doubled + c.OutOfOrder + c.Uncaused + c.Misplaced + c.Unknown + c.Miscounted
}

// topics of a run.
type topics struct{ input, output, deadLetters string }

// prefix of the headers that say where a record of the topic comes from.
func (t topics) prefix(topic string) string {
	if topic == t.deadLetters {
		return "nearline-dlq-source-"
	}
	return "nearline-source-"
}

// ledger has a line for each input record, and counts what it sees of the outputs. Feed it all of the input first, then
// all of the outputs, each partition in its order. Not safe for concurrent use.
type ledger struct {
	topics topics
	// refusals are expected: a result or a tombstone may have become a dead letter by one.
	refusals bool
	input    map[int32][]line // by partition and offset
	latest   map[place]int64  // the highest input offset that a key has shown
	items    items
	counts   Counts
	notes    []string
}

type line struct {
	kind    kind
	effects uint8
	refused bool // the dead letter of a result that the broker was told to refuse
	means   bool // something for the view
	stamp   int64
	scored
}

// place is where the order of one key is to be seen: results and dead letters are different topics. The partition of the
// input is part of it, as the promise is about keys that stay in theirs.
type place struct {
	topic     string
	key       string
	partition int32
}

func newLedger(t topics) *ledger {
	return &ledger{topics: t, input: map[int32][]line{}, latest: map[place]int64{}}
}

// maxNotes is how many of the things that are wrong are told one by one.
const maxNotes = 20

func (l *ledger) note(format string, args ...any) {
	if len(l.notes) < maxNotes {
		l.notes = append(l.notes, fmt.Sprintf(format, args...))
	}
}

// wanted says what a record of the load has to become.
func wanted(key, value []byte) kind {
	switch {
	case value == nil && key == nil:
		return keyless
	case value == nil:
		return tombstone
	case !json.Valid(value):
		return undecodable
	case bytes.Contains(value, []byte(faulty.Fail)):
		return failing
	case bytes.Contains(value, []byte(faulty.Crash)), bytes.Contains(value, []byte(faulty.Hang)), bytes.Contains(value, []byte(faulty.Hungry)):
		return crashing
	default:
		return result
	}
}

func (l *ledger) read(r *kgo.Record) {
	lines := l.input[r.Partition]
	for int64(len(lines)) <= r.Offset {
		lines = append(lines, line{})
	}
	lines[r.Offset].kind, lines[r.Offset].stamp = wanted(r.Key, r.Value), r.Timestamp.UnixMilli()
	if lines[r.Offset].kind == result {
		lines[r.Offset].scored, lines[r.Offset].means = l.items.meaning(r)
	}
	l.input[r.Partition] = lines
	l.counts.Records++
}

// compareStamps: a result has its input's timestamp, or tells of it in a header and has one of this run.
func (l *ledger) compareStamps(r *kgo.Record, input int64) {
	told, stamp := header(r, "nearline-source-timestamp"), r.Timestamp.UnixMilli()
	if told == nil && stamp == input || string(told) == strconv.FormatInt(input, 10) && time.Since(r.Timestamp).Abs() < longestRun {
		return
	}
	l.counts.Misstamped++
	l.note("%s[%d]@%d has timestamp %d and tells of %q; its input has %d", r.Topic, r.Partition, r.Offset, stamp, told, input)
}

// longestRun is more than a run takes.
const longestRun = 7 * 24 * time.Hour

// see takes one output record.
func (l *ledger) see(r *kgo.Record) {
	isDead := r.Topic == l.topics.deadLetters
	prefix := l.topics.prefix(r.Topic)
	if isDead {
		l.counts.DeadLetters++
	} else {
		l.counts.Results++
	}
	source, partition, offset := header(r, prefix+"topic"), number(r, prefix+"partition"), number(r, prefix+"offset")
	lines := l.input[int32(partition)] //nolint:gosec // a number that does not fit is no partition of ours either
	if string(source) != l.topics.input || offset < 0 || offset >= int64(len(lines)) || lines[offset].kind == absent {
		l.counts.Unknown++
		l.note("%s[%d]@%d is the effect of %s[%d]@%d, which is not there", r.Topic, r.Partition, r.Offset, source, partition, offset)
		return
	}
	at := &lines[offset]
	if !isDead {
		l.compareStamps(r, at.stamp)
	}
	if at.effects++; at.effects > 1 {
		l.counts.Doubled++
		l.note("input [%d]@%d has effect number %d at %s[%d]@%d", partition, offset, at.effects, r.Topic, r.Partition, r.Offset)
	}
	at.refused = at.refused || isDead && at.kind == result
	l.judge(r, isDead, at.kind, fmt.Sprintf("input [%d]@%d", partition, offset))
	if r.Key == nil {
		return
	}
	in := place{topic: r.Topic, key: string(r.Key), partition: int32(partition)} //nolint:gosec // found above
	if last, seen := l.latest[in]; seen && offset < last {
		l.counts.OutOfOrder++
		l.note("input [%d]@%d of key %s comes at %s[%d]@%d, after @%d", partition, offset, r.Key, r.Topic, r.Partition, r.Offset, last)
	}
	l.latest[in] = max(l.latest[in], offset)
}

// judge whether the output is what was to become of the input.
func (l *ledger) judge(r *kgo.Record, isDead bool, want kind, input string) {
	class, cause := string(header(r, "nearline-dlq-class")), bytes.TrimSpace(header(r, "nearline-dlq-cause"))
	switch {
	case isDead && l.refusals && want.class() == "" && (class == "refused" || class == "too_large"):
		l.counts.Refused++
	case isDead && class != want.class():
		l.counts.Uncaused++
		l.note("%s should be %s, and %s[%d]@%d is a dead letter of class %q: %s", input, want, r.Topic, r.Partition, r.Offset, class, cause)
	case isDead && len(cause) == 0:
		l.counts.Uncaused++
		l.note("%s[%d]@%d is a dead letter without a cause", r.Topic, r.Partition, r.Offset)
	case isDead:
	case want != result && want != tombstone:
		l.counts.Misplaced++
		l.note("%s should be %s, and has a result at %s[%d]@%d", input, want, r.Topic, r.Partition, r.Offset)
	case (want == tombstone) != (r.Value == nil):
		l.counts.Misplaced++
		l.note("%s should be %s, and what is at %s[%d]@%d is not", input, want, r.Topic, r.Partition, r.Offset)
	}
}

// scored are the input records that became results and mean something for the view.
func (l *ledger) scored() (all []scored) {
	for _, lines := range l.input {
		for _, line := range lines {
			if line.means && !line.refused {
				all = append(all, line.scored)
			}
		}
	}
	return all
}

// close counts what has had no effect.
func (l *ledger) close() Counts {
	for _, partition := range slices.Sorted(maps.Keys(l.input)) {
		lines := l.input[partition]
		for offset := 0; offset < len(lines); offset++ {
			from := offset
			for offset < len(lines) && lines[offset].kind != absent && lines[offset].effects == 0 {
				offset++
			}
			if lost := offset - from; lost > 0 {
				l.counts.Lost += lost
				l.note("input [%d]@%d to @%d of %d, %d records, have no effect", partition, from, offset-1, len(lines), lost)
			}
		}
	}
	return l.counts
}

func header(r *kgo.Record, key string) []byte {
	for _, h := range r.Headers {
		if h.Key == key {
			return h.Value
		}
	}
	return nil
}

// number reads a header, -1 when it is none.
func number(r *kgo.Record, key string) int64 {
	n, err := strconv.ParseInt(string(header(r, key)), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
