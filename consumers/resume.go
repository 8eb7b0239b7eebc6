package consumers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// resumption is a member's part in Progress: where the partitions go on that it was given without an offset, and what has to be noted.
//
// The client asks for it between the assignment and the first fetch, on a goroutine of its own (resume). The places found are committed as
// soon as the member polls, by a transaction that holds nothing else (commitPlaces): the group has its offsets again, and so have all who watch its
// lag.
type resumption struct {
	client atomic.Pointer[kgo.Client] // known once partitions are assigned

	mu   sync.Mutex // guards all below
	from map[int32]int64
	// asked counts how often the places of all that the member holds were to be noted, done is how often that was so when they last were.
	asked, done int
	wake        context.CancelFunc // of the poll that waits; nil without one

	// Of the polling goroutine alone.
	id   string          // of the input, as it was last fetched from
	hand map[int32]place // written in the transaction that is open
	all  int             // asked, when hand was written
}

// place where a partition goes on, if the group had no offset of it.
func (r *resumption) place(partition int32) (int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.from[partition]
	return at, ok
}

// found is told where partitions go on, and that places are to be noted.
func (r *resumption) found(from map[int32]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.from == nil {
		r.from = make(map[int32]int64)
	}
	maps.Copy(r.from, from)
	r.asked++
	if r.wake != nil {
		r.wake()
	}
}

// due says whether the places of all that the member holds are to be noted.
func (r *resumption) due() (asked int, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked, r.asked > r.done
}

// waking is a context for a poll that ends when there is something to note.
func (r *resumption) waking(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked > r.done {
		cancel()
	}
	r.wake = cancel
	return ctx, cancel
}

// committed is told that what is in hand was committed.
func (r *resumption) committed() {
	r.hand = nil
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done = r.all; r.done == r.asked {
		r.from = nil
	}
}

// resume is the client's question where to begin in partitions that it was given, with the offsets that the group has of them.
func (m *Member) resume(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	progress, topic := m.config.Progress, m.config.Topic
	committed := make(map[int32]int64)
	var missing []int32
	for partition, offset := range offsets[topic] {
		if at := offset.EpochOffset().Offset; at >= 0 {
			committed[partition] = at
		} else {
			missing = append(missing, partition)
		}
	}
	due, err := progress.differs(ctx, committed)
	if err != nil {
		return nil, err
	}
	from, seeks := make(map[int32]int64), make(map[int32]kgo.EpochOffset)
	if len(missing) > 0 {
		found, err := progress.resume(ctx, missing)
		if err != nil {
			return nil, err
		}
		for partition, at := range found {
			if at.note != "" && m.config.Note != "" && at.note != m.config.Note {
				return nil, m.config.statesError(partition, at)
			}
			from[partition], seeks[partition] = at.offset, kgo.EpochOffset{Epoch: -1, Offset: at.offset}
			if !at.lost.IsZero() {
				m.config.Metrics.resumed()
				m.config.Logger.Warn("the group has lost its offset of a partition, and goes on where it was; to have it begin anew, stop it and set its offsets",
					"group", m.config.Group, "topic", topic, "partition", partition, "offset", at.offset, "noted", at.lost.UTC().Format(time.RFC3339),
					"remedy", "let it not stand still for longer than the brokers' offsets.retention.minutes, or raise that")
			}
		}
	}
	if due || len(seeks) > 0 {
		// The client is told so, rather than by the answer, for what was set is committed even where nothing is read.
		m.resumes.client.Load().SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: seeks})
		m.resumes.found(from)
	}
	return offsets, nil
}

// commitPlaces notes and commits where partitions go on, outside of any cycle. An error that wraps pipeline.ErrRebalanced leaves it to be done again.
func (m *Member) commitPlaces(ctx context.Context) error {
	if _, due := m.resumes.due(); !due || m.config.Progress == nil {
		return nil
	}
	if m.session == nil {
		return m.commitOffsets(ctx)
	}
	ctx, cancel := m.inTime(m.vouching(ctx))
	defer cancel()
	if err := m.beginTransaction(ctx); err != nil {
		return err
	}
	m.takePlaces()
	if err := m.sendPlaces(ctx).flushed(ctx); err != nil {
		return err
	}
	if len(m.client.UncommittedOffsets()) == 0 {
		if err := m.unmoved(ctx); err != nil {
			return errors.Join(err, m.Abort(ctx))
		}
	}
	return m.endTransaction(ctx)
}

