package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// DeleteRead deletes the records of a topic that its group has read and that arrived before a time, and says how many offsets that were.
//
// The brokers' own retention knows nothing of groups, and goes by timestamps: it would delete what is old before it is read. It may be run by several
// at once.
func (c *Cluster) DeleteRead(ctx context.Context, group, topic string, before time.Time) (deleted int64, err error) {
	// The committed offsets come first: what is asked afterwards can only be later.
	committed, err := c.admin.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the offsets of group %s: %w", group, blame(err))
	}
	starts, err := c.admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("find where %s begins: %w", topic, blame(err))
	}
	young, err := c.admin.ListOffsetsAfterMilli(ctx, before.UnixMilli(), topic)
	if err == nil {
		err = young.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("find what of %s is older than %s: %w", topic, before.UTC().Format(time.RFC3339), blame(err))
	}
	until := kadm.Offsets{}
	starts.Each(func(start kadm.ListedOffset) {
		read, known := committed.Lookup(topic, start.Partition)
		first, found := young.Lookup(topic, start.Partition)
		if !known || read.Err != nil || !found {
			return
		}
		if end := deletable(start.Offset, read.At, first.Offset); end > start.Offset {
			until.AddOffset(topic, start.Partition, end, -1)
			deleted += end - start.Offset
		}
	})
	if deleted == 0 {
		return 0, nil
	}
	gone, err := c.admin.DeleteRecords(ctx, until)
	if err == nil {
		err = gone.Error()
	}
	if errors.Is(err, kerr.OffsetOutOfRange) { // another replica has deleted them meanwhile
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("delete what is old in %s: %w", topic, blame(err))
	}
	return deleted, nil
}

// deletable is the offset before which a partition's records may go: the group has read them, and they are older than the first young one. Committed is
// below zero where the group has none, and young where no record is.
func deletable(start, committed, young int64) int64 {
	if committed < 0 || young < 0 {
		return start
	}
	return max(start, min(committed, young))
}
