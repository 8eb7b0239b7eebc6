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
	Name       string
	Partitions int
	// Replication is the number of replicas; 0 is three, or as many as there are brokers.
	Replication int
	// MaxRecordBytes becomes the topic's max.message.bytes; 0 leaves it to the brokers.
	MaxRecordBytes int
	// Retention becomes the topic's retention.ms; 0 leaves it to the brokers.
	Retention time.Duration
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
	if topic.Replication == 0 {
		brokers, err := c.Brokers(ctx)
		if err != nil {
			return fmt.Errorf("create topic %s: %w", topic.Name, err)
		}
		topic.Replication = min(brokers, safeReplication)
	}
	settings := map[string]*string{}
	set := func(key, value string) { settings[key] = &value }
	if topic.MaxRecordBytes > 0 {
		set("max.message.bytes", strconv.Itoa(topic.MaxRecordBytes))
	}
	if topic.Replication >= safeReplication {
		set("min.insync.replicas", "2")
	}
	if topic.Retention > 0 {
		set("retention.ms", strconv.FormatInt(topic.Retention.Milliseconds(), 10))
	}
	if topic.Compact {
		set("cleanup.policy", "compact")
	}
	_, err := c.admin.CreateTopic(ctx, int32(topic.Partitions), int16(topic.Replication), settings, topic.Name) //nolint:gosec // as the command has checked
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic.Name, blame(err))
	}
	return c.known(ctx, topic.Name)
}

// EnsureTopic makes a topic where it is missing, and returns when it can be used.
func (c *Cluster) EnsureTopic(ctx context.Context, topic NewTopic) error {
	found, err := c.Topics(ctx, topic.Name)
	switch {
	case err != nil:
		return err
	case found[topic.Name].Missing():
		return c.CreateTopic(ctx, topic)
	case found[topic.Name].Err != nil:
		return fmt.Errorf("look for topic %s: %w", topic.Name, blame(found[topic.Name].Err))
	}
	return c.known(ctx, topic.Name) // somebody else may have made it a moment ago
}

// known waits until the leaders of all its partitions know of a topic.
func (c *Cluster) known(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, created, errors.New("it was made, and is still unknown to a broker"))
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		ends, err := c.admin.ListEndOffsets(ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.LeaderNotAvailable) && ctx.Err() == nil {
			return fmt.Errorf("wait for topic %s: %w", topic, blame(err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for topic %s: %w: %w", topic, context.Cause(ctx), err)
		case <-again.C:
		}
	}
}
