package dev

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// compacting is a broker with a compacted topic, whose cleaner comes all the time.
func compacting(t *testing.T) (addr string) {
	return startBroker(t, BrokerConfig{Topics: []Topic{{Name: "states", Partitions: 1, Compact: true}}, RetentionInterval: 10 * time.Millisecond}).Addr()
}

// committed are the values of a key that a reader of what is committed gets.
func committed(t *testing.T, addr, key string) (values []string) {
	t.Helper()
	ctx := testContext(t)
	end := newClient(t, addr)
	produce(t, end, &kgo.Record{Topic: "states", Key: []byte("end")})
	reader := newClient(t, addr, kgo.ConsumeTopics("states"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer reader.Close()
	for {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatal("the topic could not be read to its end")
		}
		over := false
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Key) == key {
				values = append(values, string(r.Value))
			}
			over = string(r.Key) == "end"
		})
		if over {
			return values
		}
	}
}

func TestCleanerLeavesWhatAnOpenTransactionWouldReplace(t *testing.T) {
	ctx, addr := testContext(t), compacting(t)
	produce(t, newClient(t, addr), &kgo.Record{Topic: "states", Key: []byte("k"), Value: []byte("committed")})
	writer := newClient(t, addr, kgo.TransactionalID("w"))
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // the last batch of a partition is never compacted
		produce(t, writer, &kgo.Record{Topic: "states", Key: []byte("k"), Value: fmt.Append(nil, i)})
	}
	time.Sleep(200 * time.Millisecond) // many rounds of the cleaner
	if err := writer.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, addr, "k"); len(got) != 1 || got[0] != "committed" {
		t.Errorf("got %q, want the committed value and nothing else", got)
	}
}

func TestCleanerCompactsBetweenTransactions(t *testing.T) {
	ctx, addr := testContext(t), compacting(t)
	writer := newClient(t, addr, kgo.TransactionalID("w"))
	const versions = 50
	for i := range versions {
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, writer, &kgo.Record{Topic: "states", Key: []byte("k"), Value: fmt.Append(nil, i)})
		if err := writer.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	for {
		got := committed(t, addr, "k")
		if len(got) == 0 || got[len(got)-1] != fmt.Sprint(versions-1) {
			t.Fatalf("got %q, want the last one at the end", got)
		}
		if len(got) <= 2 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%d of %d values are left, want the last one", len(got), versions)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A producer goes on after a transaction of its was aborted, and compacted away with the mark of its end.
func TestCleanerHidesNothingThatIsCommittedAfterAnAbort(t *testing.T) {
	ctx, addr := testContext(t), compacting(t)
	write := func(writer *kgo.Client, value string, end kgo.TransactionEndTry) {
		t.Helper()
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, writer, &kgo.Record{Topic: "states", Key: []byte("k"), Value: []byte(value)})
		if err := writer.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	writer := newClient(t, addr, kgo.TransactionalID("w"))
	produce(t, newClient(t, addr), &kgo.Record{Topic: "states", Key: []byte("stays"), Value: []byte("0")})
	write(writer, "aborted", kgo.TryAbort)
	produce(t, newClient(t, addr), &kgo.Record{Topic: "states", Key: []byte("last"), Value: []byte("0")}) // the last batch of a partition is never compacted
	time.Sleep(200 * time.Millisecond)                                                                    // many rounds of the cleaner
	write(writer, "committed", kgo.TryCommit)
	if got := committed(t, addr, "k"); len(got) != 1 || got[0] != "committed" {
		t.Errorf("got %q, want the committed value and nothing else", got)
	}
}
