package stories

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	keys = 40
	// badEvery so many events is one that is not JSON.
	badEvery = 50
)

// event of a number: its id is in the value and in a header, as a bad one has no other.
func (s *story) event(number int) (*kgo.Record, event) {
	id := fmt.Sprintf("%s-%d", s.group, number)
	e := event{id: id, key: fmt.Sprintf("item-%d", number%keys), bad: number%badEvery == badEvery-1}
	value := fmt.Appendf(nil, `{"review_id": %q, "item_id": %q, "text": "Number %d is warm and light, and I would buy it again."}`,
		id, e.key, number)
	if e.bad {
		value = value[:len(value)/2]
	}
	return &kgo.Record{Key: []byte(e.key), Value: value, Headers: []kgo.RecordHeader{{Key: "event", Value: []byte(id)}}}, e
}

// send the next event, and enter it into the ledger before anybody can have read it.
func (s *story) send(failed func(error)) {
	record, e := s.event(s.written)
	s.written++
	s.ledger.write(e)
	s.writer.Produce(s.t.Context(), record, func(r *kgo.Record, err error) {
		if err != nil {
			failed(err)
			return
		}
		s.ledger.written(e.id, r.Partition, r.Offset)
	})
}

// produce events and wait until the brokers have them.
func (s *story) produce(n int) {
	s.t.Helper()
	for range n {
		s.send(func(err error) { s.t.Errorf("write an event: %v", err) })
	}
	ctx, cancel := s.withDeadline()
	defer cancel()
	s.must("write events", s.writer.Flush(ctx))
}

// load writes events at a steady rate until it is stopped.
type load struct {
	story *story
	end   context.CancelFunc
	wrote sync.WaitGroup
}

func (s *story) load(rate int) *load {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	l := &load{story: s, end: stop}
	l.wrote.Go(func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		due, last := 0.0, time.Now()
		for {
			select {
			case now := <-ticker.C:
				due, last = due+now.Sub(last).Seconds()*float64(rate), now
				for ; due >= 1; due-- {
					s.send(func(err error) { s.t.Errorf("write an event: %v", err) })
				}
			case <-ctx.Done():
				return
			}
		}
	})
	s.t.Cleanup(func() { stop(); l.wrote.Wait() })
	return l
}

// stop writing, and wait until the brokers have all of it.
func (l *load) stop() {
	l.story.t.Helper()
	l.end()
	l.wrote.Wait()
	ctx, cancel := l.story.withDeadline()
	defer cancel()
	l.story.must("write events", l.story.writer.Flush(ctx))
}
