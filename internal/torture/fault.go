package torture

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"nearline/internal/torture/faulty"
)

// Fault is one thing that is done to the processes.
type Fault string

// The faults. hook:NAME asks the operator's command for one of its own.
const (
	Kill   Fault = "kill"   // kill -9 of a replica; it is started again after a while
	Freeze Fault = "freeze" // SIGSTOP of a replica, and SIGCONT after a while, beyond the timeouts too
	Leave  Fault = "leave"  // a replica is asked to end, and started again after a while
	Join   Fault = "join"   // one replica more, for a while
	Hook   Fault = "hook"   // the operator's command is run, and chooses

	// The output topic takes no records of their size for a while: what is refused has to become dead letters.
	Refuse Fault = "refuse"

	// The Redis that has the features is killed, and comes back from an older snapshot, or empty.
	StoreOlder Fault = "store-older"

	// These are a record among the others, at whose word the faulty model does it.
	ModelSlow   Fault = "model-slow"
	ModelFail   Fault = "model-fail"
	ModelHang   Fault = "model-hang"  // beyond the timeout for it, by which the process ends
	ModelCrash  Fault = "model-crash" // a signal ends the process
	OutOfMemory Fault = "oom"         // the process takes more memory than it may have, and is killed for it
)

var faults = []Fault{Kill, Freeze, Leave, Join, Hook, Refuse, StoreOlder, ModelSlow, ModelFail, ModelHang, ModelCrash, OutOfMemory}

// words are what stands in the record of a fault of the model.
var words = map[Fault]string{
	ModelSlow:   strings.Repeat(faulty.Slow+" ", 20),
	ModelFail:   faulty.Fail,
	ModelHang:   faulty.Hang,
	ModelCrash:  faulty.Crash,
	OutOfMemory: faulty.Hungry,
}

// deadly says whether it ends a replica without the harness's doing.
func (f Fault) deadly() bool { return f == ModelHang || f == ModelCrash || f == OutOfMemory }

// asked is the fault that the operator's command is asked for, and whether it is the command's at all.
func (f Fault) asked() (string, bool) {
	if f == Hook {
		return "", true
	}
	return strings.CutPrefix(string(f), string(Hook)+":")
}

// Weight is how often a fault comes, against the others.
type Weight struct {
	Fault Fault
	Of    int
}

// DefaultFaults are those of every run that names none; with a command, its own too.
func DefaultFaults(hook bool) []Weight {
	weights := []Weight{{Kill, 4}, {Freeze, 3}, {Leave, 2}, {Join, 2}}
	if hook {
		weights = append(weights, Weight{Hook, 3})
	}
	return weights
}

// ParseFaults reads a list of kind or kind=weight.
func ParseFaults(list []string) ([]Weight, error) {
	var weights []Weight
	for _, item := range list {
		name, number, weighed := strings.Cut(item, "=")
		w := Weight{Fault: Fault(name), Of: 1}
		if weighed {
			of, err := strconv.Atoi(number)
			if err != nil || of < 1 || of > 1000 {
				return nil, fmt.Errorf("fault %q: want a weight between 1 and 1000, such as %s=3", item, name)
			}
			w.Of = of
		}
		if asked, ok := w.Fault.asked(); !slices.Contains(faults, w.Fault) && (!ok || asked == "") {
			return nil, fmt.Errorf("fault %q is not known: want %v, or hook:NAME", name, faults)
		}
		if w.Fault == ModelCrash && runtime.GOARCH != "amd64" {
			return nil, fmt.Errorf("fault %s: it is a division by zero, which ends no process on %s: want amd64", w.Fault, runtime.GOARCH)
		}
		weights = append(weights, w)
	}
	return weights, nil
}

// WantHook says whether one of them is the operator's command's.
func WantHook(weights []Weight) bool {
	return slices.ContainsFunc(weights, func(w Weight) bool {
		_, hook := w.Fault.asked()
		return hook
	})
}

// WantFaultyModel says whether one of them is the faulty model's.
func WantFaultyModel(weights []Weight) bool {
	return slices.ContainsFunc(weights, func(w Weight) bool { return words[w.Fault] != "" })
}

func anyDeadly(weights []Weight) bool {
	return slices.ContainsFunc(weights, func(w Weight) bool { return w.Fault.deadly() })
}

func anyOf(weights []Weight, f Fault) bool {
	return slices.ContainsFunc(weights, func(w Weight) bool { return w.Fault == f })
}
