package pipeline

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"nearline/internal/problems"
)

// Delivery is the promise of a pipeline.
type Delivery string

// The promises to choose from.
const (
	// ExactlyOnce publishes outputs and offsets in one transaction.
	ExactlyOnce Delivery = "exactly_once"
	// AtLeastOnce publishes, waits for every acknowledgement, then commits. A crash between the two repeats a
	// cycle; the repeats share only the source coordinates in their headers.
	AtLeastOnce Delivery = "at_least_once"
)

// CycleConfig bounds the unit of work of one member.
type CycleConfig struct {
	// MaxRecords that one cycle takes.
	MaxRecords int `yaml:"max_records"`
	// MaxBytes that one cycle takes, keys, values and headers together, as they are in memory. A cycle stops taking at the
	// poll that passes it. Its outputs may have twice as many, and 16MiB where that is more: cycles of heavy results take fewer records.
	MaxBytes ByteSize `yaml:"max_bytes"`
	// MaxTime that a cycle is predicted to take at the pace of the last ones. It stays far below the rebalance timeout,
	// since a rebalance waits for the cycle in hand.
	MaxTime time.Duration `yaml:"max_time"`
	// Members of the group that run in this process: while one commits, the others keep the model busy.
	Members int `yaml:"members"`
	// Shutdown is how long the cycle in hand may take to end and commit when the service is asked to stop.
	Shutdown time.Duration `yaml:"shutdown"`
}

// maxOutput is how heavy the outputs of a cycle may be, in bytes: they are in memory together until they are published. Twice what a cycle takes leaves
// room for results that have more in them than their events, and a floor keeps tiny cycles from being cut for the headers of their dead letters.
//
// A cycle is sized for it by the weight of earlier outputs. Where these say nothing of what comes, twice as much is the end: see Cycle.encode.
func (c CycleConfig) maxOutput() int { return max(2*int(c.MaxBytes), 16<<20) }

// DefaultCycle is what a pipeline gets that says nothing.
//
// MaxRecords is a guess on the safe side: at 300 reviews a second a cycle is cut by time, at 100,000 by number. MaxTime is what a rebalance
// has to wait for, and with it whoever takes over; shorter cycles cost next to nothing, since another member's rows keep the model
// busy over each commit: slots were busy for 0.985 to 0.990 of the time with cycles of 1 s, and 0.986 to 0.989 with 5 s (make bench
// ARGS='-only scoring', two runs of each in turn). Two members are the fewest that overlap a commit with scoring.
func DefaultCycle() CycleConfig {
	return CycleConfig{
		MaxRecords: 4096,
		MaxBytes:   32 << 20,
		MaxTime:    time.Second,
		Members:    2,
		Shutdown:   20 * time.Second,
	}
}

// Validate names every problem, each with its key below path, its value and the remedy.
func (c CycleConfig) Validate(path string) error {
	var p problems.List
	between := func(key string, got, low, high int64) {
		switch {
		case got < low:
			p.Add(path+"."+key, "is %d: want at least %d", got, low)
		case got > high:
			p.Add(path+"."+key, "is %d: want at most %d", got, high)
		}
	}
	between("max_records", int64(c.MaxRecords), 1, 1_000_000)
	between("max_bytes", int64(c.MaxBytes), 1<<10, 4<<30)
	between("members", int64(c.Members), 1, 100)
	if c.MaxTime < 10*time.Millisecond || c.MaxTime > 30*time.Second {
		p.Add(path+".max_time", "is %v: want between 10ms and 30s, below the rebalance timeout of 60s", c.MaxTime)
	}
	if c.Shutdown < time.Second {
		p.Add(path+".shutdown", "is %v: want at least 1s, so that the cycle in hand can commit", c.Shutdown)
	}
	if c.Shutdown > 24*time.Hour {
		p.Add(path+".shutdown", "is %v: want at most 24h", c.Shutdown)
	}
	return p.Err()
}

// ByteSize is a number of bytes. In a config it may carry a unit: 512KiB, 32MiB, 1GiB.
type ByteSize int64

// sizeLike is a size with a unit of another kind.
var sizeLike = regexp.MustCompile(`^\s*(\d+)\s*([kKmMgG])[iI]?[bB]?\s*$`)

// UnmarshalText reads a number with an optional unit, KiB, MiB, GiB or B.
func (b *ByteSize) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	shift := 0
	for _, unit := range []struct {
		suffix string
		shift  int
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"B", 0}} {
		if rest, ok := strings.CutSuffix(s, unit.suffix); ok {
			s, shift = strings.TrimSpace(rest), unit.shift
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		meant := ""
		if parts := sizeLike.FindSubmatch(text); parts != nil {
			meant = fmt.Sprintf("did you mean %s%siB? ", parts[1], bytes.ToUpper(parts[2]))
		}
		return fmt.Errorf("%q, which is not a size: %swant a number of bytes, or one with a unit such as 512KiB or 32MiB", text, meant)
	}
	*b = ByteSize(n << shift)
	return nil
}

func (b ByteSize) String() string {
	for _, unit := range []struct {
		suffix string
		shift  int
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if b != 0 && b%(1<<unit.shift) == 0 {
			return fmt.Sprintf("%d%s", b>>unit.shift, unit.suffix)
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
