package dev

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/kafka"
)

// testTime bounds whatever a test waits for, so that a fault ends it with a message rather than a hang.
const testTime = time.Minute

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	t.Cleanup(cancel)
	return ctx
}

func startBroker(t *testing.T, cfg BrokerConfig) *Broker {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	b, err := StartBroker(testContext(t), cfg)
	if err != nil {
		t.Fatalf("start the broker: %v", err)
	}
	t.Cleanup(b.Close)
	return b
}

func newClient(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kafka.Connection{Brokers: []string{addr}}.Client(opts...)
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

func produce(t *testing.T, client *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := client.ProduceSync(testContext(t), records...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
}

func TestBrokerHasTheTopics(t *testing.T) {
	ctx := testContext(t)
	b := startBroker(t, BrokerConfig{})
	topics, err := kadm.NewClient(newClient(t, b.Addr())).ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(topics.Names()), "[reviews.raw reviews.raw.dlq reviews.scored]"; got != want {
		t.Errorf("topics: got %s, want %s", got, want)
	}
	for _, topic := range topics {
		if len(topic.Partitions) != 6 {
			t.Errorf("%s has %d partitions, want 6", topic.Topic, len(topic.Partitions))
		}
	}
}

func TestBrokerOnTakenPortNamesTheRemedy(t *testing.T) {
	b := startBroker(t, BrokerConfig{})
	_, err := StartBroker(testContext(t), BrokerConfig{Listen: b.Addr()})
	if err == nil {
		t.Fatal("a second broker started on the same port")
	}
	for _, want := range []string{b.Addr(), "taken", "--kafka"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %q", err, want)
		}
	}
}

func TestBrokerRefusesBadAddress(t *testing.T) {
	for _, listen := range []string{"9092", "127.0.0.1", "127.0.0.1:kafka", "127.0.0.1:70000"} {
		if _, err := StartBroker(testContext(t), BrokerConfig{Listen: listen}); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("listen %q: got %v, want an error that says what is wanted", listen, err)
		}
	}
}

