package consumers

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// OffsetRetention is how long the brokers keep the offsets of a group that has no members; 0 where they do not say.
func (c *Cluster) OffsetRetention(ctx context.Context) time.Duration {
	brokers, err := c.admin.ListBrokers(ctx)
	if err != nil || len(brokers) == 0 {
		return 0
	}
	configs, err := c.admin.DescribeBrokerConfigs(ctx, brokers[0].NodeID)
	if err != nil {
		return 0 // often not allowed
	}
	for _, config := range configs {
		for _, entry := range config.Configs {
			if entry.Key != "offsets.retention.minutes" || entry.Value == nil {
				continue
			}
			if minutes, err := strconv.Atoi(*entry.Value); err == nil {
				return time.Duration(minutes) * time.Minute
			}
		}
	}
	return 0
}

// AtRest are those of the groups that have offsets in their topic and no members: the brokers will forget the offsets. Topics are by group.
func (c *Cluster) AtRest(ctx context.Context, topics map[string]string) (map[string]bool, error) {
	listed, err := c.admin.ListGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the groups: %w", blame(err))
	}
	rests := make(map[string]bool)
	for name := range topics {
		group, found := listed[name]
		if found && group.State == "" { // before Kafka 2.6
			described, err := c.admin.DescribeGroups(ctx, name)
			if err != nil {
				return nil, fmt.Errorf("look at group %s: %w", name, blame(err))
			}
			group.State = described[name].State
		}
		if group.State != "Empty" {
			continue
		}
		offsets, err := c.admin.FetchOffsets(ctx, name)
		if err != nil {
			continue
		}
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Topic == topics[name] && o.Err == nil && o.At >= 0 {
				rests[name] = true
			}
		})
	}
	return rests, nil
}
