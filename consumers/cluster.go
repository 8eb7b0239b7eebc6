package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/kafka"
	"nearline/pipeline"
)

// Cluster asks a Kafka cluster about itself: whether it is there, what its topics take, where a group stands. It reads and
// writes no records. Safe for concurrent use.
type Cluster struct {
	client *kgo.Client
	admin  *kadm.Client
}

// Dial makes a client; nothing is connected to before the first question.
func Dial(connection kafka.Connection, logger *slog.Logger) (*Cluster, error) {
	client, err := connection.As("nearline-admin").Client(
		kgo.RequestRetries(2),
		kgo.RetryTimeout(5*time.Second),
		kgo.MetadataMinAge(topicMemory),
		kgo.WithLogger(clientLogger{logger}),
	)
	if err != nil {
		return nil, fmt.Errorf("kafka.brokers: %w", err)
	}
	return &Cluster{client: client, admin: kadm.NewClient(client)}, nil
}

// topicMemory is how long what is known of a topic is not asked for again. One that was just created, or deleted, is seen so late.
const topicMemory = 50 * time.Millisecond

// Close the connections.
func (c *Cluster) Close() { c.client.Close() }

// Brokers that answer for the cluster, by their number. An error means that none was reached.
func (c *Cluster) Brokers(ctx context.Context) (int, error) {
	// The admin client's own question is answered from memory once there has been an answer, and would see no outage.
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	response, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return 0, fmt.Errorf("reach the brokers: %w", err)
	}
	return len(response.Brokers), nil
}

// Topic is what a topic takes.
type Topic struct {
	Name string
	// ID is the topic's own: one that is made anew under the same name has another. "" where the brokers have none.
	ID         string
	Partitions int
	// Replicas of each partition.
	Replicas int
	// MaxRecordBytes is the topic's max.message.bytes; 0 when it may not be read.
	MaxRecordBytes int
	// Retention is the topic's retention.ms; 0 when it may not be read, below zero when it is unlimited.
	Retention time.Duration
	// Compacted says that the last record of each key stays, whatever the retention.
	Compacted bool
	// Times is what the topic does with timestamps: as Kafka does where nobody has changed it, when that may not be read.
	Times pipeline.TopicTimes
	// Settings are all that the topic is configured with; nil when they may not be read.
	Settings map[string]string
	// Err says why the topic cannot be used, such as kerr.UnknownTopicOrPartition.
	Err error
}

// Missing says that there is no such topic.
func (t Topic) Missing() bool { return errors.Is(t.Err, kerr.UnknownTopicOrPartition) }

// Topics looks the names up. Every name is in the answer.
func (c *Cluster) Topics(ctx context.Context, names ...string) (map[string]Topic, error) {
	details, err := c.admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	topics := make(map[string]Topic, len(names))
	var present []string
	for _, name := range names {
		detail := details[name]
		topics[name] = Topic{Name: name, ID: detail.ID.String(), Partitions: len(detail.Partitions), Replicas: detail.Partitions.NumReplicas(),
			Times: pipeline.DefaultTopicTimes(), Err: detail.Err}
		if detail.Err == nil {
			present = append(present, name)
		}
	}
	if len(present) == 0 {
		return topics, nil
	}
	configs, err := c.admin.DescribeTopicConfigs(ctx, present...)
	if err != nil {
		// Often not allowed to a service; the broker's own answer to a record then tells.
		return topics, nil //nolint:nilerr // the limits stay unknown, as their comments say
	}
	for _, config := range configs {
		if config.Err != nil {
			continue
		}
		topic := topics[config.Name]
		topic.Settings = make(map[string]string, len(config.Configs))
		for _, entry := range config.Configs {
			if entry.Value == nil {
				continue
			}
			topic.Settings[entry.Key] = *entry.Value
			if entry.Key == "cleanup.policy" {
				topic.Compacted = strings.Contains(*entry.Value, "compact")
			}
			n, err := strconv.ParseInt(*entry.Value, 10, 64)
			switch {
			case err != nil:
			case entry.Key == "max.message.bytes":
				topic.MaxRecordBytes = int(n)
			case entry.Key == "retention.ms":
				topic.Retention = time.UnixMilli(max(n, -1)).Sub(time.UnixMilli(0))
			}
		}
		topic.Times = timesOf(topic.Settings)
		topics[config.Name] = topic
	}
	return topics, nil
}
