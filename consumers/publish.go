package consumers

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// Publish hands over all outputs and waits for every acknowledgement. The work on the records that Poll has returned is done by then, also where there is nothing to
// publish: other members may wait for that (see work).
//
// The end of a transaction does not look at them: a transaction whose records were all refused commits its offsets
// all the same, and the records are lost. So an error here must lead to Abort, never to Commit.
//
// A broker refuses a whole batch for one record in it. Which one that is, Publish finds out by publishing ever smaller parts
// of what was refused: the transaction is to be aborted anyway, and the model need not run again for it. An
// at-least-once member repeats the innocent ones by that.
//
// It waits for a broker that does not answer no longer than a rebalance waits for the cycle: by then the group has gone on
// without this member.
func (m *Member) Publish(ctx context.Context, outputs []pipeline.Output) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.config.Kafka.RebalanceTimeout, errUnheard)
	defer cancel()
	if err := m.work.survived(ctx); err != nil {
		return err
	}
	if err := m.beginTransaction(ctx); err != nil {
		return err
	}
	all := make([]int, len(outputs))
	for i := range all {
		all[i] = i
	}
	places := &sentPlaces{member: m}
	if m.session != nil { // an at-least-once member notes after its commit
		m.takePlaces()
		places = m.sendPlaces(ctx)
	}
	refused, err := m.send(ctx, outputs, all)
	if err != nil {
		return err
	}
	if err := places.flushed(ctx); err != nil || len(refused) == 0 {
		return err
	}
	guilty, patience := make(map[int]error), stampsTried
	if err := m.accuse(ctx, outputs, refused, guilty, &patience); err != nil {
		return err
	}
	if len(guilty) > 0 {
		return &pipeline.RefusedError{Guilty: guilty}
	}
	// Refused together, and not one by one: the broker takes smaller batches than the config says.
	suspects := make(map[int]error, len(refused))
	for _, r := range refused {
		suspects[r.index] = r.err
	}
	return &pipeline.RefusedError{Suspect: suspects}
}

// refusal of one output, perhaps only for what it was sent with.
type refusal struct {
	index int
	err   error
	alone bool
}

// accuse adds to guilty those of the refused outputs that are refused alone. It takes about 2k·log2(n) requests for k among
// n. Where a topic refuses the timestamps of whole cycles, that would be too many: after so many requests as patience has left, all that were refused
// with an inherited timestamp are guilty. Nothing is lost by that: they are published again with the time of writing.
func (m *Member) accuse(ctx context.Context, outputs []pipeline.Output, refused []refusal, guilty map[int]error, patience *int) error {
	if *patience <= 0 && accuseInherited(outputs, refused, guilty) {
		return nil
	}
	var suspects []int
	for _, r := range refused {
		if r.alone || len(refused) == 1 {
			guilty[r.index] = r.err
			continue
		}
		suspects = append(suspects, r.index)
	}
	half := len(suspects) / 2
	for _, part := range [][]int{suspects[:half], suspects[half:]} {
		if len(part) == 0 {
			continue
		}
		*patience--
		refused, err := m.send(ctx, outputs, part)
		if err != nil {
			return err
		}
		if err := m.accuse(ctx, outputs, refused, guilty, patience); err != nil {
			return err
		}
	}
	return nil
}

// stampsTried is how many requests may go to find out whose timestamp a topic refuses: enough for a few among thousands.
const stampsTried = 100

// accuseInherited adds all that were refused with an inherited timestamp, for its sake, and says whether there are any.
func accuseInherited(outputs []pipeline.Output, refused []refusal, guilty map[int]error) (any bool) {
	for _, r := range refused {
		if errors.Is(r.err, pipeline.ErrTimestamp) && !outputs[r.index].Timestamp.IsZero() {
			guilty[r.index], any = r.err, true
		}
	}
	return any
}

// What the client is handed before it is flushed. A cycle may have any number of outputs: a view that forgets keys has tombstones, a pipeline has
// updates beside its results. So its outputs are handed over in portions. The two bounds say what the client holds beside the outputs themselves: a
// kgo.Record for each output of a portion (about 200 bytes), and requests of at most as many bytes as the portion has.
//
// A default cycle without updates is one portion. Each further one costs a round trip to the brokers.
const (
	portionRecords = 10_000
	portionBytes   = 16 << 20
)

