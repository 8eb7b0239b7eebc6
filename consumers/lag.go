package consumers

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Lag is how many records of each partition the group has not committed yet: up to the last stable offset, which is as far as
// read-committed members come, and from the oldest record that there still is. It is counted in offsets, so markers of upstream
// transactions count too: the last one of a partition stays until a record comes after it.
func (c *Cluster) Lag(ctx context.Context, group, topic string) (map[int32]int64, error) {
	committed, err := c.admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("read the offsets of group %s: %w", group, err)
	}
	starts, err := c.admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find the beginning of %s: %w", topic, err)
	}
	ends, err := c.admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find the end of %s: %w", topic, err)
	}
	lag := make(map[int32]int64)
	ends.Each(func(end kadm.ListedOffset) {
		var from int64
		if start, found := starts.Lookup(topic, end.Partition); found {
			from = start.Offset
		}
		if at, found := committed.Lookup(topic, end.Partition); found {
			if at.Err != nil {
				return // unknown
			}
			from = max(from, at.At)
		}
		lag[end.Partition] = max(0, end.Offset-from)
	})
	return lag, nil
}
