package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

const (
	raw    = "reviews.raw"
	scored = "reviews.scored"
)

// keys that the reviews are spread over, so that their order can be told.
const keys = 7

// send numbered reviews, from first on.
func send(t *testing.T, brokers []string, first, n int) {
	t.Helper()
	kafka, err := kafka.Connection{Brokers: brokers}.Client(kgo.DefaultProduceTopic(raw))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var records []*kgo.Record
	for number := first; number < first+n; number++ {
		records = append(records, &kgo.Record{
			Key:   fmt.Appendf(nil, "item-%d", number%keys),
			Value: fmt.Appendf(nil, `{"review_id":"%d","item_id":"item-%d","text":"Number %d fits well, and I would buy it again."}`, number, number%keys, number),
		})
	}
	if err := kafka.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("send reviews: %v", err)
	}
}

// results reads the output as a read-committed consumer does.
type results struct {
	kafka *kgo.Client
	seen  map[int]int
	last  map[string]int // number by key
	order []string       // what came out of order
	label int            // how many have one
}

func read(t *testing.T, brokers []string) *results {
	t.Helper()
	kafka, err := kafka.Connection{Brokers: brokers}.Client(kgo.ConsumeTopics(scored), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	return &results{kafka: kafka, seen: map[int]int{}, last: map[string]int{}}
}

// until n different reviews have a result.
func (r *results) until(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for len(r.seen) < n {
		fetches := r.kafka.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d reviews have a result after 10 minutes", len(r.seen), n)
		}
		fetches.EachRecord(func(record *kgo.Record) { r.add(t, record) })
	}
}

// rest reads for a moment longer, to see what should not be there.
func (r *results) rest(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		r.kafka.PollFetches(ctx).EachRecord(func(record *kgo.Record) { r.add(t, record) })
	}
}

func (r *results) add(t *testing.T, record *kgo.Record) {
	t.Helper()
	var result struct {
		ID        int `json:"review_id,string"`
		Sentiment struct{ Label string }
	}
	if err := json.Unmarshal(record.Value, &result); err != nil {
		t.Fatalf("result %s: %v", record.Value, err)
	}
	key := string(record.Key)
	if last, found := r.last[key]; found && result.ID < last {
		r.order = append(r.order, fmt.Sprintf("%s: %d after %d", key, result.ID, last))
	}
	r.last[key] = max(r.last[key], result.ID)
	r.seen[result.ID]++
	if result.Sentiment.Label != "" {
		r.label++
	}
}

// wantEach wants one result for each of n reviews, in the order of their keys.
func (r *results) wantEach(t *testing.T, n int) {
	t.Helper()
	lost, doubled := 0, 0
	for number := range n {
		switch r.seen[number] {
		case 0:
			lost++
		case 1:
		default:
			doubled++
		}
	}
	if lost > 0 || doubled > 0 || len(r.order) > 0 || len(r.seen) != n || r.label < n {
		t.Errorf("of %d reviews %d are lost, %d doubled, %d out of order (%v); %d results with a label for %d reviews: want each once, in order",
			n, lost, doubled, len(r.order), r.order, r.label, len(r.seen))
	}
}
