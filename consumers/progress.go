package consumers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
	"nearline/pipeline"
)

// Progress keeps, in a compacted topic, how far one group has come in its input. It is a second copy of the group's offsets.
//
// Brokers forget the offsets of a group that has been empty for a while (offsets.retention.minutes, a week by default). To the group protocol a
// partition without an offset is a new one: it would be read from its beginning and counted twice, or from its end and never scored. With
// this copy it goes on where it was. Each member writes its places in the transaction of its offsets, so both agree exactly. An offset that the
// group has always wins: an operator who resets offsets is obeyed.
//
// The topic also keeps where a group that does not start at the earliest record began (a beginning). The obvious way is to commit that as an
// offset before the members join. But a replica that freezes between looking and committing would then set the group back behind what
// others have committed since. A record in this topic moves nothing that is committed: it counts only where there is neither an offset nor
// a place. All offsets are committed by members, inside their generation.
//
// Safe for concurrent use.
type Progress struct {
	connection kafka.Connection
	config     KafkaConfig
	group      string
	topic      string // the input
	name       string // of the topic of progress
	cluster    *Cluster
	logger     *slog.Logger

	// reading is held by one reader at a time, over its calls into Kafka, since all who wait for it wait for the same. It guards own and next.
	reading chan struct{}
	own     string          // id of the topic of progress
	next    map[int32]int64 // offset to read next in it, by partition

	mu         sync.Mutex      // guards all below
	id         string          // of the input, as it was when it was last asked for; "" where brokers have none
	identified bool            // that the topic is there, and the input's id known
	places     map[int32]place // by partition of the input
	began      *beginning
}

// place is how far a partition was committed.
type place struct {
	// ID of the input topic: one that is made anew has another. "" where brokers have none (before Kafka 2.8).
	ID     string `json:"id,omitempty"`
	Offset int64  `json:"offset"`
	// At is when it was written, in milliseconds, for people.
	At int64 `json:"at"`
	// Note is the member's own, as it stands beside the offset (see Config.Note).
	Note string `json:"note,omitempty"`
}

// beginning is where a group began that had no offset.
type beginning struct {
	ID      string          `json:"id,omitempty"`
	Start   string          `json:"start"`
	Offsets map[int32]int64 `json:"offsets"`
}

// OpenProgress of a group in the topic that it reads. Nothing is connected to before the first question; the cluster must outlive it.
func OpenProgress(connection kafka.Connection, config KafkaConfig, cluster *Cluster, group, topic string, logger *slog.Logger) *Progress {
	return &Progress{
		connection: connection, config: config, cluster: cluster, group: group, topic: topic, name: config.ProgressTopicOf(group), logger: logger,
		reading: make(chan struct{}, 1), next: make(map[int32]int64), places: make(map[int32]place),
	}
}

// progressSegment is how large a segment of the topic becomes before it can be compacted. With Kafka's default of 1 GiB a reader would have
// to go through as much; this holds some 100,000 cycles.
const progressSegment = 16 << 20

// ProgressTopic is the topic as it is to be made: one partition, compacted.
func ProgressTopic(name string) NewTopic {
	return NewTopic{Name: name, Partitions: 1, Compact: true, SegmentBytes: progressSegment}
}

func (p *Progress) placeKey(partition int32) string {
	return p.placePrefix() + strconv.Itoa(int(partition))
}

// A topic has no slash in its name, so that no two groups and topics share a prefix.
func (p *Progress) placePrefix() string  { return "place/" + p.group + "/" + p.topic + "/" }
func (p *Progress) beginningKey() string { return "beginning/" + p.group + "/" + p.topic }

