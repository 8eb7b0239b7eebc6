package consumers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"nearline/kafka/decompress"
)

// attemptLog is what a topic says of the attempts at one input of one group, as far as it was read. Marks of others are passed by.
type attemptLog struct {
	name   string
	prefix string // of the keys that are ours

	// one reader at a time, who owns all below. Those who wait for it wait for what it reads, and no longer than they may.
	one   *semaphore.Weighted
	id    kadm.TopicID
	next  map[int32]int64 // offset to read next, by the topic's partition
	marks map[int32]attempt
}

func newAttemptLog(name, prefix string) *attemptLog {
	l := &attemptLog{name: name, prefix: prefix, one: semaphore.NewWeighted(1)}
	l.forget()
	return l
}

func (l *attemptLog) forget() { l.next, l.marks = make(map[int32]int64), make(map[int32]attempt) }

// attemptPrefix and the number of a partition are the key of its marks.
func attemptPrefix(group, topic string) string { return group + "/" + topic + "/" }

// attemptsBytes bounds what is held of a topic of marks once it is decompressed. A full batch of marks, which are about 100 bytes each, takes 4 MiB.
const attemptsBytes = 16 << 20

// last mark of each of the partitions.
func (l *attemptLog) last(partitions []int32) map[int32]attempt {
	found := make(map[int32]attempt)
	for _, p := range partitions {
		if mark, ok := l.marks[p]; ok {
			found[p] = mark
		}
	}
	return found
}

// catchUp reads to where the topic ended when it began.
func (l *attemptLog) catchUp(ctx context.Context, a *Attempts) error {
	topics, err := a.cluster.admin.ListTopics(ctx, l.name)
	if err == nil {
		err = topics[l.name].Err
	}
	if err != nil {
		return err
	}
	if id := topics[l.name].ID; id != l.id {
		l.forget() // it was made anew, with offsets from 0 again
		l.id = id
	}
	ends, err := a.cluster.admin.ListEndOffsets(ctx, l.name)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return err
	}
	starts, err := a.cluster.admin.ListStartOffsets(ctx, l.name)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return err
	}
	starts.Each(func(start kadm.ListedOffset) {
		l.next[start.Partition] = max(l.next[start.Partition], start.Offset) // retention, where somebody set one
	})
	for {
		from := make(map[int32]kgo.Offset)
		ends.Each(func(end kadm.ListedOffset) {
			if next := l.next[end.Partition]; next < end.Offset {
				from[end.Partition] = kgo.NewOffset().At(next)
			}
		})
		if len(from) == 0 {
			return nil
		}
		if err := l.read(ctx, a, from, ends); err != nil {
			return err
		}
	}
}

// read on from some offsets, to the ends or to a batch that is refused.
func (l *attemptLog) read(ctx context.Context, a *Attempts, from map[int32]kgo.Offset, ends kadm.ListedOffsets) error {
	bound := decompress.NewBounded(attemptsBytes)
	reader, err := a.client(bound, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.name: from}),
		kgo.KeepControlRecords()) // nothing of ours writes in transactions, but the topic may end with a marker all the same
	if err != nil {
		return err
	}
	defer reader.Close()
	behind := func() (behind bool) {
		ends.Each(func(end kadm.ListedOffset) { behind = behind || l.next[end.Partition] < end.Offset })
		return behind
	}
	for behind() {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			l.next[r.Partition] = r.Offset + 1
			if r.Attrs.IsControl() {
				return
			}
			if bound.Record(r).Verdict.Withheld == nil {
				l.see(string(r.Key), r.Value)
			}
		})
		for _, e := range fetches.Errors() {
			var refused *kgo.ErrDecompressTooLarge
			switch {
			case errors.Is(e.Err, decompress.ErrFull): // that passes once what was read is let go
			case errors.As(e.Err, &refused): // no process writes as many marks at once
				l.next[e.Partition] = max(l.next[e.Partition], refused.NextOffset)
				return nil
			default:
				return e.Err
			}
		}
	}
	return nil
}

// maxPartition that a mark may be of: what is kept of a topic that anybody writes to has a bound. Kafka has no cluster with as many.
const maxPartition = 1 << 16

// see takes a mark, unless it is not ours.
func (l *attemptLog) see(key string, value []byte) {
	number, ours := strings.CutPrefix(key, l.prefix)
	partition, err := strconv.ParseInt(number, 10, 32)
	if !ours || err != nil || partition < 0 || partition >= maxPartition || strconv.Itoa(int(partition)) != number {
		return
	}
	mark, ok := readAttempt(value)
	if !ok {
		return // somebody else's, or a later release's: no mark is no harm
	}
	before, known := l.marks[int32(partition)]
	l.marks[int32(partition)] = mark.after(before, known)
}

// readAttempt takes only what this code could have written.
func readAttempt(value []byte) (mark attempt, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&mark) != nil || decoder.More() {
		return attempt{}, false
	}
	return mark, mark.valid()
}
