//go:build synctests

package service

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"nearline/internal/config"
)

// The updates topic of inShop's view.
const itemUpdates = "nearline.features.item.updates"

// old events of a month ago, by their own time and by their records'.
func (b *shop) old(n int) {
	b.Helper()
	if b.want["item-old"] == nil {
		b.want["item-old"] = &expected{}
	}
	e := b.want["item-old"]
	for i := range n {
		at := time.Now().Add(-30 * 24 * time.Hour).Add(time.Duration(i) * time.Millisecond)
		b.produce(&kgo.Record{Topic: "events.raw", Key: []byte("k"), Timestamp: at, Value: fmt.Appendf(nil,
			`{"event_id":"e%d","item_id":"item-old","who":"u","created_at":%q,"kind":"purchase","value":1}`, i, at.UTC().Format(time.RFC3339Nano))})
		e.events++
		e.value++
		e.last = append(e.last, "u")
	}
}

// keepInputs for ever: what is shown is that nothing is lost behind them.
func (b *shop) keepInputs() {
	b.Helper()
	forever := "-1"
	altered, err := kadm.NewClient(b.client).AlterTopicConfigs(b.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &forever}}, "events.raw")
	if err == nil {
		_, err = altered.On("events.raw", func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		b.Fatal(err)
	}
}

// frozen is a member of the view's group that takes partitions and reads nothing of them, until it leaves.
func (b *shop) frozen(c *config.Config) *kgo.Client {
	b.Helper()
	client, err := b.world.Connection(b.world.Line()).Client(kgo.ConsumerGroup(c.Features.Group("item")),
		kgo.ConsumeTopics(itemUpdates), kgo.DisableAutoCommit(), kgo.MetadataMinAge(100*time.Millisecond), kgo.Balancers(kgo.CooperativeStickyBalancer()))
	if err != nil {
		b.Fatal(err)
	}
	return client
}

// sweep as brokers do, for a while.
func (b *shop) sweep(lasts time.Duration) {
	for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(time.Second) {
		b.world.Cluster.ApplyRetention()
	}
}

// updatesLeft is how many offsets the topic of updates has.
func (b *shop) updatesLeft() (n int64) {
	for _, p := range b.world.Cluster.PartitionInfos(itemUpdates) {
		n += p.HighWatermark - p.LogStartOffset
	}
	return n
}

// A backlog of a month is aggregated while whoever holds the view's partitions stands still, and brokers sweep: its updates wait.
func TestViewKeepsUpdatesOfOldEventsUntilTheyAreRead(t *testing.T) {
	inShop(t, func(b *shop) {
		b.keepInputs()
		c := b.config()
		frozen := b.frozen(c)
		defer frozen.Close()
		r := b.run(b.open(c))
		r.until(time.Minute, "the view's topics", func() bool { return b.world.Cluster.TopicInfo(itemUpdates) != nil })
		time.Sleep(30 * time.Second) // both are in the group
		b.old(3000)
		r.until(time.Minute, "the events to be aggregated", func() bool { return r.Committed() >= 3000 })
		b.sweep(12 * time.Second)
		frozen.Close()
		r.learned(2*time.Minute, b.want)
		r.end()
	})
}

// The same, with the service killed between the aggregation and the view's reading.
func TestViewCountsABacklogOfAMonthAfterTheServiceWasAway(t *testing.T) {
	inShop(t, func(b *shop) {
		b.keepInputs()
		c := b.config()
		frozen := b.frozen(c)
		defer frozen.Close()
		r := b.run(b.open(c))
		r.until(time.Minute, "the view's topics", func() bool { return b.world.Cluster.TopicInfo(itemUpdates) != nil })
		time.Sleep(30 * time.Second)
		b.old(1500)
		r.until(time.Minute, "some events", func() bool { return r.Committed() >= 1500 })
		b.line.Cut()
		r.stop()
		<-r.gone
		b.old(1500)
		b.sweep(20 * time.Second)
		frozen.Close()
		b.line = b.world.Line()
		next := b.run(b.open(c))
		b.sweep(12 * time.Second)
		next.learned(3*time.Minute, b.want)
		next.end()
	})
}

