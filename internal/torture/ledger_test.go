package torture

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

var names = topics{input: "in", output: "out", deadLetters: "dlq"}

// effect is an output record of an input record.
func effect(topic string, offset int64, key, value string) *kgo.Record {
	r := &kgo.Record{Topic: topic}
	if key != "" {
		r.Key = []byte(key)
	}
	if value != "" {
		r.Value = []byte(value)
	}
	prefix := "nearline-source-"
	if topic == names.deadLetters {
		prefix = "nearline-dlq-source-"
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "nearline-dlq-cause", Value: []byte("it is bad")},
			kgo.RecordHeader{Key: "nearline-dlq-class", Value: []byte(value)})
	}
	r.Headers = append(r.Headers,
		kgo.RecordHeader{Key: prefix + "topic", Value: []byte(names.input)},
		kgo.RecordHeader{Key: prefix + "partition", Value: []byte("0")},
		kgo.RecordHeader{Key: prefix + "offset", Value: fmt.Append(nil, offset)})
	return r
}

func TestLedgerKnowsEveryRecord(t *testing.T) {
	input := []*kgo.Record{
		{Offset: 0, Key: []byte("a"), Value: []byte(`{"review_id": "0"}`)},
		{Offset: 1, Key: []byte("a"), Value: []byte(`{"review_id": "1`)},
		{Offset: 2, Key: []byte("a")},
		// Offset 3 is the end of a transaction.
		{Offset: 4, Value: []byte(`{"review_id": "4"}`)},
	}
	first, bad, gone, unkeyed := effect("out", 0, "a", "{}"), effect("dlq", 1, "a", "decode"), effect("out", 2, "a", ""), effect("out", 4, "", "{}")
	causeless := effect("dlq", 1, "a", "decode")
	causeless.Headers = causeless.Headers[1:]
	for name, c := range map[string]struct {
		output []*kgo.Record
		want   Counts
	}{
		"all is right":               {[]*kgo.Record{first, gone, unkeyed, bad}, Counts{Results: 3, DeadLetters: 1}},
		"one is lost":                {[]*kgo.Record{first, unkeyed, bad}, Counts{Results: 2, DeadLetters: 1, Lost: 1}},
		"one is doubled":             {[]*kgo.Record{first, gone, unkeyed, unkeyed, bad}, Counts{Results: 4, DeadLetters: 1, Doubled: 1}},
		"out of order":               {[]*kgo.Record{gone, first, unkeyed, bad}, Counts{Results: 3, DeadLetters: 1, OutOfOrder: 1}},
		"a bad one scored":           {[]*kgo.Record{first, effect("out", 1, "a", "{}"), gone, unkeyed}, Counts{Results: 4, Misplaced: 1}},
		"a good one a dead letter":   {[]*kgo.Record{effect("dlq", 0, "a", "crash"), gone, unkeyed, bad}, Counts{Results: 2, DeadLetters: 2, Uncaused: 1}},
		"a tombstone with a value":   {[]*kgo.Record{first, effect("out", 2, "a", "{}"), unkeyed, bad}, Counts{Results: 3, DeadLetters: 1, Misplaced: 1}},
		"no cause":                   {[]*kgo.Record{first, gone, unkeyed, causeless}, Counts{Results: 3, DeadLetters: 1, Uncaused: 1}},
		"another cause":              {[]*kgo.Record{first, gone, unkeyed, effect("dlq", 1, "a", "model")}, Counts{Results: 3, DeadLetters: 1, Uncaused: 1}},
		"an effect of nothing":       {[]*kgo.Record{first, gone, unkeyed, bad, effect("out", 3, "", "{}")}, Counts{Results: 4, DeadLetters: 1, Unknown: 1}},
		"an effect of the future":    {[]*kgo.Record{first, gone, unkeyed, bad, effect("out", 9, "", "{}")}, Counts{Results: 4, DeadLetters: 1, Unknown: 1}},
		"an output without a source": {[]*kgo.Record{first, gone, unkeyed, bad, {Topic: "out"}}, Counts{Results: 4, DeadLetters: 1, Unknown: 1}},
	} {
		l := newLedger(names)
		for _, r := range input {
			l.read(r)
		}
		for _, r := range c.output {
			l.see(r)
		}
		got := l.close()
		c.want.Records = 4
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v; %v", name, got, c.want, l.notes)
		}
		if (got.wrong() > 0) != (len(l.notes) > 0) {
			t.Errorf("%s: %d things are wrong, and told is %v", name, got.wrong(), l.notes)
		}
		if broken := (Report{Counts: got}).Err() != nil; broken != (name != "all is right") {
			t.Errorf("%s: broken is %v", name, broken)
		}
	}
	if (Report{}).Err() == nil {
		t.Error("a run without records has shown something")
	}
}

func TestLedgerTakesRefusalsWhereTheyAreExpected(t *testing.T) {
	for _, c := range []struct {
		expected bool
		want     Counts
	}{
		{true, Counts{Records: 2, DeadLetters: 2, Refused: 1, Uncaused: 1}}, // bad JSON is never refused
		{false, Counts{Records: 2, DeadLetters: 2, Uncaused: 2}},
	} {
		l := newLedger(names)
		l.refusals = c.expected
		l.read(&kgo.Record{Offset: 0, Value: []byte("{}")})
		l.read(&kgo.Record{Offset: 1, Value: []byte("{")})
		l.see(effect("dlq", 0, "", "refused"))
		l.see(effect("dlq", 1, "", "refused"))
		if got := l.close(); got != c.want {
			t.Errorf("expected: %v: got %+v, want %+v", c.expected, got, c.want)
		}
	}
}

func TestLedgerKnowsWhatHasToBecomeOfTheLoad(t *testing.T) {
	l := &load{keys: 3, random: rand.New(rand.NewPCG(1, 1))} //nolint:gosec // a load
	seen := map[kind]int{}
	for i := range 1000 {
		r := l.record(i)
		seen[wanted(r.Key, r.Value)]++
	}
	if seen[result] < 900 || seen[tombstone] == 0 || seen[undecodable] == 0 || len(seen) != 3 {
		t.Errorf("the load is %v: want mostly results, and some tombstones and dead letters", seen)
	}
	for fault, want := range map[Fault]kind{ModelSlow: result, ModelFail: failing, ModelHang: crashing, ModelCrash: crashing, OutOfMemory: crashing} {
		r := l.poison(7, fault)
		if got := wanted(r.Key, r.Value); got != want || r.Key == nil {
			t.Errorf("%s is %v, and has to become %v: want %v", fault, r, got, want)
		}
	}
	if got := wanted(nil, nil); got != keyless {
		t.Errorf("a tombstone of no key has to become %v", got)
	}
}
