package pipeline

import (
	"errors"
	"fmt"
)

// Class says what kind of thing is wrong with a record. It goes into the dead letter's header, and dead letters are
// counted by it.
type Class string

// The classes of dead letters.
const (
	ClassDecode   Class = "decode"    // the bytes are not what the format says
	ClassInvalid  Class = "invalid"   // well formed, but a field is missing, empty or of the wrong type
	ClassTooLarge Class = "too_large" // larger than a limit, before or after the model
	ClassModel    Class = "model"     // the model failed on this row alone
	ClassCrash    Class = "crash"     // the process ended, more than once, with this record alone in its hands
	ClassEncode   Class = "encode"    // the answer cannot be written in the output's format
	ClassRefused  Class = "refused"   // the broker refused the result for the record's own fault
	ClassNoKey    Class = "no_key"    // a tombstone without a key deletes nothing
	ClassFull     Class = "full"      // a view has no room for another key
)

// Classes are all of them, each with what it says of a record.
func Classes() []struct {
	Class Class
	Means string
} {
	return []struct {
		Class Class
		Means string
	}{
		{ClassDecode, "the bytes are not what the format says"},
		{ClassInvalid, "well formed, but a field is missing, empty or of the wrong type"},
		{ClassTooLarge, "larger than a limit, before or after the model"},
		{ClassModel, "the model failed on this record alone"},
		{ClassCrash, "the process ended, more than once, with this record alone in its hands"},
		{ClassEncode, "the answer cannot be written in the output's format"},
		{ClassRefused, "the broker refused the result for the record's own fault"},
		{ClassNoKey, "a tombstone without a key deletes nothing"},
		{ClassFull, "a view has no room for another key"},
	}
}

// The stages of a cycle at which a record can fail, as dead letters name them.
const (
	StageFetch     = "fetch"
	StageDecode    = "decode"
	StagePredict   = "predict"
	StageAggregate = "aggregate"
	StageEncode    = "encode"
	StagePublish   = "publish"
)

// Fault is a record's own fault: it becomes a dead letter, and hurts nobody else.
type Fault struct {
	Class Class
	Stage string
	// Cause is one sentence for the person who reads the dead letter: what was wrong, and where.
	Cause string
	// Model and Version name the model that failed, if one did.
	Model   string
	Version int
}

// Faultf makes a fault with a formatted cause.
func Faultf(class Class, stage, format string, args ...any) *Fault {
	return &Fault{Class: class, Stage: stage, Cause: fmt.Sprintf(format, args...)}
}

func (f *Fault) Error() string { return fmt.Sprintf("%s: %s", f.Class, f.Cause) }

// Sentinels that decide what happens to a cycle. Rooms wrap their errors with them.
var (
	// ErrRuntime marks a failure of the model's runtime itself (out of memory, lost device): nobody's row is
	// guilty. The cycle aborts and backs off, and nothing is fetched meanwhile.
	ErrRuntime = errors.New("model runtime failed")
	// ErrAway is of the same kind, for what is not the model's: a store that a step is to wait for.
	ErrAway = errors.New("a step waits")
	// ErrPermanent marks what will not pass by itself (an ACL taken away, a topic deleted): retrying would only burn
	// the model, so the pipeline waits long, and says so in its health.
	ErrPermanent = errors.New("permanent")
	// ErrRebalanced marks a cycle that the group took back: it had no effect, and its records are read again by whoever
	// owns them now. It is no fault, and passes.
	ErrRebalanced = errors.New("the group took the cycle back")
	// ErrTimestamp marks a broker's refusal of a record for its timestamp.
	ErrTimestamp = errors.New("the timestamp is refused")
	// ErrStop marks what must end the process: going on would break a promise.
	ErrStop = errors.New("must stop")
)

// Blame says whose fault an error is.
type Blame uint8

// Whom an error is blamed on.
const (
	BlameNobody    Blame = iota // nil, or the caller's own cancellation
	BlameRecord                 // becomes a dead letter, or is taken with fewer others
	BlameRuntime                // abort, back off
	BlamePassing                // a broker or network fault that passes: abort, rebuild the member, go on
	BlamePermanent              // abort, rebuild, wait long, unhealthy
	BlameStop                   // end the process
)

func (b Blame) String() string {
	return [...]string{"nobody", "record", "runtime", "passing", "permanent", "stop"}[b]
}

// Assign says whose fault an error is. It is the only place that does.
func Assign(err error) Blame {
	var fault *Fault
	switch {
	case err == nil:
		return BlameNobody
	case errors.Is(err, ErrStop):
		return BlameStop
	case errors.Is(err, ErrRuntime), errors.Is(err, ErrAway):
		return BlameRuntime
	case errors.Is(err, ErrPermanent):
		return BlamePermanent
	case errors.As(err, &fault), errors.Is(err, errHeavy):
		return BlameRecord
	default:
		// The broker, the network, a rebalance, a fenced producer: the committed offsets are the truth, and a new
		// member resumes from them.
		return BlamePassing
	}
}