// What is read goes once it is older than features.retention by its arrival, and not before; what is not read stays however old it is.
func TestUpdatesGoOnceTheyAreReadAndOld(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		c.Features.Retention = 10 * time.Minute
		r := b.run(b.open(c))
		b.old(300)
		r.learned(time.Minute, b.want)
		time.Sleep(8 * time.Minute)
		if left := b.updatesLeft(); left < 300 {
			t.Errorf("%d offsets are left of the updates after 8 minutes, want all 300: they arrived less than 10 minutes ago", left)
		}
		time.Sleep(4 * time.Minute)
		if left := b.updatesLeft(); left > 10 {
			t.Errorf("%d offsets are left of the updates after 12 minutes, want none: they are read and old", left)
		}
		b.old(10)
		r.learned(time.Minute, b.want)
		r.end()

		frozen := b.frozen(c)
		defer frozen.Close()
		time.Sleep(10 * time.Second)
		next := b.run(b.open(c))
		time.Sleep(30 * time.Second)
		b.old(200)
		next.until(time.Minute, "the events to be aggregated", func() bool { return next.Committed() >= 200 })
		time.Sleep(30 * time.Minute)
		frozen.Close()
		next.learned(2*time.Minute, b.want)
		next.end()
	})
}

// A topic that an older release has made loses its retention by time and size when the service starts.
func TestUpdatesTopicOfAnOlderReleaseIsMended(t *testing.T) {
	inShop(t, func(b *shop) {
		week, size := "604800000", "1000000"
		b.topics(map[string]*string{"retention.ms": &week, "retention.bytes": &size}, itemUpdates)
		r := b.run(b.open(b.config()))
		b.load(20)
		r.learned(time.Minute, b.want)
		configs, err := kadm.NewClient(b.client).DescribeTopicConfigs(b.Context(), itemUpdates)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, entry := range configs[0].Configs {
			if entry.Value != nil {
				got[entry.Key] = *entry.Value
			}
		}
		for key, want := range map[string]string{"retention.ms": "-1", "retention.bytes": "-1", "message.timestamp.type": "LogAppendTime"} {
			if got[key] != want {
				t.Errorf("%s is %q, want %q", key, got[key], want)
			}
		}
		r.end()
	})
}

// Where the service may neither change the topic nor delete from it, it works, and says what to do.
func TestAViewWorksWithoutTheRightToChangeItsTopics(t *testing.T) {
	inShop(t, func(b *shop) {
		week := "604800000"
		b.topics(map[string]*string{"retention.ms": &week}, itemUpdates)
		for _, key := range []kmsg.Key{kmsg.IncrementalAlterConfigs, kmsg.DeleteRecords} {
			b.world.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		}
		c := b.config()
		c.Features.Retention = time.Minute
		r := b.run(b.open(c))
		b.load(20)
		r.learned(time.Minute, b.want)
		time.Sleep(10 * time.Minute)
		b.load(20)
		r.learned(time.Minute, b.want)
		r.end()
	})
}

// A topic refuses old timestamps, and may not be asked what it takes: each result is published again with the time of writing, and the others keep theirs.
func TestRefusedTimestampsMakeNoDeadLetters(t *testing.T) {
	for name, old := range map[string]int{"a few": 40, "all": 1} {
		t.Run(name, func(t *testing.T) {
			with(t, func(b *bench) {
				b.pipelines("posts")
				limit := 24 * time.Hour
				for p := range int32(3) { // a request may have several, and only what is old is refused
					b.world.Cluster.Fault(kfake.Fault{
						Keys: []kmsg.Key{kmsg.Produce}, Topic: "posts.scored", Partitions: []int32{p}, Err: kerr.InvalidTimestamp, Count: -1,
						When: func(r kmsg.Request) bool {
							return olderThan(r.(*kmsg.ProduceRequest), p, time.Now().Add(-limit).UnixMilli())
						},
					})
				}
				const n = 400
				stamps := map[string]int64{}
				for i := range n {
					at := time.Now().Add(-time.Minute)
					if i%old == 0 {
						at = time.Now().Add(-2 * limit)
					}
					id := fmt.Sprint("r", i)
					stamps[id] = at.UnixMilli()
					b.produce(&kgo.Record{Topic: "posts.raw", Key: []byte(id), Timestamp: at, Value: fmt.Appendf(nil, `{"review_id":%q,"text":"good"}`, id)})
				}
				r := b.run(b.open(b.config("posts")))
				r.committed(2*time.Minute, n)
				b.count("posts.dlq", 0)
				b.count("posts.scored", n)
				for _, result := range b.read("posts.scored") {
					want, got := stamps[string(result.Key)], result.Timestamp.UnixMilli()
					fresh := time.Since(result.Timestamp) < time.Hour && header(result, "nearline-source-timestamp") == strconv.FormatInt(want, 10)
					if inherited := got == want; inherited == (time.Since(time.UnixMilli(want)) > limit) || !inherited && !fresh {
						t.Errorf("%s: the result of a record of %v is of %v, with headers %v", result.Key, time.UnixMilli(want), result.Timestamp, result.Headers)
					}
				}
				r.end()
			})
		})
	}
}

