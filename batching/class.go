package batching

import "strconv"

// Class says how urgent a row is. Rows go Online before Stream before Backfill, until a row has waited its class's
// DeviceConfig.MaxWait.
type Class uint8

// The classes, the most urgent first.
const (
	Online   Class = iota // a caller waits for the answer now
	Stream                // an event that has just happened
	Backfill              // history, in bulk: takes what the others leave
)

// classes is how many there are.
const classes = 3

func (c Class) String() string {
	switch c {
	case Online:
		return "online"
	case Stream:
		return "stream"
	case Backfill:
		return "backfill"
	}
	return "class " + strconv.Itoa(int(c))
}
