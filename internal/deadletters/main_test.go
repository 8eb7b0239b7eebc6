package deadletters

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"nearline/internal/committed"
	"nearline/kafka"
	"nearline/kafka/decompress"
	"nearline/pipeline"
	"nearline/producers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	raw  = "reviews.raw"
	dead = "reviews.raw.dlq"
)

// testTime bounds whatever a test waits for.
const testTime = 2 * time.Minute

// world is a cluster with a source and a topic of dead letters, of two partitions each.
type world struct {
	*testing.T
	ctx     context.Context
	kafka   kafka.Connection
	client  *kgo.Client
	builder *producers.Builder
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	t.Cleanup(cancel)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, raw, dead, "elsewhere"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w := &world{T: t, ctx: ctx, kafka: kafka.Connection{Brokers: cluster.ListenAddrs()}}
	w.client = w.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.builder, err = producers.New(producers.Config{Topic: "reviews.scored", DeadLetters: dead}, nothing{})
	if err == nil {
		w.builder, err = w.builder.WithLimits(0, 9000)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// nothing encodes nothing: only dead letters are built.
type nothing struct{}

func (nothing) Append(dst []byte, _ *pipeline.Row) ([]byte, *pipeline.Fault) { return dst, nil }

func (w *world) newClient(options ...kgo.Opt) *kgo.Client {
	w.Helper()
	client, err := w.kafka.Client(options...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(client.Close)
	return client
}

func (w *world) open() *Topic {
	w.Helper()
	topic, err := Open(w.ctx, w.kafka, dead)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(topic.Close)
	return topic
}

func (w *world) produce(records ...*kgo.Record) {
	w.Helper()
	if err := w.client.ProduceSync(w.ctx, records...).FirstErr(); err != nil {
		w.Fatal(err)
	}
}

// review is written to the source; it is what its dead letter will be of.
func (w *world) review(partition int32, key, value string, headers ...kgo.RecordHeader) *pipeline.Record {
	w.Helper()
	r := &kgo.Record{Topic: raw, Partition: partition, Key: []byte(key), Value: []byte(value), Headers: headers}
	w.produce(r)
	return convert(r)
}

// convert a record that was produced.
func convert(r *kgo.Record) *pipeline.Record {
	return decompress.NewBounded(0).Record(r)
}

func (w *world) die(r *pipeline.Record, class pipeline.Class, format string, args ...any) {
	w.Helper()
	fault := pipeline.Faultf(class, pipeline.StageDecode, format, args...)
	if class == pipeline.ClassModel {
		fault.Model, fault.Version = "sentiment", 2
	}
	letter := outgoing(w.builder.DeadLetter(r, fault, 1))
	letter.Partition = r.Partition
	w.produce(letter)
}

// deaths of n reviews, one after another in partition 0.
func (w *world) deaths(n int) {
	w.Helper()
	for i := range n {
		w.die(w.review(0, "k"+strconv.Itoa(i), "v"+strconv.Itoa(i)), pipeline.ClassDecode, "not JSON at byte %d", i)
	}
}

// all committed records of a topic, as partition/key=value {headers}, sorted by where they stand.
func (w *world) all(topic string) []string {
	w.Helper()
	reader, err := committed.NewReader(w.kafka, clientID)
	if err != nil {
		w.Fatal(err)
	}
	defer reader.Close()
	parts, err := reader.Parts(w.ctx, topic, time.Time{})
	if err != nil {
		w.Fatal(err)
	}
	var all []string
	for _, part := range parts {
		err := reader.Scan(w.ctx, part, func(r *pipeline.Record) error {
			line := fmt.Sprintf("%s=%s", r.Key, r.Value)
			for _, h := range r.Headers {
				line += fmt.Sprintf(" %s:%s", h.Key, h.Value)
			}
			all = append(all, line)
			return nil
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	return all
}

func (w *world) replay(o ReplayOptions) Replayed {
	w.Helper()
	report, err := w.open().Replay(w.ctx, o)
	if err != nil {
		w.Fatal(err)
	}
	return report
}

func (w *world) want(what string, got any, want string) {
	w.Helper()
	text := fmt.Sprint(got)
	if lines, ok := got.([]string); ok {
		text = strings.Join(lines, "\n")
	}
	if text != want {
		w.Errorf("%s: got\n%s\nwant\n%s", what, text, want)
	}
}