// olderThan says that a request has a record for a partition from before a time.
func olderThan(r *kmsg.ProduceRequest, p int32, ms int64) bool {
	for _, topic := range r.Topics {
		for _, partition := range topic.Partitions {
			var batch kmsg.RecordBatch
			if partition.Partition != p || batch.ReadFrom(partition.Records) != nil {
				continue
			}
			records, err := kfake.BatchRecords(batch)
			if err != nil {
				continue
			}
			for _, record := range records {
				if batch.FirstTimestamp+record.TimestampDelta64 < ms {
					return true
				}
			}
		}
	}
	return false
}

// stamped writes one record with a timestamp that the client cannot count.
func (b *bench) stamped(topic string, ms int64, key, value string) {
	b.Helper()
	var record []byte
	record = append(record, 0, 0, 0) // attributes, differences of timestamp and offset
	for _, part := range []string{key, value} {
		record = append(binary.AppendVarint(record, int64(len(part))), part...)
	}
	record = append(record, 0) // headers
	body := append(binary.AppendVarint(nil, int64(len(record))), record...)
	batch := kmsg.RecordBatch{Length: int32(49 + len(body)), PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: ms, MaxTimestamp: ms,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: body}
	encoded := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(encoded[17:], crc32.Checksum(encoded[21:], crc32.MakeTable(crc32.Castagnoli)))
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 1000
	to, part := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	to.Topic, to.TopicID, part.Records = topic, b.world.Cluster.TopicInfo(topic).TopicID, encoded
	to.Partitions = append(to.Partitions, part)
	request.Topics = append(request.Topics, to)
	response, err := request.RequestWith(b.Context(), b.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		b.Fatalf("write a record of %d: %v", ms, err)
	}
}

// Timestamps that are none neither age the event nor reach the results: its own time counts.
func TestImplausibleTimestampsChangeNoFeatureAndNoResult(t *testing.T) {
	inShop(t, func(b *shop) {
		c := b.config()
		c.Features.Views[0].TTL = 365 * 24 * time.Hour
		r := b.run(b.open(c))
		now := time.Now()
		stamps := []int64{-1, 0, now.Unix(), now.UnixMicro(), 253_402_300_799_999, 32_503_680_000_000, now.UnixMilli()}
		e := &expected{}
		b.want["item-1"] = e
		for i, ms := range stamps {
			at := now.Add(-time.Hour).Add(time.Duration(i) * time.Minute)
			b.stamped("posts.raw", ms, "k", fmt.Sprintf(`{"review_id":"r%d","text":"good","item_id":"item-1","user_id":"u%d","created_at":%q,"kind":"review"}`,
				i, i, at.UTC().Format(time.RFC3339)))
			e.reviews++
			e.last = append(e.last, fmt.Sprint("u", i))
		}
		r.learned(time.Minute, b.want)
		_, body := r.ask("/v1/features/item/item-1")
		if got := fmt.Sprint(body["at"]); got != now.Add(-54*time.Minute).UTC().Format(time.RFC3339) {
			t.Errorf("the latest event is of %s, want %v", got, now.Add(-54*time.Minute))
		}
		results := b.read("posts.scored")
		if len(results) != len(stamps) {
			t.Fatalf("got %d results of %d", len(results), len(stamps))
		}
		for i, result := range results {
			if age := time.Since(result.Timestamp); age < 0 || age > 10*time.Minute {
				t.Errorf("the result of a record of %d is of %v, want the time of writing or its own", stamps[i], result.Timestamp)
			}
			if got := header(result, "nearline-source-timestamp"); (got != strconv.FormatInt(stamps[i], 10)) != (stamps[i] == now.UnixMilli()) {
				t.Errorf("the result of a record of %d has header %q", stamps[i], got)
			}
		}
		r.end()
	})
}
