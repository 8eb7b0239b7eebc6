package consumers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/pipeline"
)

// Standstill is where members of one pipeline stand still: at batches that hold more than they may keep in memory, even without
// what is large in them. Their other partitions go on. A nil Standstill remembers nothing.
type Standstill struct {
	mu sync.Mutex // guards at
	at map[int]map[int32]error
}

// Err names all such batches; nil when there are none.
func (s *Standstill) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []string
	for _, member := range slices.Sorted(maps.Keys(s.at)) {
		for _, partition := range slices.Sorted(maps.Keys(s.at[member])) {
			errs = append(errs, s.at[member][partition].Error())
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errors.New(strings.Join(errs, "; "))
}

func (s *Standstill) set(member int, partition int32, err error) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = make(map[int]map[int32]error)
	}
	if s.at[member] == nil {
		s.at[member] = make(map[int32]error)
	}
	s.at[member][partition] = err
}

func (s *Standstill) clear(member int) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, member)
}

// standPatience is how long a member goes on with its other partitions before it looks again whether the batch is still there. Only a
// new client takes up a partition that it has given up. It is a guess.
const standPatience = 5 * time.Minute

// standing is a member's own part of it.
type standing struct {
	first error // that the client has given up a partition for; nil while there is none
	until time.Time
}

// stand takes note that the client has given up a partition.
func (m *Member) stand(e *kgo.ErrDecompressTooLarge) {
	err := fmt.Errorf("%s[%d] stands still at offset %d: the batch up to offset %d holds more than may be kept in memory, even without its large values. "+
		"Raise kafka.fetch_max_decompressed, which is %v; or, with the pipeline stopped, set the group's offset of this partition to %d, which leaves the batch out",
		e.Topic, e.Partition, e.Offset, e.NextOffset-1, m.config.Kafka.FetchMaxDecompressed, e.NextOffset)
	m.config.Standing.set(m.config.Index, e.Partition, err)
	m.config.Logger.Error("a batch is refused", "error", err)
	if m.stands.first == nil {
		m.stands = standing{err, time.Now().Add(standPatience)}
	}
}

// over is the error of a standstill that is to be looked at again: after a while, and when partitions were taken away.
func (m *Member) over() error {
	if m.stands.first == nil || !m.stale.Load() && time.Now().Before(m.stands.until) {
		return nil
	}
	return fmt.Errorf("%w: %w", pipeline.ErrPermanent, m.stands.first)
}

// patience is how long a poll may wait.
func (m *Member) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.stands.first == nil {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, m.stands.until)
}
