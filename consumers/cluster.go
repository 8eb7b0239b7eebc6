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

// Hidden says that there may be such a topic, and that the brokers show it to others.
func (t Topic) Hidden() bool { return errors.Is(t.Err, kerr.TopicAuthorizationFailed) }

// Topics looks the names up. Every name is in the answer. The admin client's own questions are not asked: of several topics, they fail for all when
// one of them may not be seen, or its settings not be read.
func (c *Cluster) Topics(ctx context.Context, names ...string) (map[string]Topic, error) {
	topics := make(map[string]Topic, len(names))
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	for _, name := range names {
		if _, asked := topics[name]; asked {
			continue
		}
		topics[name] = Topic{Name: name, ID: noTopicID, Times: pipeline.DefaultTopicTimes()}
		one := kmsg.NewMetadataRequestTopic()
		one.Topic = &name
		request.Topics = append(request.Topics, one)
	}
	if len(topics) == 0 {
		return topics, nil
	}
	response, err := c.client.RequestCachedMetadata(ctx, request, 0)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	told := 0
	var present []string
	for i := range response.Topics {
		found := &response.Topics[i]
		if found.Topic == nil {
			continue
		}
		topic, asked := topics[*found.Topic]
		if !asked {
			continue
		}
		told++
		topic.ID, topic.Partitions, topic.Err = kadm.TopicID(found.TopicID).String(), len(found.Partitions), explainDenial(kerr.ErrorForCode(found.ErrorCode))
		if len(found.Partitions) > 0 {
			topic.Replicas = len(found.Partitions[0].Replicas)
		}
		topics[topic.Name] = topic
		if topic.Err == nil {
			present = append(present, topic.Name)
		}
	}
	if told < len(topics) {
		return nil, fmt.Errorf("list topics: the brokers tell of %d of %d that they were asked for", told, len(topics))
	}
	c.describe(ctx, topics, present)
	return topics, nil
}

// describe topics by their settings. A service is often not allowed to read them, of some topics or of all; the limits of these stay unknown, as
// their comments say, and the broker's own answer to a record then tells.
func (c *Cluster) describe(ctx context.Context, topics map[string]Topic, names []string) {
	if len(names) == 0 {
		return
	}
	request := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range names {
		one := kmsg.NewDescribeConfigsRequestResource()
		one.ResourceType, one.ResourceName = kmsg.ConfigResourceTypeTopic, name
		request.Resources = append(request.Resources, one)
	}
	response, err := request.RequestWith(ctx, c.client)
	if err != nil {
		return
	}
	for _, of := range response.Resources {
		topic, asked := topics[of.ResourceName]
		if of.ErrorCode != 0 || !asked {
			continue
		}
		topic.Settings = make(map[string]string, len(of.Configs))
		for _, entry := range of.Configs {
			if entry.Value != nil {
				topic.Settings[entry.Name] = *entry.Value
			}
		}
		topic.configure()
		topics[topic.Name] = topic
	}
}

// configure the topic by its settings.
func (t *Topic) configure() {
	t.Compacted = strings.Contains(t.Settings["cleanup.policy"], "compact")
	if n, err := strconv.ParseInt(t.Settings["max.message.bytes"], 10, 64); err == nil {
		t.MaxRecordBytes = int(n)
	}
	if n, err := strconv.ParseInt(t.Settings["retention.ms"], 10, 64); err == nil {
		t.Retention = time.UnixMilli(max(n, -1)).Sub(time.UnixMilli(0))
	}
	t.Times = timesOf(t.Settings)
}
