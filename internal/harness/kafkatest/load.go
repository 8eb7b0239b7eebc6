//go:build synctests

package kafkatest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// Kind is what a record of a load is, and so what must become of it.
type Kind string

// The kinds of records.
const (
	Good     Kind = "good"     // a result
	Poison   Kind = "poison"   // does not decode
	Guilty   Kind = "guilty"   // the model fails on it
	Deadly   Kind = "deadly"   // the process ends on it
	Unfit    Kind = "unfit"    // its result cannot be encoded
	Refused  Kind = "refused"  // the broker refuses its result
	Deletion Kind = "deletion" // a tombstone
	Keyless  Kind = "keyless"  // a tombstone without a key
)

// class of the dead letter that a kind must become; "" when it must not.
func (k Kind) class() pipeline.Class {
	switch k {
	case Poison:
		return pipeline.ClassDecode
	case Guilty:
		return pipeline.ClassModel
	case Deadly:
		return pipeline.ClassCrash
	case Unfit:
		return pipeline.ClassEncode
	case Refused:
		return pipeline.ClassRefused
	case Keyless:
		return pipeline.ClassNoKey
	default:
		return ""
	}
}

// Entry is one record of a load, and where it went.
type Entry struct {
	Number int
	Kind   Kind
	Key    string // "" is no key
	At     pipeline.Coordinates
}

// Load is what was written to the input.
type Load struct {
	Entries []Entry
}

// Mix says what a load is made of.
type Mix struct {
	Records int
	Keys    int
	// Odd is how many in a thousand are of each kind other than Good.
	Odd map[Kind]int
	// Unkeyed is how many in a thousand have no key.
	Unkeyed int
}

// EveryKind is a mix that has some of all but what the broker refuses.
func EveryKind(records, keys int) Mix {
	return Mix{Records: records, Keys: keys, Unkeyed: 50,
		Odd: map[Kind]int{Poison: 30, Guilty: 20, Unfit: 20, Deletion: 40, Keyless: 10}}
}

// draw a load.
func (m Mix) draw(random *rand.Rand, from int) []Entry {
	entries := make([]Entry, m.Records)
	for i := range entries {
		e := Entry{Number: from + i, Kind: Good, Key: "k" + strconv.Itoa(random.IntN(max(m.Keys, 1)))}
		if random.IntN(1000) < m.Unkeyed {
			e.Key = ""
		}
		at := random.IntN(1000)
		for _, kind := range []Kind{Poison, Guilty, Unfit, Refused, Deletion, Keyless} {
			if at -= m.Odd[kind]; at < 0 {
				e.Kind = kind
				break
			}
		}
		switch {
		case e.Kind == Keyless:
			e.Key = ""
		case e.Kind == Deletion && e.Key == "":
			e.Key = "k0"
		}
		entries[i] = e
	}
	return entries
}

// Produce writes a load to the input and waits until it is there.
func (w *World) Produce(random *rand.Rand, mix Mix) *Load {
	return w.ProduceEntries(mix.draw(random, w.produced()))
}

func (w *World) produced() int {
	n := 0
	for _, l := range w.loads {
		n += len(l.Entries)
	}
	return n
}

// ProduceKinds writes one record of each kind in turn, each with a key of its own.
func (w *World) ProduceKinds(kinds ...Kind) *Load {
	from := w.produced()
	entries := make([]Entry, len(kinds))
	for i, kind := range kinds {
		entries[i] = Entry{Number: from + i, Kind: kind, Key: "k" + strconv.Itoa(from+i)}
		if kind == Keyless {
			entries[i].Key = ""
		}
	}
	return w.ProduceEntries(entries)
}

// ProduceEntries writes the entries in order.
func (w *World) ProduceEntries(entries []Entry) *Load {
	w.Helper()
	records := make([]*kgo.Record, len(entries))
	for i, e := range entries {
		r := &kgo.Record{Topic: Input, Headers: []kgo.RecordHeader{{Key: "n", Value: []byte(strconv.Itoa(e.Number))}}}
		if e.Key != "" {
			r.Key = []byte(e.Key)
		}
		if e.Kind != Deletion && e.Kind != Keyless {
			r.Value = fmt.Appendf(nil, "%s %d", e.Kind, e.Number)
		}
		records[i] = r
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := w.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		w.Fatalf("write the load: %v", err)
	}
	load := &Load{Entries: entries}
	for i, r := range records {
		load.Entries[i].At = pipeline.Coordinates{Topic: Input, Partition: r.Partition, Offset: r.Offset}
	}
	w.loads = append(w.loads, load)
	return load
}

// kindOf reads the kind back from a record's value.
func kindOf(value []byte) Kind {
	kind, _, _ := strings.Cut(string(value), " ")
	return Kind(kind)
}
