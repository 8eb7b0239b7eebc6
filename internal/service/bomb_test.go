//go:build synctests

package service

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/harness/hostile"
	"nearline/producers"
)

func (b *bench) write(topic string, batches ...*hostile.Batch) {
	b.Helper()
	w, err := hostile.NewWriter(b.Context(), b.client, topic)
	if err != nil {
		b.Fatal(err)
	}
	for _, batch := range batches {
		encoded, err := batch.Encode()
		if err == nil {
			_, err = w.Write(b.Context(), batch.Partition, encoded)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func TestBombBecomesADeadLetterAndItsNeighboursAreScored(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		const size = 200 << 20
		bomb := hostile.NewGenerator(1).Bomb(2, kgo.CodecZstd, size)
		b.write("opinions.raw", bomb)
		b.send("opinions.raw", 0, 10)
		r := b.run(b.open(b.config("opinions")))
		r.committed(time.Minute, 13)
		r.streamed(2*time.Minute, true, "") // a rebalance may have cost a member its place, which it gets over
		r.end()
		b.count("opinions.scored", 12)
		letters := b.read("opinions.dlq")
		if len(letters) != 1 {
			b.Fatalf("got %d dead letters, want one", len(letters))
		}
		letter := letters[0]
		var reference producers.Reference
		if err := json.Unmarshal(letter.Value, &reference); err != nil {
			b.Fatalf("%v in %s", err, letter.Value)
		}
		if reference.Length != size || reference.Partition != 2 || reference.Offset != 1 || len(reference.SHA256) != 64 || string(letter.Key) != string(bomb.Records[1].Key) {
			b.Errorf("got key %q and %+v, want a reference to the bomb at 2/1", letter.Key, reference)
		}
		for key, want := range map[string]string{
			"nearline-dlq-class": "too_large", "nearline-dlq-stage": "fetch", "nearline-dlq-reference": "true", "nearline-dlq-source-offset": "1",
			"nearline-dlq-tombstone": "",
		} {
			if got := header(letter, key); got != want {
				b.Errorf("%s: got %q, want %q", key, got, want)
			}
		}
		if cause := header(letter, "nearline-dlq-cause"); !strings.Contains(cause, "209715200 bytes") || !strings.Contains(cause, "fetch_max_decompressed") {
			b.Errorf("got cause %q, want the length and the key to raise", cause)
		}
		for _, h := range letter.Headers {
			if strings.Contains(h.Key, "withheld") {
				b.Errorf("the dead letter tells of our own mark %q", h.Key)
			}
		}
	})
}

func TestMembersTakeManyBatchesThatAreNearTheBound(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		generator, records := hostile.NewGenerator(2), 0
		for i := range 30 {
			// Each fits alone, and a fetch of them is several times what a member may hold.
			batch := generator.Bomb(int32(i%3), kgo.CodecZstd, 3<<20)
			b.write("opinions.raw", batch)
			records += len(batch.Records)
		}
		c := b.config("opinions")
		c.Kafka.FetchMaxDecompressed = 8 << 20
		r := b.run(b.open(c))
		r.committed(time.Minute, int64(records))
		r.streamed(2*time.Minute, true, "") // a rebalance may have cost a member its place, which it gets over
		r.end()
		b.count("opinions.scored", records-30)
		b.count("opinions.dlq", 30)
	})
}

func TestBatchThatIsTooMuchEvenSoStopsItsPartitionAlone(t *testing.T) {
	with(t, func(b *bench) {
		b.pipelines("opinions")
		flood := &hostile.Batch{Partition: 1, Codec: kgo.CodecZstd, Records: make([]hostile.Record, 300_000)}
		for i := range flood.Records {
			flood.Records[i].Value = []byte("x")
		}
		b.write("opinions.raw", flood)
		c := b.config("opinions")
		c.Pipelines[0].Cycle.Members = 1
		r := b.run(b.open(c))
		r.streamed(time.Minute, false, "opinions.raw[1] stands still at offset 0")
		r.streamed(time.Minute, false, fmt.Sprintf("set the group's offset of this partition to %d", len(flood.Records)))
		for i := range 20 {
			b.produce(&kgo.Record{Topic: "opinions.raw", Key: fmt.Appendf(nil, "k%d", i), Value: []byte(`{"review_id":"r","text":"x"}`)})
		}
		elsewhere := 0
		r.until(time.Minute, "records of the other partitions", func() bool {
			elsewhere = len(b.read("opinions.scored"))
			return elsewhere > 0 && int64(elsewhere) == r.Committed()
		})
		// It looks again, after a while, and says so still.
		time.Sleep(10 * time.Minute)
		r.streamed(time.Minute, false, "opinions.raw[1] stands still at offset 0")
		r.end()
		b.count("opinions.dlq", 0)
	})
}