func TestBrokerAdvertisesAnAddressToComeBackTo(t *testing.T) {
	for _, test := range []struct{ listen, advertise, want string }{
		{"127.0.0.1:0", "", "127.0.0.1"},
		{"0.0.0.0:0", "", "127.0.0.1"},
		{":0", "", "127.0.0.1"},
		{"0.0.0.0:0", "localhost", "localhost"},
	} {
		b := startBroker(t, BrokerConfig{Listen: test.listen, Advertise: test.advertise})
		brokers, err := kadm.NewClient(newClient(t, b.Addr())).ListBrokers(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(b.Addr())
		if got, want := fmt.Sprintf("%s:%d", brokers[0].Host, brokers[0].Port), net.JoinHostPort(test.want, port); got != want {
			t.Errorf("listen %s: clients are told %s, want %s", test.listen, got, want)
		}
	}
}

// Topics are flooded with many times their retention: what the broker holds must stay near the bound.
func TestBrokerMemoryIsBoundedByRetention(t *testing.T) {
	ctx := testContext(t)
	const retention = 1 << 20
	b := startBroker(t, BrokerConfig{
		Topics:            []Topic{{Name: "flood", Partitions: 1, Retention: retention}},
		RetentionInterval: 10 * time.Millisecond,
	})
	client := newClient(t, b.Addr(), kgo.ProducerBatchCompression(kgo.NoCompression()))
	admin := kadm.NewClient(client)
	start := func() int64 {
		listed, err := admin.ListStartOffsets(ctx, "flood")
		if err != nil {
			t.Fatal(err)
		}
		offset, _ := listed.Lookup("flood", 0)
		return offset.Offset
	}
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	flood := func(n int) {
		value := bytes.Repeat([]byte("x"), 64<<10)
		for range n {
			produce(t, client, &kgo.Record{Topic: "flood", Value: value, Timestamp: time.Unix(0, 0)})
		}
	}
	before := heap()
	const records = 1024 // 64 MiB
	flood(records)
	want := int64(records - 2*retention/(64<<10))
	for start() < want {
		if ctx.Err() != nil {
			t.Fatalf("retention stopped at offset %d, want at least %d", start(), want)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if kept := records - start(); kept < retention/(64<<10)/2 {
		t.Errorf("only %d records are left of %d that fit: retention goes by age", kept, retention/(64<<10))
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("heap grew by %d KiB after 64 MiB went through a topic of 1 MiB", grown>>10)
	}
}

func TestBrokerKeepsStateInItsFolder(t *testing.T) {
	ctx := testContext(t)
	cfg := BrokerConfig{Listen: "127.0.0.1:0", Data: t.TempDir(), RetentionInterval: 10 * time.Millisecond,
		Topics: []Topic{{Name: TopicRaw, Partitions: 6, Retention: 1 << 20}}}
	first, err := StartBroker(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(t, first.Addr())
	produce(t, client, &kgo.Record{Topic: TopicRaw, Key: []byte("k"), Value: []byte("kept")})

	if _, err := StartBroker(ctx, cfg); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("a second broker in the same folder: got %v, want an error that names --data", err)
	}
	client.Close()
	first.Close()

	second := startBroker(t, cfg)
	reader := newClient(t, second.Addr(), kgo.ConsumeTopics(TopicRaw), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	fetches := reader.PollFetches(ctx)
	if records := fetches.Records(); len(records) != 1 || string(records[0].Value) != "kept" {
		t.Fatalf("after a restart: got %d records, want the one that was kept", len(records))
	}

	// Retention runs on loaded topics too.
	partition := fetches.Records()[0].Partition
	value := bytes.Repeat([]byte("x"), 64<<10)
	writer := newClient(t, second.Addr(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range 64 {
		produce(t, writer, &kgo.Record{Topic: TopicRaw, Partition: partition, Value: value})
	}
	for {
		listed, err := kadm.NewClient(writer).ListStartOffsets(ctx, TopicRaw)
		if err != nil {
			t.Fatal(err)
		}
		if offset, _ := listed.Lookup(TopicRaw, partition); offset.Offset > 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestBrokerSurvivesAKill(t *testing.T) {
	ctx := testContext(t)
	folder := t.TempDir()
	process := exec.CommandContext(ctx, os.Args[0])
	process.Env = append(os.Environ(), brokerFolder+"="+folder)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the broker did not start: %v", err)
	}
	writer := newClient(t, strings.TrimSpace(addr), kgo.TransactionalID("writer"))
	for i := range 100 {
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, writer, &kgo.Record{Topic: TopicRaw, Key: []byte(strconv.Itoa(i)), Value: []byte("kept")})
		if err := writer.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait() // it was killed
	writer.Close()

	b := startBroker(t, BrokerConfig{Data: folder})
	if got := len(tailAll(t, b.Addr(), TopicRaw, TailOptions{})); got != 100 {
		t.Errorf("%d committed records after a kill, want 100", got)
	}
}

func TestBrokerLogsOnlyWarnings(t *testing.T) {
	var out bytes.Buffer
	log := brokerLog{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	log.Logf(4, "debug")
	log.Logf(3, "info")
	log.Logf(2, "warn %d", 1)
	log.Logf(1, "error %d", 2)
	if got := strings.Count(out.String(), "\n"); got != 2 || !strings.Contains(out.String(), "warn 1") || !strings.Contains(out.String(), "error 2") {
		t.Errorf("got %q, want one warning and one error", out.String())
	}
}

func TestRunBrokerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	err := RunBroker(ctx, BrokerConfig{Listen: "127.0.0.1:0"}, func(addr string) {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			t.Errorf("ready with %q: %v", addr, err)
		}
		cancel()
	})
	if err != nil {
		t.Errorf("got %v, want a clean end", err)
	}
}
