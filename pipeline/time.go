package pipeline

import (
	"math"
	"time"
)

// Which timestamps are believed, and which timestamp a record gets. Every room that reads a record's timestamp, or gives one to a record that
// it writes, goes by what stands here.

// A record's timestamp is plausible from 1973-03-03 to 2262-04-11, in milliseconds since 1970. What lies outside is no time in milliseconds: -1 is
// Kafka's "none"; 0 is what a client sends that has no clock; seconds since 1970 lie below until the year 5138, as for the times that events
// themselves have; microseconds and nanoseconds lie above; and beyond 2262 nanoseconds since 1970 do not fit 64 bits, in which clients count them.
const (
	firstPlausible = 100_000_000_000
	lastPlausible  = math.MaxInt64 / 1_000_000
)

// Plausible says that a record may have been written at that time. The zero time, which stands for no timestamp at all, is not plausible.
func Plausible(timestamp time.Time) bool {
	ms := timestamp.UnixMilli()
	return ms >= firstPlausible && ms <= lastPlausible
}

// Written is when the record was written: its timestamp where that is plausible, and now otherwise.
func (r *Record) Written(now time.Time) time.Time {
	if Plausible(r.Timestamp) {
		return r.Timestamp
	}
	return now
}

// Timestamp is the time that a record has in its topic, of the one that the Kafka client (franz-go) makes of it.
//
// The client makes nanoseconds of milliseconds and lets them overflow: 9999-12-31 becomes a day of 1816, and microseconds become any time between 1677
// and 2262, now and then a plausible one. A product with 10⁶ = 2⁶·5⁶ loses no more than the upper 6 of 64 bits: 5⁶ has an inverse modulo 2⁵⁸. So the
// milliseconds are had again where they are below 2⁵⁷, and those of nanoseconds since 1970 become others that are as implausible.
func Timestamp(client time.Time) time.Time {
	ns := client.UnixNano()
	if ns%1_000_000 == 0 {
		return client // has not overflowed: 2⁶⁴ is no multiple of a million
	}
	return time.UnixMilli((ns >> 6) * inverse5to6 << 6 >> 6)
}

// inverse5to6 times 5⁶ is 1, modulo 2⁶⁴.
const inverse5to6 = 0x790fb65668c26139

// TopicTimes is what a topic does with timestamps. The zero value takes any, and keeps records whatever theirs are.
type TopicTimes struct {
	// Kept is how long after its timestamp the topic keeps a record (retention.ms); 0 is for ever.
	Kept time.Duration
	// Before and After are how far a timestamp may be from the broker's clock (message.timestamp.before.max.ms, message.timestamp.after.max.ms); 0 is
	// any distance.
	Before, After time.Duration
	// Brokers says that they put their own in place of the record's (message.timestamp.type=LogAppendTime).
	Brokers bool
}

// DefaultTopicTimes is what a topic does where nobody has changed Kafka's defaults (4.0).
func DefaultTopicTimes() TopicTimes { return TopicTimes{Kept: 7 * 24 * time.Hour, After: time.Hour} }

// Restamp says why a record does not have the timestamp of the record that it was made of; "" where it has.
type Restamp string

// The reasons, as metrics have them.
const (
	RestampImplausible Restamp = "implausible"     // the timestamp is none
	RestampOld         Restamp = "old"             // the topic would delete the record too soon, or does not take what is so old
	RestampAhead       Restamp = "ahead"           // the topic does not take what is so far ahead
	RestampBroker      Restamp = "log_append_time" // the brokers put theirs in its place
	RestampRefused     Restamp = "refused"         // the topic has refused it
)

// Restamp says whether a record that is made of another one may inherit its timestamp: one that is plausible, that the topic takes, and that leaves it at
// least half of the topic's retention. Otherwise it carries the time of writing, and the other one's in a header.
func (t TopicTimes) Restamp(of *Record, now time.Time) Restamp {
	age := now.Sub(of.Timestamp)
	switch {
	case of.Timestamp.IsZero():
		return "" // there is nothing to inherit
	case !Plausible(of.Timestamp):
		return RestampImplausible
	case t.Brokers:
		return RestampBroker
	case t.Kept > 0 && age >= t.Kept/2, t.Before > 0 && age > t.Before:
		return RestampOld
	case t.After > 0 && -age > t.After:
		return RestampAhead
	case of.Unstamped:
		return RestampRefused
	}
	return ""
}