// unmoved asks whether the group stands where the places in hand say. A transaction without offsets is not refused to a member that the group has given up,
// and might note places that others have left behind. It is asked while the transaction is open: should the member freeze after that, whoever takes over
// its partitions ends the transaction (see orphans).
func (m *Member) unmoved(ctx context.Context) error {
	group, _, err := m.stableOffsets(ctx, slices.Collect(maps.Keys(m.resumes.hand)))
	if err != nil {
		return err
	}
	for partition, at := range m.resumes.hand {
		if theirs, found := group[partition]; !found || theirs != at.Offset {
			return fmt.Errorf("note places as %s: the group stands elsewhere in partition %d than at %d: %w", m.config.TransactionalID(), partition, at.Offset, errAborted)
		}
	}
	return nil
}

// sendPlaces hands over the places in hand. They have to be flushed.
func (m *Member) sendPlaces(ctx context.Context) *sentPlaces {
	sent := &sentPlaces{member: m}
	for partition, at := range m.resumes.hand {
		sent.waiting.Add(1)
		m.client.Produce(ctx, m.config.Progress.record(partition, at), sent.acknowledge)
	}
	return sent
}

// takePlaces takes in hand the places that the next commit is of; of all that the member holds, where that is due.
func (m *Member) takePlaces() {
	if m.config.Progress == nil {
		return
	}
	offsets := make(map[int32]int64)
	asked, due := m.resumes.due()
	if m.resumes.all = asked; due {
		for partition, at := range m.client.CommittedOffsets()[m.config.Topic] {
			offsets[partition] = at.Offset
		}
	}
	for partition, at := range m.client.UncommittedOffsets()[m.config.Topic] {
		offsets[partition] = at.Offset
	}
	m.resumes.hand = m.config.Progress.placesOf(m.resumes.id, m.config.Note, offsets)
}

// placesCommitted is told that the places in hand were committed.
func (m *Member) placesCommitted() {
	if m.config.Progress != nil {
		m.config.Progress.noted(m.resumes.hand)
	}
	m.resumes.committed()
}

// sentPlaces follows places until each is acknowledged.
type sentPlaces struct {
	member  *Member
	waiting sync.WaitGroup

	mu  sync.Mutex // guards err
	err error
}

func (s *sentPlaces) acknowledge(_ *kgo.Record, err error) {
	defer s.waiting.Done()
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// flushed is wait, after a flush.
func (s *sentPlaces) flushed(ctx context.Context) error {
	if s.member.client.Flush(ctx) != nil {
		s.member.client.UnsafeAbortBufferedRecords() // as in send
	}
	return s.wait(ctx)
}

// wait for the acknowledgements of what was flushed.
func (s *sentPlaces) wait(ctx context.Context) error {
	s.waiting.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	topic := s.member.config.Progress.name
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("write to topic %s: %w", topic, context.Cause(ctx))
	case errors.Is(s.err, kerr.UnknownTopicOrPartition), errors.Is(s.err, kerr.UnknownTopicID):
		s.member.config.Progress.forget() // and the next assignment makes it again
		return fmt.Errorf("write to topic %s, which is gone and is made again: %w", topic, s.err)
	case kafka.Explained(s.err):
		return fmt.Errorf("write to topic %s: %w", topic, s.err)
	default:
		return fmt.Errorf("write to topic %s: %w: allow the service to write it, or go without by kafka.progress_topic: off", topic, blame(s.err))
	}
}

// fetched notes the topic's id, as the client has just fetched from it.
func (m *Member) fetched(fetches kgo.Fetches) {
	fetches.EachTopic(func(t kgo.FetchTopic) {
		m.resumes.id = topicID(kadm.TopicID(t.TopicID).String())
	})
}
