package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
	"nearline/kafka/decompress"
)

// stretch is what a group has not committed of a partition, in offsets: from where it stands, or from the oldest record that there still is,
// to the last stable offset, which is as far as read-committed members come.
type stretch struct{ from, end int64 }

// Lag is how many offsets of each partition the group has not committed yet. Markers of upstream transactions, and records of those that were
// aborted, are among them: see LagWatch.
func (c *Cluster) Lag(ctx context.Context, group, topic string) (map[int32]int64, error) {
	stretches, err := c.stretches(ctx, group, topic)
	if err != nil {
		return nil, err
	}
	lag := make(map[int32]int64, len(stretches))
	for partition, s := range stretches {
		lag[partition] = max(0, s.end-s.from)
	}
	return lag, nil
}

func (c *Cluster) stretches(ctx context.Context, group, topic string) (map[int32]stretch, error) {
	committed, err := c.admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("read the offsets of group %s: %w", group, err)
	}
	starts, err := c.admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find the beginning of %s: %w", topic, err)
	}
	ends, err := c.admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("find the end of %s: %w", topic, err)
	}
	stretches := make(map[int32]stretch)
	ends.Each(func(end kadm.ListedOffset) {
		s := stretch{end: end.Offset}
		if start, found := starts.Lookup(topic, end.Partition); found {
			s.from = start.Offset
		}
		if at, found := committed.Lookup(topic, end.Partition); found {
			if at.Err != nil {
				return // unknown
			}
			s.from = max(s.from, at.At)
		}
		stretches[end.Partition] = s
	})
	return stretches, nil
}

// LagWatch tells how many records of each partition wait for a group, and looks into what the group does not get on with. Offsets alone do
// not tell: a group commits behind its last record, and markers of transactions and the records of aborted ones may follow for ever. Members
// could commit where they have read to instead. But they know nothing of partitions that nobody holds, and it would take a transaction
// that carries nothing. The watch only reads, so that nothing that it finds can move a group.
//
// It reads a partition only while the group stands there, and each offset once: up to the first record, or to the end.
// Not safe for concurrent use.
type LagWatch struct {
	cluster    *Cluster
	connection kafka.Connection
	config     KafkaConfig
	group      string
	topic      string
	logger     *slog.Logger

	stood map[int32]*stood
}

// stood is what is known of a partition that a group stands in.
type stood struct {
	stretch
	clear int64 // no record waits before that offset
	found bool  // one is there
	asked bool  // Ask has found the group there before
}

// WatchLag of a group on a topic.
func WatchLag(cluster *Cluster, connection kafka.Connection, config KafkaConfig, group, topic string, logger *slog.Logger) *LagWatch {
	return &LagWatch{cluster: cluster, connection: connection, config: config, group: group, topic: topic, logger: logger, stood: make(map[int32]*stood)}
}

// lagPatience is how long the cluster may take to say where the group stands, and as long again for what lies before it: what is not read
// by then is read the next time.
const lagPatience = 5 * time.Second

// Glance is the lag of every partition that there is, by offsets and what is known already.
func (w *LagWatch) Glance(ctx context.Context) (map[int32]int64, error) {
	if err := w.place(ctx); err != nil {
		return nil, err
	}
	return w.lag(), nil
}

// Ask for the lag of every partition that there is, and look into those where the group stands since it was last asked. It is called again and again.
func (w *LagWatch) Ask(ctx context.Context) (map[int32]int64, error) {
	if err := w.place(ctx); err != nil {
		return nil, err
	}
	behind := make(map[int32]*stood)
	for partition, at := range w.stood {
		if at.asked && !at.found && at.clear < at.end {
			behind[partition] = at
		}
		at.asked = true
	}
	if len(behind) > 0 {
		if err := w.look(ctx, behind); err != nil {
			w.logger.Debug("what waits for the group was not looked at", "group", w.group, "topic", w.topic, "error", err)
		}
	}
	return w.lag(), nil
}

// place each partition: where the group is, and whether it was there before.
func (w *LagWatch) place(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, lagPatience)
	defer cancel()
	stretches, err := w.cluster.stretches(asked, w.group, w.topic)
	if err != nil {
		return err
	}
	now := make(map[int32]*stood, len(stretches))
	for partition, s := range stretches {
		at := w.stood[partition]
		if at == nil || at.from != s.from || s.end < at.end { // it moves, or the topic is another one
			at = &stood{stretch: s, clear: s.from}
		} else {
			at.end = s.end
		}
		now[partition] = at
	}
	w.stood = now
	return nil
}

func (w *LagWatch) lag() map[int32]int64 {
	lag := make(map[int32]int64, len(w.stood))
	for partition, s := range w.stood {
		lag[partition] = max(0, s.end-s.clear)
	}
	return lag
}

// Bounds of a look: enough for many small transactions in one round trip.
const (
	lookBytes          = 4 << 20
	lookPartitionBytes = 256 << 10
)

// look for the first record of each of these partitions. It takes away those that it has an answer for.
func (w *LagWatch) look(ctx context.Context, behind map[int32]*stood) error {
	ctx, cancel := context.WithTimeout(ctx, lagPatience)
	defer cancel()
	offsets := make(map[int32]kgo.Offset, len(behind))
	for partition, s := range behind {
		offsets[partition] = kgo.NewOffset().At(s.clear)
	}
	bound := decompress.NewBounded(int(max(w.config.FetchMaxDecompressed, defaultMaxDecompressed)))
	client, err := w.connection.As("nearline-lag").Bounded(bound).Client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.topic: offsets}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // what is gone is no longer there the next time
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // which say how far there was nothing else
		kgo.FetchMaxBytes(lookBytes), kgo.FetchMaxPartitionBytes(lookPartitionBytes), kgo.FetchMaxWait(fetchMaxWait),
		kgo.RetryBackoffFn(retryBackoff),
		kgo.WithLogger(clientLogger{w.logger}),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(behind) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, e := range kafka.FetchErrors(fetches) {
			return fmt.Errorf("read %s[%d]: %w", e.Topic, e.Partition, e.Err)
		}
		var answered []int32
		fetches.EachRecord(func(r *kgo.Record) {
			s := behind[r.Partition]
			if s == nil {
				return
			}
			s.see(r.Offset, r.Attrs.IsControl())
			if s.found || s.clear >= s.end {
				delete(behind, r.Partition)
				answered = append(answered, r.Partition)
			}
		})
		if len(answered) > 0 {
			client.RemoveConsumePartitions(map[string][]int32{w.topic: answered})
		}
	}
	return nil
}

// see the next thing that there is: a marker, or a record.
func (s *stood) see(offset int64, marker bool) {
	switch {
	case offset >= s.end: // it came later
		s.clear = s.end
	case marker:
		s.clear = offset + 1
	default:
		s.clear, s.found = offset, true
	}
}
