package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// agreed asks the group whether it stands where the client goes on from, after a transaction that was not committed. If so,
// the member is as good as new; making it anew would mean to leave and to join, which takes the others' cycles back in
// turn. A transaction that is still open makes the group refuse to answer, which is doubt enough where it lasts.
func (m *Member) agreed(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, unstableFor)
	defer cancel()
	again := time.NewTicker(unstableFor / 50)
	defer again.Stop()
	for {
		agreed, stable := m.compare(ctx)
		if stable {
			return agreed
		}
		select {
		case <-ctx.Done():
			return false
		case <-again.C:
		}
	}
}

// unstableFor is how long a transaction that was just ended may take to be over for the group, too: tens of milliseconds.
const unstableFor = time.Second

// compare what the client goes on from with where the group stands; stable is false as long as the group does not say.
func (m *Member) compare(ctx context.Context) (agreed, stable bool) {
	held := m.holding.all()
	group, stable, err := m.stableOffsets(ctx, held)
	if err != nil || !stable {
		return false, stable
	}
	ours := m.client.CommittedOffsets()[m.config.Topic]
	begins := make(map[int32]int64) // partitions that nobody has committed yet, and where the client goes on in them
	for _, partition := range held {
		theirs, found := group[partition]
		committed, known := ours[partition]
		first, read := m.holding.first(partition)
		switch {
		case !found, known && committed.Offset != theirs, !known && theirs >= 0:
			return false, true
		case !known && read:
			begins[partition] = first.Offset
		}
	}
	return len(begins) == 0 || m.fromTheStart(ctx, begins), true
}

// stableOffsets are where the group stands in partitions, -1 where nothing is committed; stable is false where it does not say, since the end of a transaction is
// still to come. The partitions have to be named: asked for all that it has, a group leaves out those of which it has nothing but offsets that wait
// for the end of their transaction.
func (m *Member) stableOffsets(ctx context.Context, partitions []int32) (offsets map[int32]int64, stable bool, err error) {
	if len(partitions) == 0 {
		return nil, true, nil
	}
	topic := kmsg.NewOffsetFetchRequestGroupTopic()
	topic.Topic, topic.Partitions = m.config.Topic, partitions
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group, group.Topics = m.config.Group, []kmsg.OffsetFetchRequestGroupTopic{topic}
	request := kmsg.NewPtrOffsetFetchRequest()
	request.RequireStable, request.Groups = true, []kmsg.OffsetFetchRequestGroup{group}
	answer, err := request.RequestWith(ctx, m.client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return nil, true, fmt.Errorf("read the offsets of group %s: %w", m.config.Group, blame(err))
	}
	offsets = make(map[int32]int64, len(partitions))
	for _, group := range answer.Groups {
		if err := kerr.ErrorForCode(group.ErrorCode); err != nil {
			return nil, true, fmt.Errorf("read the offsets of group %s: %w", m.config.Group, blame(err))
		}
		for _, topic := range group.Topics {
			for _, p := range topic.Partitions {
				switch err := kerr.ErrorForCode(p.ErrorCode); {
				case p.ErrorCode == kerr.UnstableOffsetCommit.Code:
					return nil, false, nil
				case err != nil:
					return nil, true, fmt.Errorf("read the offset of group %s in %s[%d]: %w", m.config.Group, m.config.Topic, p.Partition, blame(err))
				}
				offsets[p.Partition] = p.Offset
			}
		}
	}
	return offsets, true, nil
}

// fromTheStart says whether the client goes on at the beginning of these partitions, as anybody would in whose group nothing is committed.
func (m *Member) fromTheStart(ctx context.Context, begins map[int32]int64) bool {
	starts, err := kadm.NewClient(m.client).ListStartOffsets(ctx, m.config.Topic)
	if err != nil {
		return false
	}
	for partition, offset := range begins {
		start, found := starts.Lookup(m.config.Topic, partition)
		if !found || start.Err != nil || offset > start.Offset {
			return false
		}
	}
	return true
}
