//go:build synctests

package kafkatest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// Report says what became of every record of the loads. All counts of a build that keeps its promise are zero.
type Report struct {
	Lost       int // no effect at all
	Doubled    int // effects beyond the first
	Disordered int // effects of one key that come out before an earlier one's
	Misplaced  int // a result where a dead letter belongs, of the wrong class, a tombstone with a value, or the like
	Causeless  int // dead letters without a cause
	Unknown    int // outputs of no input
	Strangers  int // repeats whose source coordinates differ
	Open       int // partitions with a transaction that nobody ends
	Unread     int // partitions that could not be read to their end

	// Effects seen, and the first few things wrong, for people.
	Effects int
	Details []string
	// Numbers of the records without an effect.
	Missing []int
}

// Err is nil when nothing is wrong.
func (r Report) Err() error {
	if r.Lost+r.Doubled+r.Disordered+r.Misplaced+r.Causeless+r.Unknown+r.Strangers+r.Open+r.Unread == 0 {
		return nil
	}
	return fmt.Errorf("lost %d, doubled %d, disordered %d, misplaced %d, without cause %d, unknown %d, strangers %d, open transactions %d, unread %d:\n\t%s",
		r.Lost, r.Doubled, r.Disordered, r.Misplaced, r.Causeless, r.Unknown, r.Strangers, r.Open, r.Unread, strings.Join(r.Details, "\n\t"))
}

// AtLeastOnce is the report without what that promise permits.
func (r Report) AtLeastOnce() Report {
	r.Doubled, r.Disordered = 0, 0
	return r
}

func (r *Report) note(format string, args ...any) {
	if len(r.Details) < 12 {
		r.Details = append(r.Details, fmt.Sprintf(format, args...))
	}
}

// effect is one output record as a read-committed consumer sees it.
type effect struct {
	topic     string
	partition int32
	offset    int64
	number    int
	source    string
	class     string
	cause     string
	key       string
	null      bool
}

// Check reads the outputs to their end and says what became of the input. Members should have stopped or be at rest: it
// waits as long as a transaction may be left open.
func (w *World) Check() Report {
	w.Helper()
	var report Report
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		report.Open = 0
		for _, topic := range []string{Output, DeadLetters} {
			for _, p := range w.Cluster.PartitionInfos(topic) {
				if p.LastStableOffset != p.HighWatermark {
					report.Open++
				}
			}
		}
		if report.Open == 0 || time.Now().After(deadline) {
			break
		}
	}
	effects, unread := w.effects()
	report.Unread = unread
	report.judge(w.entries(), effects)
	if report.Open > 0 {
		report.note("%d partitions have an open transaction", report.Open)
	}
	return report
}

func (w *World) entries() []Entry {
	var all []Entry
	for _, l := range w.loads {
		all = append(all, l.Entries...)
	}
	return all
}

// effects reads the output topics to their ends.
func (w *World) effects() (found []effect, unread int) {
	ends := make(map[string]map[int32]int64)
	left := 0
	for _, topic := range []string{Output, DeadLetters} {
		ends[topic] = make(map[int32]int64)
		for _, p := range w.Cluster.PartitionInfos(topic) {
			if p.LastStableOffset > 0 {
				ends[topic][p.Partition] = p.LastStableOffset
				left++
			}
		}
	}
	if left == 0 {
		return nil, 0
	}
	client, err := w.Connection(w.Line()).Client(
		kgo.ConsumeTopics(Output, DeadLetters),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		w.Fatalf("make a reader: %v", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return found, left
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				found = append(found, read(r))
			}
			if r.Offset+1 == ends[r.Topic][r.Partition] {
				left--
			}
		})
	}
	return found, 0
}

func read(r *kgo.Record) effect {
	e := effect{topic: r.Topic, partition: r.Partition, offset: r.Offset, key: string(r.Key), null: r.Value == nil, number: -1}
	for _, h := range r.Headers {
		switch v := string(h.Value); h.Key {
		case headerNumber:
			if n, err := strconv.Atoi(v); err == nil {
				e.number = n
			}
		case headerSource:
			e.source = v
		case headerClass:
			e.class = v
		case headerCause:
			e.cause = v
		}
	}
	return e
}

// judge compares what was written with its effects.
func (r *Report) judge(entries []Entry, effects []effect) {
	r.Effects = len(effects)
	byNumber := make(map[int]*Entry, len(entries))
	for i := range entries {
		byNumber[entries[i].Number] = &entries[i]
	}
	first := make(map[int]effect, len(effects))
	// The highest input offset that a key has shown, by output topic.
	latest := make(map[string]int64)
	for _, e := range effects {
		entry := byNumber[e.number]
		if entry == nil {
			r.Unknown++
			r.note("%s[%d]@%d is the effect of nothing", e.topic, e.partition, e.offset)
			continue
		}
		if before, again := first[e.number]; again {
			r.Doubled++
			r.note("%d (%s, %v) has another effect at %s[%d]@%d, after %s[%d]@%d", e.number, entry.Kind, entry.At,
				e.topic, e.partition, e.offset, before.topic, before.partition, before.offset)
			if e.source != before.source {
				r.Strangers++
			}
		} else {
			first[e.number] = e
		}
		r.place(entry, e)
		if entry.Key != "" {
			in := e.topic + "/" + entry.Key
			if last, seen := latest[in]; seen && entry.At.Offset < last {
				r.Disordered++
				r.note("%d of key %s comes after a later one", e.number, entry.Key)
			}
			latest[in] = max(latest[in], entry.At.Offset)
		}
	}
	for i := range entries {
		if _, ok := first[entries[i].Number]; !ok {
			r.Lost++
			r.Missing = append(r.Missing, entries[i].Number)
			r.note("%d (%s, %v) has no effect", entries[i].Number, entries[i].Kind, entries[i].At)
		}
	}
}

// place says whether an effect is of the right sort.
func (r *Report) place(entry *Entry, e effect) {
	class := entry.Kind.class()
	wrong := ""
	switch {
	case class != "" && e.topic != DeadLetters:
		wrong = "it should be a dead letter"
	case class == "" && e.topic != Output:
		wrong = "it should be a result, and is a dead letter: " + e.cause
	case class != "" && pipeline.Class(e.class) != class:
		wrong = "its class is " + e.class
	case entry.Kind == Deletion && !e.null:
		wrong = "a tombstone has got a value"
	case entry.Kind != Deletion && entry.Kind != Keyless && e.null:
		wrong = "a value has become null"
	case e.key != entry.Key:
		wrong = "its key is " + e.key
	case e.source != entry.At.String():
		wrong = "its source is " + e.source
	}
	if wrong != "" {
		r.Misplaced++
		r.note("%d (%s, %v): %s", entry.Number, entry.Kind, entry.At, wrong)
	}
	if e.topic == DeadLetters && e.cause == "" {
		r.Causeless++
		r.note("%d (%s, %v) is a dead letter without a cause", entry.Number, entry.Kind, entry.At)
	}
}
