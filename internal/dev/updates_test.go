package dev

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/consumers"
)

// Updates that a view has not read are not the broker's to delete, whatever their size and age.
func TestBrokerDeletesNoUpdates(t *testing.T) {
	updates := consumers.NewTopic{Updates: true}.Settings()
	broker := startBroker(t, BrokerConfig{Topics: []Topic{{Name: "updates", Partitions: 1, Retention: 64 << 10, Settings: updates}, {Name: "other", Partitions: 1, Retention: 64 << 10}},
		RetentionInterval: 10 * time.Millisecond})
	client, err := broker.Connection().Client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	value := bytes.Repeat([]byte("x"), 4<<10)
	for range 100 {
		for _, topic := range []string{"updates", "other"} {
			produce(t, client, &kgo.Record{Topic: topic, Value: value, Timestamp: time.Now().Add(-60 * 24 * time.Hour)})
		}
	}
	admin := kadm.NewClient(client)
	for { // until the broker has swept, which the other topic shows
		starts, err := admin.ListStartOffsets(t.Context(), "updates", "other")
		if err != nil {
			t.Fatal(err)
		}
		kept, _ := starts.Lookup("updates", 0)
		if kept.Offset > 0 {
			t.Fatalf("%d updates are gone, want none", kept.Offset)
		}
		if swept, _ := starts.Lookup("other", 0); swept.Offset > 0 {
			return
		}
	}
}
