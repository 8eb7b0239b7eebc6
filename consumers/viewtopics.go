package consumers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/pipeline"
)

// ViewTopics are where a view lives: its group reads updates, and what it has made of them up to its committed offsets stands in the topic of states.
//
// What must hold: the offsets are never ahead of the states. A topic of states that is deleted takes back what the offsets say was done, and is
// then not to be told from one that is new, whoever makes it again: this service, a broker that makes topics for whoever asks, or a person. So every
// commit of the group has the id of the topic of states in its metadata.
type ViewTopics struct {
	Group, Updates, States string
	// UpdatesID and StatesID are the topics' own, as they were found at the start.
	UpdatesID, StatesID string
}

// remedy is for a view whose states are gone: group, updates.
const remedy = "With the service stopped, either put the topic back with all its records, and commit the group's offsets as they are, which takes back that they are " +
	"of other states (kafka-consumer-groups.sh --reset-offsets --to-current); or set the offsets of group %s to the earliest, and the view counts what %s still has; " +
	"or delete both topics, and the view begins with nothing"

// Check that the topics are those that the group has worked with, before one that is missing is made. It is nil for a view that has not begun, or
// was told to begin anew: both topics are missing, or the group stands at the beginning of the updates.
func (v ViewTopics) Check(ctx context.Context, c *Cluster) error {
	if err := v.CheckUpdates(ctx, c); err != nil {
		return err
	}
	topics, err := c.Topics(ctx, v.Updates, v.States)
	if err != nil {
		return err
	}
	updates, states := topics[v.Updates], topics[v.States]
	if updates.Missing() {
		return nil
	}
	begun, ids, err := c.begun(ctx, v.Group, v.Updates)
	if err != nil || !begun {
		return err
	}
	if states.Missing() {
		return fmt.Errorf("%w: topic %s, which has the states of a view, is gone, and the view does not begin anew by itself. "+remedy,
			pipeline.ErrPermanent, v.States, v.Group, v.Updates)
	}
	same := true
	for id := range ids {
		same = same && (id == states.ID || states.ID == noTopicID)
	}
	if len(ids) == 0 { // committed by an older release, by brokers without ids, or by a tool
		written, err := c.written(ctx, v.States)
		if err != nil {
			return err
		}
		same = written > 0
	}
	if !same {
		return fmt.Errorf("%w: topic %s, which has the states of a view, is not the one that the view has worked with: it was deleted and made anew, "+
			"and the view does not begin anew by itself. "+remedy, pipeline.ErrPermanent, v.States, v.Group, v.Updates)
	}
	return nil
}

// CheckUpdates is the part of Check that whoever writes updates needs: a topic of updates that has gone is not made again as if nothing had been in it.
func (v ViewTopics) CheckUpdates(ctx context.Context, c *Cluster) error {
	topics, err := c.Topics(ctx, v.Updates, v.States)
	if err != nil {
		return err
	}
	for _, name := range []string{v.Updates, v.States} {
		if topic := topics[name]; topic.Err != nil && !topic.Missing() {
			return fmt.Errorf("look for topic %s: %w", name, blame(topic.Err))
		}
	}
	states := topics[v.States]
	if !topics[v.Updates].Missing() || states.Missing() {
		return nil
	}
	written, err := c.written(ctx, v.States)
	if err == nil && written > 0 {
		err = fmt.Errorf("%w: topic %s is gone, though the view has begun: what was in it and not yet counted is lost. "+
			"Create it, with %d partitions, and the view goes on without that; or delete %s too, and the view begins with nothing",
			pipeline.ErrPermanent, v.Updates, states.Partitions, v.States)
	}
	return err
}

// Same is a permanent error where one of the topics is not the one that was found at the start. That the cluster does not answer is none.
func (v ViewTopics) Same(ctx context.Context, c *Cluster) error {
	topics, err := c.Topics(ctx, v.Updates, v.States)
	if err != nil {
		return nil //nolint:nilerr // whoever goes on finds out
	}
	for name, id := range map[string]string{v.Updates: v.UpdatesID, v.States: v.StatesID} {
		switch topic := topics[name]; {
		case topic.Missing():
			return fmt.Errorf("%w: %w", pipeline.ErrPermanent, goneError(name))
		case topic.Err == nil && id != "" && topic.ID != id:
			return fmt.Errorf("%w: %w", pipeline.ErrPermanent, anewError(name))
		}
	}
	return nil
}

// noTopicID is what brokers before Kafka 2.8 say.
var noTopicID = kadm.TopicID{}.String()

// written is how many offsets of a topic were ever used.
func (c *Cluster) written(ctx context.Context, topic string) (n int64, err error) {
	ends, err := c.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("find the end of %s: %w", topic, blame(err))
	}
	ends.Each(func(end kadm.ListedOffset) { n += end.Offset })
	return n, nil
}

// begun says whether a group has committed anything beyond the beginning of a topic, and which topics of states its commits name. A commit that names one
// has begun wherever the topic begins: what was read is deleted after a while (DeleteRead), and then the topic begins where the group stands.
func (c *Cluster) begun(ctx context.Context, group, topic string) (begun bool, ids map[string]bool, err error) {
	committed, err := c.admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return false, nil, fmt.Errorf("read the offsets of group %s: %w", group, blame(err))
	}
	starts, err := c.admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return false, nil, fmt.Errorf("find the beginning of %s: %w", topic, blame(err))
	}
	ids = make(map[string]bool)
	committed.Each(func(o kadm.OffsetResponse) {
		start, found := starts.Lookup(topic, o.Partition)
		if o.Topic != topic || o.Err != nil || !found {
			return
		}
		id, noted := strings.CutPrefix(o.Metadata, statesNote)
		begun = begun || noted || o.At > start.Offset
		if noted {
			ids[id] = true
		}
	})
	return begun, ids, nil
}

// statesNote and the id of the topic of states are the metadata of a view's commits.
const statesNote = "states="

// NoteStates is what a view's members note with their commits; "" where the brokers have no ids of topics.
func NoteStates(id string) string {
	if id == noTopicID {
		return ""
	}
	return statesNote + id
}

// statesError says that a view has lost its offsets, and its topic of states is not the one that it had then: without the states, going on would
// leave out what was read before.
func (c Config) statesError(partition int32, at resumed) error {
	return fmt.Errorf("%w: group %s has no offset of %s[%d] any more, and topic %s says that it goes on at %d with other states (%s) than there are (%s): "+
		"the topic of states was deleted and made anew, and the view does not begin anew by itself. "+remedy,
		pipeline.ErrPermanent, c.Group, c.Topic, partition, c.Kafka.ProgressTopicOf(c.Group), at.offset, at.note, c.Note, c.Group, c.Topic)
}

// annotate a commit with the member's note.
func (c Config) annotate(request *kmsg.TxnOffsetCommitRequest) {
	for i := range request.Topics {
		for j := range request.Topics[i].Partitions {
			request.Topics[i].Partitions[j].Metadata = &c.Note
		}
	}
}
