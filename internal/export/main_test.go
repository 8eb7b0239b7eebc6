package export

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"nearline/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTime bounds whatever a test waits for.
const testTime = 2 * time.Minute

// updates of the view item.
const updates = "nearline.features.item.updates"

// world is a cluster with a topic of rows, and one of a view's updates, of three partitions.
type world struct {
	testing.TB
	ctx    context.Context
	kafka  kafka.Connection
	client *kgo.Client
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	t.Cleanup(cancel)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "reviews.raw", updates))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w := &world{TB: t, ctx: ctx, kafka: kafka.Connection{Brokers: cluster.ListenAddrs()}}
	w.client = w.newClient(kgo.MaxBufferedRecords(300_000))
	return w
}

func (w *world) newClient(options ...kgo.Opt) *kgo.Client {
	w.Helper()
	client, err := w.kafka.Client(options...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(client.Close)
	return client
}

func (w *world) produce(records ...*kgo.Record) {
	w.Helper()
	if err := w.client.ProduceSync(w.ctx, records...).FirstErr(); err != nil {
		w.Fatal(err)
	}
}

// tell the view of events, each written when it was.
func (w *world) tell(events ...event) {
	w.Helper()
	records := make([]*kgo.Record, len(events))
	for i, e := range events {
		records[i] = &kgo.Record{Topic: updates, Key: []byte(e.key), Value: e.update(), Timestamp: time.UnixMilli(e.at)}
	}
	w.produce(records...)
}

// export with the view item; what o says goes before.
func (w *world) export(o Options) (rows []string, report Report, err error) {
	w.Helper()
	var out bytes.Buffer
	o.Connection, o.Out = w.kafka, &out
	if o.Views == nil {
		o.Views = []View{*viewOf(item())}
	}
	report, err = Run(w.ctx, o)
	for row := range strings.Lines(out.String()) {
		rows = append(rows, strings.TrimSuffix(row, "\n"))
	}
	return rows, report, err
}

// events that a row has seen.
func (w *world) seen(row string) int {
	w.Helper()
	var parsed struct {
		Item struct {
			Events int `json:"events"`
		} `json:"item"`
	}
	if err := json.Unmarshal([]byte(row), &parsed); err != nil {
		w.Fatalf("%v in %s", err, row)
	}
	return parsed.Item.Events
}
