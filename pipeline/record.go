package pipeline

import (
	"fmt"
	"time"
)

// Record is one record of a topic, as it was read. Its bytes belong to the client that fetched them and are
// never written to.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte // nil when the record has no key
	Value     []byte // nil for a tombstone; empty is not a tombstone
	Headers   []Header
	Timestamp time.Time // as it stands in the topic, plausible or not; zero for what was read of no topic
	// Unstamped says that a topic has refused the timestamp for what was made of the record.
	Unstamped bool
	// Verdict says whether the record must not be worked on.
	Verdict Verdict
}

// Header is one header of a record. Keys may repeat.
type Header struct {
	Key   string
	Value []byte
}

// Coordinates name a record for good: they are its identity where an event has no id of its own.
type Coordinates struct {
	Topic     string
	Partition int32
	Offset    int64
}

func (c Coordinates) String() string { return fmt.Sprintf("%s[%d]@%d", c.Topic, c.Partition, c.Offset) }

// Coordinates of the record.
func (r *Record) Coordinates() Coordinates {
	return Coordinates{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// Tombstone says that the record deletes its key: the value is null, not merely empty.
func (r *Record) Tombstone() bool { return r.Value == nil }

// Size is the record's weight in memory, in bytes: key, value and headers.
func (r *Record) Size() int {
	return weigh(r.Key, r.Value, r.Headers)
}

func weigh(key, value []byte, headers []Header) int {
	size := len(key) + len(value)
	for _, h := range headers {
		size += len(h.Key) + len(h.Value)
	}
	return size
}

// Output is one record to publish. The partition is chosen by the key, as any Kafka client would; it is never the
// input's partition number.
type Output struct {
	Topic   string
	Key     []byte
	Value   []byte // nil publishes a tombstone
	Headers []Header
	// Timestamp is the input record's, where the output may inherit it; zero means the time of publishing.
	Timestamp time.Time
	// Restamped says why it may not.
	Restamped Restamp
	// Source is the input record that this is the one effect of, or with Beside, one more. Nil for the state of a Keeper, which many
	// records have changed.
	Source *Record
	// Beside says that this comes from a step and is beside the record's own output.
	Beside bool
	// Alone asks for a request of its own, so that a refusal can only be meant for this record.
	Alone bool
}

// Size is the output's weight in memory, in bytes: key, value and headers.
func (o *Output) Size() int { return weigh(o.Key, o.Value, o.Headers) }
