package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrLeave of Following.Mark has Follow leave the group and return.
var ErrLeave = errors.New("what was applied has to be applied again")

// markEvery is how often marks are put, and offsets committed, at most. What was applied since comes again after a restart.
const markEvery = time.Second

// marking holds offsets back from their commit until they are marked. Only lose is called by others than the reader.
type marking struct {
	mark   func(ctx context.Context, committed, next map[int32]int64) error // nil has none
	logger *slog.Logger
	last   time.Time
	failed bool

	mu   sync.Mutex      // guards next
	next map[int32]int64 // of what was applied and not marked
}

// waiting is the context of a poll, which ends when it is time to mark what was applied.
func (m *marking) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.mark == nil || len(m.unmarked()) == 0 {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, m.last.Add(markEvery))
}

// applied says that all of a partition before an offset has been applied.
func (m *marking) applied(partition int32, next int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next[partition] = next
}

// lose partitions that others have from now on, who go on where they were committed.
func (m *marking) lose(partitions []int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range partitions {
		delete(m.next, p)
	}
}

func (m *marking) unmarked() map[int32]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.next)
}

// due says whether to commit now; committed is where the partitions are until then. The error is one for which Follow returns.
func (m *marking) due(ctx context.Context, committed map[int32]kgo.EpochOffset) (bool, error) {
	next := m.unmarked()
	switch {
	case m.mark == nil:
		return true, nil
	case len(next) == 0 || time.Since(m.last) < markEvery:
		return false, nil
	}
	from := make(map[int32]int64, len(next))
	for p := range next {
		from[p] = committed[p].Offset
	}
	err := m.mark(ctx, from, next)
	m.last = time.Now()
	switch {
	case err == nil:
		m.failed = false
		m.lose(slices.Collect(maps.Keys(next)))
		return true, nil
	case errors.Is(err, ErrLeave):
		return false, err
	case ctx.Err() == nil && !m.failed:
		m.failed = true
		m.logger.Warn("a store's marks were not put, which is tried again; until then no offsets are committed", "error", err)
	}
	return false, nil
}

// Committed are the offsets of a group, of partitions that have one.
func (s *StateTopic) Committed(ctx context.Context, group string) (map[int32]int64, error) {
	client, err := s.openWriter()
	if err != nil {
		return nil, err
	}
	found, err := kadm.NewClient(client).FetchOffsets(ctx, group)
	switch {
	case errors.Is(err, kerr.GroupIDNotFound): // it has not begun
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ask for the offsets of group %s: %w", group, err)
	}
	committed := map[int32]int64{}
	for p, offset := range found[s.topic] {
		if offset.Err != nil {
			return nil, fmt.Errorf("ask for the offset of group %s in %s[%d]: %w", group, s.topic, p, offset.Err)
		}
		if offset.At > 0 {
			committed[p] = offset.At
		}
	}
	return committed, nil
}

// Ends are offsets of records of this reader's own, one in each partition: whoever has read up to there has read all that was committed before.
func (s *StateTopic) Ends(ctx context.Context, partitions int) (map[int32]int64, error) {
	ends := make(map[int32]int64, partitions)
	for p := range partitions {
		offset, err := s.fence(ctx, int32(p)) //nolint:gosec // a topic's
		if err != nil {
			return nil, err
		}
		ends[int32(p)] = offset //nolint:gosec // a topic's
	}
	return ends, nil
}
