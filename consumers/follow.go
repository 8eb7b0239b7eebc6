package consumers

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka/decompress"
	"nearline/pipeline"
)

// Following is how a topic of states is followed.
type Following struct {
	// Group of replicas that share the partitions, and go on where it stands; "" is nobody, and all is read from the beginning.
	Group string
	// Apply is handed each helping until it succeeds. What it is given may come again.
	Apply func(context.Context, []*pipeline.Record) error
	// CaughtUp, if set, is called once all that was committed in these partitions when it began has been applied.
	CaughtUp   func()
	Partitions int
	// Mark, if set, is handed the next offset of each partition that something was applied of, before these are committed, and where it is committed
	// until then: who applied what is before that may have been another replica. After an error it is tried again, unless that is ErrLeave.
	Mark func(ctx context.Context, committed, next map[int32]int64) error
}

// Follow reads a topic of states as it grows, read-committed: for whoever keeps a copy of the state. It returns when ctx ends.
func (s *StateTopic) Follow(ctx context.Context, f Following) error {
	group := f.Group
	life, kill := context.WithCancel(context.Background())
	defer kill()
	options := []kgo.Opt{
		kgo.WithContext(life),
		kgo.ConsumeTopics(s.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(int32(s.config.FetchMaxBytes)), //nolint:gosec // bounded by the config
	}
	marks := marking{mark: f.Mark, logger: s.logger, next: map[int32]int64{}}
	if group != "" {
		lost := func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) { marks.lose(partitions[s.topic]) }
		options = append(options,
			kgo.OnPartitionsRevoked(lost),
			kgo.OnPartitionsLost(lost),
			kgo.ConsumerGroup(group),
			kgo.Balancers(kgo.CooperativeStickyBalancer()),
			kgo.SessionTimeout(s.config.SessionTimeout),
			kgo.HeartbeatInterval(s.config.SessionTimeout/12),
			kgo.RebalanceTimeout(s.config.RebalanceTimeout),
			kgo.BlockRebalanceOnPoll(),
			kgo.DisableAutoCommit())
	}
	bound := boundOf(s.config)
	reader, err := s.client(bound, options...)
	if err != nil {
		return err
	}
	defer func() {
		// Without it, a group's coordinator that is away would be asked to let go for as long as it takes.
		patience := time.AfterFunc(leaveTimeout, kill)
		defer patience.Stop()
		reader.CloseAllowingRebalance()
	}()
	fences := map[int32]int64{} // by partition, the offsets of those that are still to come
	if f.CaughtUp != nil && !s.fences(ctx, f.Partitions, fences) {
		return nil
	}
	var (
		told   string    // the last trouble
		bad    badStates // that nothing has taken the place of
		stuck  bool      // at a batch that is refused
		caught bool      // up with the fences
		tries  int       // that brought nothing but errors
		whole  = true    // nothing was left out
	)
	for ctx.Err() == nil {
		waiting, stop := ctx, func() {}
		if whole {
			waiting, stop = marks.waiting(ctx)
		}
		fetches := reader.PollRecords(waiting, 10_000)
		stop()
		if ctx.Err() != nil {
			return nil
		}
		failed := false
		for _, e := range fetches.Errors() {
			if errors.Is(e.Err, context.DeadlineExceeded) {
				continue // it is time to mark what was applied
			}
			failed = true
			if errors.Is(e.Err, decompress.ErrFull) {
				continue // that passes once what was read is let go
			}
			if refused, ok := errors.AsType[*kgo.ErrDecompressTooLarge](e.Err); ok {
				s.logger.Error("a batch of states is refused, and the store gets no more of its partition", "error", refusedError(refused), "group", group)
				stuck = true
				continue
			}
			if told != e.Err.Error() {
				told = e.Err.Error()
				s.logger.Warn("the states of a view cannot be read for its store, which is tried again", "topic", e.Topic, "partition", e.Partition, "group", group, "error", explainDenial(e.Err))
			}
		}
		if fetches.NumRecords() == 0 && failed {
			// Of a topic that is gone, the client says so as fast as it is asked.
			if group != "" {
				reader.AllowRebalance()
			}
			if tries++; !sleep(ctx, retryBackoff(tries)) {
				return nil
			}
			continue
		}
		tries = 0
		passed := false
		records := make([]*pipeline.Record, 0, fetches.NumRecords())
		fetches.EachRecord(func(r *kgo.Record) {
			// A later one may have had ours compacted away.
			if fence, coming := fences[r.Partition]; coming && r.Offset >= fence {
				passed = true
				delete(fences, r.Partition)
			}
			if string(r.Key) == fenceKey {
				return
			}
			record := bound.Record(r)
			err := withheldError(record)
			if bad.note(record, err) {
				s.logger.Error("a state is not put into the store, which keeps an older one", "error", err, "group", group)
			}
			if err == nil {
				records = append(records, record)
			}
		})
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				marks.applied(p.Partition, p.Records[n-1].Offset+1)
			}
		})
		if len(records) > 0 && !s.until(ctx, records, f.Apply) {
			return nil
		}
		whole = !stuck && bad.err() == nil // what was left out is not done with, and is not marked
		if caught = caught || passed && len(fences) == 0; caught && whole && f.CaughtUp != nil {
			f.CaughtUp()
			caught, f.CaughtUp = false, nil
		}
		if group != "" && whole {
			commit, err := marks.due(ctx, reader.CommittedOffsets()[s.topic])
			if err != nil {
				return err
			}
			if commit {
				err = reader.CommitUncommittedOffsets(ctx)
			}
			if err != nil && ctx.Err() == nil && told != err.Error() {
				told = err.Error()
				s.logger.Warn("the offsets of a reader of states were not committed; what it has read comes again", "group", group, "error", err)
			}
		}
		if group != "" {
			reader.AllowRebalance()
		}
	}
	return nil
}

// fences writes one into each partition, and notes them; false is the end of ctx.
func (s *StateTopic) fences(ctx context.Context, partitions int, written map[int32]int64) bool {
	for p := range partitions {
		for tries := 0; ; tries++ {
			offset, err := s.fence(ctx, int32(p)) //nolint:gosec // a topic's
			if err == nil {
				written[int32(p)] = offset //nolint:gosec // a topic's
				break
			}
			if tries == 0 && ctx.Err() == nil {
				s.logger.Warn("the end of a view's states cannot be marked, which is tried again", "topic", s.topic, "partition", p, "error", err)
			}
			if !sleep(ctx, retryBackoff(tries)) {
				return false
			}
		}
	}
	return true
}

// sleep is false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// until apply succeeds, which is true, or ctx ends.
func (s *StateTopic) until(ctx context.Context, records []*pipeline.Record, apply func(context.Context, []*pipeline.Record) error) bool {
	for tries := 0; ; tries++ {
		err := apply(ctx, records)
		if err == nil {
			return true
		}
		if ctx.Err() == nil && tries == 0 {
			s.logger.Warn("states are not kept yet, and tried again", "topic", s.topic, "records", len(records), "error", err)
		}
		if !sleep(ctx, retryBackoff(tries)) {
			return false
		}
	}
}