// Begin has the group start there, unless it has begun already, and makes the topic where it is missing. The earliest record needs no note.
// Otherwise a partition that is added later, or a member that dies before its first commit, would begin at the latest record anew and skip
// what came in between.
//
// It reads the topic only where the group has no offset: to the end of the topic there may be a transaction in the way that a dead member left
// open, and that its heir ends.
func (p *Progress) Begin(ctx context.Context, start Start) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	if _, err := p.identify(ctx); err != nil || start == (Start{}) {
		return err
	}
	committed, err := p.cluster.admin.FetchOffsets(ctx, p.group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("read the offsets of group %s: %w", p.group, blame(err))
	}
	begun := false
	committed.Each(func(o kadm.OffsetResponse) { begun = begun || (o.Topic == p.topic && o.At >= 0) })
	if begun {
		return nil
	}
	if err := p.catchUp(ctx); err != nil {
		return err
	}
	id, begun := p.hasBegun()
	if id == missingID || begun {
		return nil // whatever comes into a topic that is missing comes later
	}
	var listed kadm.ListedOffsets
	if start.Latest {
		listed, err = p.cluster.admin.ListEndOffsets(ctx, p.topic)
	} else {
		listed, err = p.cluster.admin.ListOffsetsAfterMilli(ctx, start.At.UnixMilli(), p.topic)
	}
	if err == nil {
		err = listed.Error()
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return nil
	case err != nil:
		return fmt.Errorf("find %s in %s: %w", start, p.topic, blame(err))
	}
	began := &beginning{ID: id, Start: start.String(), Offsets: make(map[int32]int64)}
	listed.Each(func(o kadm.ListedOffset) { began.Offsets[o.Partition] = o.Offset })
	if err := p.note(ctx, began); err != nil {
		return fmt.Errorf("begin group %s at %s: %w", p.group, start, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began = began
	return nil
}

// hasBegun says whether there is a note of the group in the input as it is now, whose id is that.
func (p *Progress) hasBegun() (id string, begun bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, place := range p.places {
		if place.ID == p.id {
			return p.id, true
		}
	}
	return p.id, p.began != nil && p.began.ID == p.id
}

// note where the group began.
func (p *Progress) note(ctx context.Context, began *beginning) error {
	client, err := p.connection.As("nearline-progress").Client(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		// It may stand there twice, and an idempotent write that is under way cannot be given up.
		kgo.DisableIdempotentWrite(),
		kgo.MetadataMinAge(retryBackoff(0)), // the topic may be a moment old
		kgo.WithLogger(clientLogger{p.logger}),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, p.config.TransactionTimeout, errUnmarked)
	defer cancel()
	r := &kgo.Record{Topic: p.name, Key: []byte(p.beginningKey()), Value: encode(began)}
	if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("write to topic %s: %w", p.name, blame(err))
	}
	return nil
}

func encode(value any) []byte {
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers always have a form in JSON
	}
	return encoded
}

// missingID is the id of an input that there is not.
const missingID = "-"

// topicID is "" where the brokers have none.
func topicID(id string) string {
	if id == (kadm.TopicID{}).String() {
		return ""
	}
	return id
}

