package consumers

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
)

// retentionWatch notices records that retention removed before they were read: where a partition's log begins beyond the
// offset that was to be read next. A gap alone tells nothing, since compaction, aborted transactions and their
// markers leave gaps too.
type retentionWatch struct {
	next map[int32]int64 // by partition of the one topic
	// found in the cycle in hand. A loss is told once the cycle is committed: one that is given back finds it again, here or in another member.
	found   []loss
	resumes *resumption
	logger  *slog.Logger
	metrics *Metrics
}

func newRetentionWatch(config Config, resumes *resumption) *retentionWatch {
	logger := config.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &retentionWatch{next: make(map[int32]int64), resumes: resumes, logger: logger, metrics: config.Metrics}
}

// loss of records in a partition.
type loss struct {
	topic         string
	partition     int32
	from, records int64
}

// forget where the partitions stood: others may have read on in them meanwhile. So may a cycle have been given back.
func (w *retentionWatch) forget() {
	clear(w.next)
	w.found = nil
}

// committed tells what was found in the cycle.
func (w *retentionWatch) committed() {
	for _, l := range w.found {
		w.metrics.lostToRetention(l.records)
		w.logger.Error("retention removed records before they were read", "topic", l.topic, "partition", l.partition,
			"records", l.records, "from", l.from, "to", l.from+l.records-1, "remedy", "give the topic a longer retention, or the service more replicas")
	}
	w.found = nil
}

// observe must see every poll, in order.
func (w *retentionWatch) observe(client *kgo.Client, fetches kgo.Fetches) {
	var committed map[string]map[int32]kgo.EpochOffset
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		next, known := w.next[p.Partition]
		if !known {
			if committed == nil {
				committed = client.CommittedOffsets()
			}
			at, found := committed[p.Topic][p.Partition]
			next, known = at.Offset, found && at.Offset >= 0
			if !known {
				next, known = w.resumes.place(p.Partition)
			}
		}
		first := p.Records[0].Offset
		if known && next < p.LogStartOffset && next < first {
			lost := min(p.LogStartOffset, first) - next
			w.found = append(w.found, loss{topic: p.Topic, partition: p.Partition, from: next, records: lost})
		}
		w.next[p.Partition] = p.Records[len(p.Records)-1].Offset + 1
	})
}
