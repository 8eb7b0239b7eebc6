package stories

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// event that somebody wrote. Its id ends in its number, which rises within a key.
type event struct {
	id, key string
	bad     bool // it has to become a dead letter
	gone    bool // it was removed before it could be read, and has to become nothing
	// Where the brokers put it.
	partition int32
	offset    int64
}

func number(id string) int {
	n, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}

// place is where the order of a key is to be seen. The partition of the input is part of it, as the promise is about keys that
// stay in theirs.
type place struct{ topic, key, partition string }

// ledger reads all outputs as a read-committed consumer does, from the first to the last, and has a line for each event.
type ledger struct {
	story  *story
	client *kgo.Client
	done   chan struct{}

	mu      sync.Mutex // guards all below
	events  map[string]event
	outputs map[string][]*kgo.Record // by the id of the event
	next    map[string]int64         // offset after the last that was read, by topic/partition
	latest  map[place]int
	wrong   []string
	stalls  stalls
}

func newLedger(s *story) *ledger {
	l := &ledger{story: s, done: make(chan struct{}), events: map[string]event{}, outputs: map[string][]*kgo.Record{},
		next: map[string]int64{}, latest: map[place]int{}}
	l.stalls.begin(time.Now())
	return l
}

func openLedger(s *story) *ledger {
	s.t.Helper()
	l := newLedger(s)
	// Markers of transactions are read too: they are what a partition ends with.
	l.client = s.client(kgo.ConsumeTopics(s.scored, s.dead), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.MetadataMaxAge(time.Second))
	go func() {
		defer close(l.done)
		for {
			fetches := l.client.PollFetches(context.Background()) // until close
			if fetches.IsClientClosed() {
				return
			}
			l.mu.Lock()
			fetches.EachRecord(l.see)
			l.mu.Unlock()
		}
	}()
	return l
}

func (l *ledger) close() {
	l.client.Close()
	<-l.done
}

// write an event into the ledger.
func (l *ledger) write(events ...event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.events[e.id] = e
	}
}

// written says where the brokers put an event.
func (l *ledger) written(id string, partition int32, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.events[id]
	e.partition, e.offset = partition, offset
	l.events[id] = e
}

// inPartition is how many events are in each partition.
func (l *ledger) inPartition() map[int32]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := map[int32]int{}
	for _, e := range l.events {
		n[e.partition]++
	}
	return n
}

// remove the events of a partition from one offset on and before another, which nobody can have read.
func (l *ledger) remove(partition int32, from, before int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.events {
		if e.partition == partition && e.offset >= from && e.offset < before {
			e.gone = true
			l.events[id] = e
		}
	}
}

// see an output. The mutex is held.
func (l *ledger) see(r *kgo.Record) {
	l.next[fmt.Sprintf("%s/%d", r.Topic, r.Partition)] = r.Offset + 1
	if r.Attrs.IsControl() {
		return
	}
	id, partition := header(r, "event"), header(r, "nearline-source-partition")+header(r, "nearline-dlq-source-partition")
	l.outputs[id] = append(l.outputs[id], r)
	l.stalls.see(partition, time.Now())
	at := place{topic: r.Topic, key: string(r.Key), partition: partition}
	if last, seen := l.latest[at]; seen && number(id) < last {
		l.note("%s of key %s comes after number %d, at %s[%d]@%d", id, r.Key, last, r.Topic, r.Partition, r.Offset)
	}
	l.latest[at] = max(l.latest[at], number(id))
}

// note what is wrong. The mutex is held.
func (l *ledger) note(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// effects is how many events have one.
func (l *ledger) effects() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.outputs)
}

// lacking says which events have no effect yet.
func (l *ledger) lacking() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, one := 0, ""
	for id, e := range l.events {
		if len(l.outputs[id]) == 0 && !e.gone {
			n, one = n+1, id
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d have none, such as %s", n, len(l.events), one)
	}
	return nil
}

// outputsByID of the event, copied.
func (l *ledger) outputsByID() map[string][]*kgo.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.outputs)
}

// readToEnds reads everything that the output topics hold. Nobody writes to them any more; what was left open by a replica that was
// killed is first to time out.
func (l *ledger) readToEnds() {
	s := l.story
	s.t.Helper()
	s.await("all outputs read", func(ctx context.Context) error {
		ends, err := s.admin.ListEndOffsets(ctx, s.scored, s.dead)
		if err != nil {
			return err
		}
		stable, err := s.admin.ListCommittedOffsets(ctx, s.scored, s.dead)
		if err := errors.Join(err, ends.Error(), stable.Error()); err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		ends.Each(func(end kadm.ListedOffset) {
			at := fmt.Sprintf("%s/%d", end.Topic, end.Partition)
			until, _ := stable.Lookup(end.Topic, end.Partition)
			if until.Offset < end.Offset || l.next[at] < end.Offset {
				err = fmt.Errorf("%s ends at %d, is stable up to %d, and was read up to %d", at, end.Offset, until.Offset, l.next[at])
			}
		})
		return err
	})
}

// judge whether every event has exactly the effect that it has to have.
func (l *ledger) judge() {
	t := l.story.t
	t.Helper()
	wrong, events, gone := l.verdict()
	if len(wrong) > 0 {
		t.Errorf("%d things are wrong with the outputs of %d events: want one for each, in order. The first:\n%s",
			len(wrong), events, strings.Join(wrong[:min(len(wrong), 10)], "\n"))
		return
	}
	t.Logf("%d events, each with one effect, in order; %d were gone", events-gone, gone)
}

func (l *ledger) verdict() (wrong []string, events, gone int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(l.events)) {
		e, outputs := l.events[id], l.outputs[id]
		switch {
		case e.gone:
			gone++
			if len(outputs) > 0 {
				l.note("%s was removed, and has an effect", id)
			}
		case len(outputs) == 0:
			l.note("%s is lost", id)
		case len(outputs) > 1:
			l.note("%s is doubled: it has %d effects", id, len(outputs))
		default:
			l.judgeOutput(e, outputs[0])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.outputs)) {
		if _, known := l.events[id]; !known {
			l.note("%q is unknown, and has an effect: it was aborted, or nobody wrote it", id)
		}
	}
	return l.wrong, len(l.events), gone
}

// judgeOutput of an event. The mutex is held.
func (l *ledger) judgeOutput(e event, r *kgo.Record) {
	if string(r.Key) != e.key {
		l.note("%s has the key %q, want %q", e.id, r.Key, e.key)
	}
	if e.bad {
		if class := header(r, "nearline-dlq-class"); r.Topic != l.story.dead || class != "decode" || header(r, "nearline-dlq-cause") == "" {
			l.note("%s is bad, and became a record of %s with class %q: want a dead letter of class decode with a cause", e.id, r.Topic, class)
		}
		return
	}
	var result struct {
		ID    string `json:"review_id"`
		Model string `json:"model"`
	}
	if err := json.Unmarshal(r.Value, &result); err != nil || r.Topic != l.story.scored || result.ID != e.id || result.Model == "" {
		l.note("%s became %s in %s (%v): want a result with its id", e.id, r.Value, r.Topic, err)
	}
}
