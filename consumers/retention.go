package consumers

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
)

// retentionWatch notices records that retention removed before they were read: where a partition's log begins beyond the
// offset that was to be read next. A gap alone tells nothing, since compaction, aborted transactions and their
// markers leave gaps too.
type retentionWatch struct {
	next    map[int32]int64 // by partition of the one topic
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

// forget where the partitions stood: others may have read on in them meanwhile.
func (w *retentionWatch) forget() { clear(w.next) }

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
			w.metrics.lostToRetention(lost)
			w.logger.Error("retention removed records before they were read", "topic", p.Topic, "partition", p.Partition,
				"records", lost, "from", next, "to", next+lost-1, "remedy", "give the topic a longer retention, or the service more replicas")
		}
		w.next[p.Partition] = p.Records[len(p.Records)-1].Offset + 1
	})
}