// identify makes the topic where it is missing, and asks for the id of the input. It returns the topic's partitions.
func (p *Progress) identify(ctx context.Context) (partitions int, err error) {
	if err := p.cluster.EnsureTopic(ctx, ProgressTopic(p.name)); err != nil {
		return 0, p.unusable(err)
	}
	topics, err := p.cluster.Topics(ctx, p.name, p.topic)
	if err == nil {
		err = blame(topics[p.name].Err)
	}
	if err != nil {
		return 0, p.unusable(err)
	}
	id := topicID(topics[p.topic].ID)
	switch err := topics[p.topic].Err; {
	case topics[p.topic].Missing():
		id = missingID
	case err != nil:
		return 0, fmt.Errorf("look for topic %s: %w", p.topic, blame(err))
	}
	if own := topics[p.name].ID; own != p.own { // it was made anew: all of it is to be read
		p.own = own
		clear(p.next)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id, p.identified = id, id != missingID
	return topics[p.name].Partitions, nil
}

// unusable says what to do about the topic, unless it is no matter of the topic.
func (p *Progress) unusable(err error) error {
	if kafka.Explained(err) {
		return fmt.Errorf("topic %s, which keeps how far groups have come: %w", p.name, err)
	}
	return fmt.Errorf("topic %s, which keeps how far groups have come: %w: create it with one partition and cleanup.policy=compact, "+
		"allow the service to read and write it, name another with kafka.progress_topic, or go without by kafka.progress_topic: off",
		p.name, err)
}

func (p *Progress) lock(ctx context.Context) error {
	select {
	case p.reading <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *Progress) unlock() { <-p.reading }

// catchUp reads the topic to its end.
func (p *Progress) catchUp(ctx context.Context) error {
	partitions, err := p.identify(ctx)
	if err != nil {
		return err
	}
	// A topic that was deleted and made again is read by clients of its own age.
	state := OpenState(p.connection, p.config, p.name, p.logger)
	defer state.Close()
	for partition := range int32(partitions) { //nolint:gosec // a topic's
		next, err := state.Restore(ctx, partition, p.next[partition], p.learn)
		if err != nil {
			return p.unusable(err)
		}
		p.next[partition] = next
	}
	return nil
}

// learn one record. What this code cannot have written is ignored.
func (p *Progress) learn(key, value []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if string(key) == p.beginningKey() {
		var began beginning
		if json.Unmarshal(value, &began) == nil && began.plausible() {
			p.began = &began
		}
		return nil
	}
	number, ours := strings.CutPrefix(string(key), p.placePrefix())
	if !ours {
		return nil
	}
	partition, err := strconv.ParseInt(number, 10, 32)
	var at place
	if err != nil || p.placeKey(int32(partition)) != string(key) || json.Unmarshal(value, &at) != nil || at.Offset < 0 || at.At <= 0 {
		return nil // somebody else's, or a later release's
	}
	p.places[int32(partition)] = at
	return nil
}

func (b *beginning) plausible() bool {
	for partition, offset := range b.Offsets {
		if partition < 0 || offset < 0 {
			return false
		}
	}
	return b.Start != ""
}

// resumed is where a partition goes on of which the group has no offset.
type resumed struct {
	offset int64
	// lost says that the group had an offset, and when that was noted; otherwise the group begins here.
	lost time.Time
	note string // with the offset that is lost
}

// resume says where partitions go on of which the group has no offset. Those that are not in the answer begin at their oldest record.
func (p *Progress) resume(ctx context.Context, partitions []int32) (map[int32]resumed, error) {
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	defer p.unlock()
	if err := p.catchUp(ctx); err != nil {
		return nil, err
	}
	found := make(map[int32]resumed)
	for _, partition := range partitions {
		if at, known := p.known(partition); known {
			found[partition] = at
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	ends, err := p.cluster.admin.ListEndOffsets(ctx, p.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find the end of %s: %w", p.topic, blame(err))
	}
	for partition, at := range found {
		if end, ok := ends.Lookup(p.topic, partition); ok {
			if err := p.doubtful(partition, at, end.Offset); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// known is where a partition goes on, going by the notes about the input as it is now.
func (p *Progress) known(partition int32) (resumed, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok := p.places[partition]; ok && (at.ID == p.id || at.ID == "" || p.id == "") {
		return resumed{offset: at.Offset, lost: time.UnixMilli(at.At), note: at.Note}, true
	}
	if p.began != nil && p.began.ID == p.id {
		if offset, ok := p.began.Offsets[partition]; ok {
			return resumed{offset: offset}, true
		}
	}
	return resumed{}, false
}

// doubtful says why a place cannot be trusted: going on there might skip records.
func (p *Progress) doubtful(partition int32, at resumed, end int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var why string
	switch {
	case at.offset > end:
		why = fmt.Sprintf("the partition ends before that, at %d: it was cut, or the note is not ours", end)
	case !at.lost.IsZero() && (p.id == "" || p.places[partition].ID == ""):
		why = "the brokers did not tell the topic's id (before Kafka 2.8), so that it may have been made anew since"
	default:
		return nil
	}
	return fmt.Errorf("%w: group %s has no offset of %s[%d] any more, and topic %s says that it goes on at %d; but %s. "+
		"Say where it goes on, with the pipeline stopped: kafka-consumer-groups.sh --bootstrap-server %s --group %s --topic %s:%d --reset-offsets --to-offset %d --execute "+
		"(--to-earliest reads all of it again, --to-latest nothing of it)",
		pipeline.ErrPermanent, p.group, p.topic, partition, p.name, at.offset, why,
		p.connection.Brokers[0], p.group, p.topic, partition, min(at.offset, end))
}

// differs says whether places of the group have to be noted: it has other offsets than those that were noted here, since an operator has set
// them, other replicas have gone on, or nobody has noted them yet. To note them again costs less than to look.
func (p *Progress) differs(ctx context.Context, committed map[int32]int64) (bool, error) {
	if len(committed) == 0 {
		return false, nil
	}
	if !p.isIdentified() {
		if err := p.lock(ctx); err != nil {
			return false, err
		}
		defer p.unlock()
		if _, err := p.identify(ctx); err != nil {
			return false, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for partition, offset := range committed {
		if at, ok := p.places[partition]; !ok || at.Offset != offset || at.ID != p.id {
			return true, nil
		}
	}
	return false, nil
}

func (p *Progress) isIdentified() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.identified
}

// placesOf these offsets with a note, in an input of that id; "" is the one that was asked for last.
func (p *Progress) placesOf(id, note string, offsets map[int32]int64) map[int32]place {
	p.mu.Lock()
	defer p.mu.Unlock()
	id = cmp.Or(id, p.id)
	places := make(map[int32]place, len(offsets))
	for partition, offset := range offsets {
		places[partition] = place{ID: id, Offset: offset, At: time.Now().UnixMilli(), Note: note}
	}
	return places
}

// record that notes a place.
func (p *Progress) record(partition int32, at place) *kgo.Record {
	return &kgo.Record{Topic: p.name, Key: []byte(p.placeKey(partition)), Value: encode(at)}
}

// noted is told what was written and committed.
func (p *Progress) noted(places map[int32]place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(p.places, places)
}

// forget what was read: the topic is not what it was.
func (p *Progress) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.identified, p.began = false, nil
	clear(p.places)
}
