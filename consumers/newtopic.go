package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
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
	// Updates says that the topic is one of a view's updates. Brokers delete nothing of it, and stamp its records with the time of their arrival: the
	// service deletes what it has read and what has become old (Cluster.DeleteRead).
	Updates bool
	// Marks says that the topic is one of attempts. Each record of the last day stays, by the brokers' time of arrival: what a mark says counts only with
	// those before it, so that a topic in which the last record of each key is left tells of one death for ever.
	Marks bool
	// Compact keeps the last record of each key, for ever, in place of the records of the last days.
	Compact bool
	// SegmentBytes becomes the topic's segment.bytes; 0 leaves it to the brokers. The last segment is never compacted.
	SegmentBytes int
}

const timestampType = "message.timestamp.type"

// Settings that the topic is made with, whatever the cluster. The embedded broker makes topics by them, too.
func (t NewTopic) Settings() map[string]string {
	settings := map[string]string{}
	if t.MaxRecordBytes > 0 {
		settings["max.message.bytes"] = strconv.Itoa(t.MaxRecordBytes)
	}
	if t.Compact {
		settings["cleanup.policy"] = "compact"
	}
	if t.SegmentBytes > 0 {
		settings["segment.bytes"] = strconv.Itoa(t.SegmentBytes)
	}
	if t.Marks {
		settings["cleanup.policy"] = "delete"
		settings["retention.ms"], settings["retention.bytes"] = "86400000", "-1"
		settings[timestampType] = "LogAppendTime"
	}
	if t.Updates {
		settings["cleanup.policy"] = "delete" // of which there is nothing but what the service asks for
		settings["retention.ms"], settings["retention.bytes"] = "-1", "-1"
		settings[timestampType] = "LogAppendTime"
	}
	return settings
}

// Mends are the settings of a topic that was made otherwise, by an older release or by hand, and that would lose updates: name=value, in order. It is
// empty for other topics, and where the settings may not be read.
func (t NewTopic) Mends(found Topic) (mends []string) {
	if !t.Updates || found.Settings == nil {
		return nil
	}
	for name, want := range t.Settings() {
		if got, known := found.Settings[name]; known && got != want {
			mends = append(mends, name+"="+want)
		}
	}
	slices.Sort(mends)
	return mends
}

func pointers(settings map[string]string) map[string]*string {
	of := make(map[string]*string, len(settings))
	for name, value := range settings {
		of[name] = &value
	}
	return of
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
	settings := topic.Settings()
	if topic.Replication >= safeReplication {
		settings["min.insync.replicas"] = "2"
	}
	create := func() error {
		_, err := c.admin.CreateTopic(ctx, int32(topic.Partitions), int16(topic.Replication), pointers(settings), topic.Name) //nolint:gosec // as the command has checked
		return err
	}
	err := create()
	if _, asked := settings[timestampType]; asked && (errors.Is(err, kerr.InvalidConfig) || errors.Is(err, kerr.PolicyViolation)) {
		// Not every cluster takes it. The records' own timestamps are the time of writing in any case.
		delete(settings, timestampType)
		err = create()
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic.Name, blame(err))
	}
	return c.known(ctx, topic.Name)
}

// EnsureTopic makes a topic where it is missing, and returns when it can be used. One that is there and would lose updates is mended; an error that is a
// *NotMendedError says that this is not allowed, and that the topic can be used all the same.
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
	if err := c.known(ctx, topic.Name); err != nil { // somebody else may have made it a moment ago
		return err
	}
	return c.mend(ctx, topic, found[topic.Name])
}

// mend the settings of a topic.
func (c *Cluster) mend(ctx context.Context, topic NewTopic, found Topic) error {
	mends := topic.Mends(found)
	if len(mends) == 0 {
		return nil
	}
	// Each by itself: a cluster that does not take one takes the others.
	var refused []string
	var causes []error
	for _, mend := range mends {
		name, value, _ := strings.Cut(mend, "=")
		altered, err := c.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, topic.Name)
		if err == nil {
			_, err = altered.On(topic.Name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			refused, causes = append(refused, mend), append(causes, err)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return &NotMendedError{Topic: topic.Name, Mends: refused, Err: errors.Join(causes...)}
}

// NotMendedError says that a topic has settings by which brokers delete updates that were not read, and that the service may not change them.
type NotMendedError struct {
	Topic string
	Mends []string // name=value
	Err   error
}

func (e *NotMendedError) Error() string {
	return fmt.Sprintf("its settings may delete updates before they are read: %s; the service may not change them (%v)", Remedy(e.Topic, e.Mends), e.Err)
}

func (e *NotMendedError) Unwrap() error { return e.Err }

// Remedy is the command that mends a topic.
func Remedy(topic string, mends []string) string {
	return fmt.Sprintf("run kafka-configs.sh --bootstrap-server BROKER --alter --entity-type topics --entity-name %s --add-config %s", topic, strings.Join(mends, ","))
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
		if !kerr.IsRetriable(err) && ctx.Err() == nil { // such as that a broker does not know the topic yet, or not yet that it leads
			return fmt.Errorf("wait for topic %s: %w", topic, blame(err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for topic %s: %w: %w", topic, context.Cause(ctx), err)
		case <-again.C:
		}
	}
}