// portion says how many of the outputs picked the client is handed next: at least one.
func portion(outputs []pipeline.Output, picked []int) int {
	bytes := 0
	for n, index := range picked {
		if bytes += outputs[index].Size(); n == portionRecords || n > 0 && bytes > portionBytes {
			return n
		}
	}
	return len(picked)
}

// send publishes the outputs picked, one portion after the other, and says which were refused for their own sake or their neighbours', in order. An
// error is the broker's, or the end of ctx.
//
// After a refusal it goes on with the other portions: the cycle is aborted anyway, and the next attempt then knows all of the guilty.
func (m *Member) send(ctx context.Context, outputs []pipeline.Output, picked []int) ([]refusal, error) {
	var refused []refusal
	for len(picked) > 0 {
		n := portion(outputs, picked)
		more, err := m.publishPortion(ctx, outputs, picked[:n])
		if err != nil && (len(refused) == 0 || ctx.Err() != nil) {
			return nil, err
		}
		if err != nil {
			return refused, nil //nolint:nilerr // because of a refusal, as within a portion
		}
		refused, picked = append(refused, more...), picked[n:]
	}
	return refused, nil
}

// publishPortion hands the client one portion, and waits for it.
func (m *Member) publishPortion(ctx context.Context, outputs []pipeline.Output, picked []int) ([]refusal, error) {
	sent := sending{records: make([]kgo.Record, len(picked))}
	for i, index := range picked {
		if outputs[index].Alone && m.client.Flush(ctx) != nil {
			break
		}
		m.client.Produce(ctx, sent.record(i, &outputs[index]), sent.acknowledge)
		if outputs[index].Alone && m.client.Flush(ctx) != nil {
			break
		}
	}
	if m.client.Flush(ctx) != nil {
		// Only the end of ctx gets here. Giving up on requests in flight leaves the client in a state that is good for
		// nothing but Close, which is all that follows.
		m.client.UnsafeAbortBufferedRecords()
		sent.waiting.Wait()
		return nil, fmt.Errorf("publish: %w", context.Cause(ctx))
	}
	sent.waiting.Wait()
	return sent.refused(outputs, picked)
}

// sending follows outputs until each is acknowledged or refused.
type sending struct {
	records []kgo.Record
	waiting sync.WaitGroup

	mu     sync.Mutex // guards failed
	failed map[*kgo.Record]error
}

func (s *sending) record(i int, o *pipeline.Output) *kgo.Record {
	r := &s.records[i]
	r.Topic, r.Key, r.Value, r.Timestamp = o.Topic, o.Key, o.Value, o.Timestamp
	if len(o.Headers) > 0 {
		r.Headers = make([]kgo.RecordHeader, len(o.Headers))
		for j, h := range o.Headers {
			r.Headers[j] = kgo.RecordHeader(h)
		}
	}
	s.waiting.Add(1)
	return r
}

func (s *sending) acknowledge(r *kgo.Record, err error) {
	defer s.waiting.Done()
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = make(map[*kgo.Record]error)
	}
	s.failed[r] = err
}

// refused are the failures, where at least one of them is a refusal: the others then failed because of it.
func (s *sending) refused(outputs []pipeline.Output, picked []int) ([]refusal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failed) == 0 {
		return nil, nil
	}
	var refused []refusal
	var other error
	var to string // the topic of that
	for i := range s.records {
		err, failed := s.failed[&s.records[i]]
		switch {
		case !failed:
		case Refused(err):
			if errors.Is(err, kerr.InvalidTimestamp) {
				err = fmt.Errorf("%w: %w", pipeline.ErrTimestamp, err)
			}
			refused = append(refused, refusal{picked[i], err, outputs[picked[i]].Alone || len(picked) == 1})
		case other == nil, isAny(err, permanent): // others may have failed because of it
			other, to = err, s.records[i].Topic
		}
	}
	if len(refused) == 0 {
		return nil, fmt.Errorf("publish: %d of %d records failed, one of them to topic %s: %w", len(s.failed), len(s.records), to, blame(other))
	}
	return refused, nil
}
