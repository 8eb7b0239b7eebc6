package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrLeave of Following.Mark has Follow leave the group and return.
var ErrLeave = errors.New("what was applied has to be applied again")

// markEvery is how often marks are put, and offsets committed, at most. What was applied since comes again after a restart.
const markEvery = time.Second

// marking holds offsets back from their commit until they are marked. Not safe for concurrent use.
type marking struct {
	mark   func(ctx context.Context, next map[int32]int64) error // nil has none
	logger *slog.Logger
	next   map[int32]int64 // of what was applied and not marked
	last   time.Time
	failed bool
}

// waiting is the context of a poll, which ends when it is time to mark what was applied.
func (m *marking) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.mark == nil || len(m.next) == 0 {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, m.last.Add(markEvery))
}

// applied says that all of a partition before an offset has been applied.
func (m *marking) applied(partition int32, next int64) { m.next[partition] = next }

// due says whether to commit now. The error is one for which Follow returns.
func (m *marking) due(ctx context.Context) (bool, error) {
	switch {
	case m.mark == nil:
		return true, nil
	case len(m.next) == 0 || time.Since(m.last) < markEvery:
		return false, nil
	}
	err := m.mark(ctx, m.next)
	m.last = time.Now()
	switch {
	case err == nil:
		m.failed = false
		clear(m.next)
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
