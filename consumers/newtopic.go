package consumers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// NewTopic is a topic to be made.
type NewTopic struct {
	Name        string
	Partitions  int
	Replication int
	// MaxRecordBytes becomes the topic's max.message.bytes; 0 leaves it to the brokers.
	MaxRecordBytes int
	// Compact keeps the last record of each key, for ever, in place of the records of the last days.
	Compact bool
}

// safeReplication is the least number of replicas of which two have to acknowledge: one may then be lost at any moment, without
// a record lost and without a stop.
const safeReplication = 3

// created is how long a new topic may take until every broker that is asked knows of it.
const created = 10 * time.Second

// CreateTopic makes a topic, and returns when it can be used. That somebody else has made it meanwhile is no error.
func (c *Cluster) CreateTopic(ctx context.Context, topic NewTopic) error {
	settings := map[string]*string{}
	set := func(key, value string) { settings[key] = &value }
	if topic.MaxRecordBytes > 0 {
		set("max.message.bytes", strconv.Itoa(topic.MaxRecordBytes))
	}
	if topic.Replication >= safeReplication {
		set("min.insync.replicas", "2")
	}
	if topic.Compact {
		set("cleanup.policy", "compact")
	}
	_, err := c.admin.CreateTopic(ctx, int32(topic.Partitions), int16(topic.Replication), settings, topic.Name) //nolint:gosec // as the command has checked
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic.Name, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, created, errors.New("it was made, and is still unknown to a broker"))
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		found, err := c.Topics(ctx, topic.Name)
		if err == nil && !found[topic.Name].Missing() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("create topic %s: %w", topic.Name, context.Cause(ctx))
		case <-again.C:
		}
	}
}
