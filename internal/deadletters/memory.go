package deadletters

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"nearline/consumers"
	"nearline/pipeline"
	"nearline/producers"
)

// Dealing is what was done about a dead letter.
type Dealing string

// What can be done about a dead letter.
const (
	Left      Dealing = ""          // nothing yet
	PutBack   Dealing = "replayed"  // its original was put back
	Repaired  Dealing = "repaired"  // its original was put back with another value
	Dismissed Dealing = "dismissed" // it stays dead, and somebody wants it so
)

// dealings is what was done about which dead letters. It is read from a compacted topic, to which every replay writes in the transaction of
// the records that it puts back.
type dealings map[Dealing]memory

func (d dealings) set(how Dealing, partition int32, offset int64) {
	for _, other := range d { // the last one counts
		other.clear(partition, offset)
	}
	if d[how] == nil {
		d[how] = make(memory)
	}
	d[how].set(partition, offset)
}

func (d dealings) dealing(at pipeline.Coordinates) Dealing {
	for how, letters := range d {
		if letters.has(at) {
			return how
		}
	}
	return Left
}

// memory is which dead letters something was done about: a bit for each offset, in pieces that exist where a bit is set.
type memory map[int32]map[int64]*piece

const pieceBits = 1 << 14

type piece [pieceBits / 64]uint64

func (m memory) set(partition int32, offset int64) {
	if m[partition] == nil {
		m[partition] = make(map[int64]*piece)
	}
	p := m[partition][offset/pieceBits]
	if p == nil {
		p = new(piece)
		m[partition][offset/pieceBits] = p
	}
	p[offset%pieceBits/64] |= 1 << (offset % 64)
}

func (m memory) clear(partition int32, offset int64) {
	if p := m[partition][offset/pieceBits]; p != nil {
		p[offset%pieceBits/64] &^= 1 << (offset % 64)
	}
}

func (m memory) has(at pipeline.Coordinates) bool {
	p := m[at.Partition][at.Offset/pieceBits]
	return p != nil && p[at.Offset%pieceBits/64]&(1<<(at.Offset%64)) != 0
}

// remembered is the value of one record of the memory; its key is TOPIC/PARTITION/OFFSET of the dead letter.
type remembered struct {
	// TopicID tells the topic from one that was made anew under its name, with offsets from 0 again.
	TopicID string `json:"topic_id"`
	// Dealt is what was done; earlier builds only replayed, and did not say so.
	Dealt   Dealing   `json:"dealt,omitempty"`
	To      string    `json:"to,omitempty"`
	Attempt int       `json:"attempt,omitempty"`
	Time    time.Time `json:"time"`
	Note    string    `json:"note,omitempty"`
}

// MemoryTopic is where it is remembered what was done about the letters of a topic.
func MemoryTopic(topic string) string { return topic + producers.ReplayedSuffix }

// remember builds the memory's record of what is done about one letter.
func (t *Topic) remember(l *producers.Letter, what remembered) (pipeline.Output, error) {
	what.TopicID, what.Time = t.id.String(), time.Now().UTC()
	value, err := json.Marshal(what)
	if err != nil {
		return pipeline.Output{}, err
	}
	key := fmt.Sprintf("%s/%d/%d", t.Name, l.At.Partition, l.At.Offset)
	return pipeline.Output{Topic: MemoryTopic(t.Name), Key: []byte(key), Value: value}, nil
}

// dealt reads what was done about which letters. Where nothing was, there may be no such topic.
func (t *Topic) dealt(ctx context.Context) (dealings, error) {
	topic := MemoryTopic(t.Name)
	parts, err := t.letters.Parts(ctx, topic, time.Time{})
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return dealings{}, nil
	}
	if err != nil {
		return nil, err
	}
	d := make(dealings)
	for _, part := range parts {
		err := t.letters.Scan(ctx, part, func(r *pipeline.Record) error {
			return d.read(r, t.Name, t.id)
		})
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d dealings) read(r *pipeline.Record, topic string, id kadm.TopicID) error {
	if r.Tombstone() {
		return nil // somebody made it forget
	}
	var value remembered
	rest, ours := strings.CutPrefix(string(r.Key), topic+"/")
	partition, offset, err := ParsePlace(rest)
	if err == nil {
		err = json.Unmarshal(r.Value, &value)
	}
	if !ours || err != nil {
		return fmt.Errorf("%s has the key %s: want %s/PARTITION/OFFSET, and what was remembered as JSON; it is no memory of replays",
			r.Coordinates(), strconv.Quote(string(r.Key)), topic)
	}
	if value.TopicID == id.String() {
		d.set(cmp.Or(value.Dealt, PutBack), partition, offset)
	}
	return nil
}

// makeMemory makes the memory's topic, unless it is there.
func (t *Topic) makeMemory(ctx context.Context) error {
	cluster, err := consumers.Dial(t.connection, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer cluster.Close()
	topic := MemoryTopic(t.Name)
	if err := cluster.EnsureTopic(ctx, consumers.NewTopic{Name: topic, Partitions: 1, Compact: true}); err != nil {
		return fmt.Errorf("topic %s, where replays are remembered: %w", topic, err)
	}
	return nil
}
