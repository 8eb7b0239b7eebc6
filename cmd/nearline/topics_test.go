package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nearline/internal/dev"
)

// rows of a table by their topic, which is in the third column.
func rows(t *testing.T, table string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for line := range strings.Lines(table) {
		var cells []string
		for cell := range strings.SplitSeq(strings.TrimSpace(line), "   ") {
			if cell = strings.TrimSpace(cell); cell != "" {
				cells = append(cells, cell)
			}
		}
		if len(cells) > 3 && cells[0] != "PIPELINE" {
			found[cells[2]] = cells
		}
	}
	return found
}

func wantRow(t *testing.T, table, topic string, want ...string) {
	t.Helper()
	if got := strings.Join(rows(t, table)[topic], " | "); got != strings.Join(want, " | ") {
		t.Errorf("%s: got row %q, want %q in\n%s", topic, got, strings.Join(want, " | "), table)
	}
}

func TestTopicsListsWhatThereIs(t *testing.T) {
	partly := []dev.Topic{{Name: "reviews.raw", Partitions: 3, Retention: 1 << 20}}
	r := execute(t, "", "topics", "--config", configFile(t, startBroker(t, partly...)))
	r.fails(t, "2 of 5 topics cannot be used", "--create")
	wantRow(t, r.out, "reviews.raw", "reviews", "input", "reviews.raw", "3", "1", "1048588 bytes", "for ever")
	wantRow(t, r.out, "reviews.scored", "reviews", "output", "reviews.scored", "missing")
	wantRow(t, r.out, "reviews.raw.dlq", "reviews", "dead letters", "reviews.raw.dlq", "missing")
	wantRow(t, r.out, "nearline.attempts.nearline-reviews", "reviews", "attempts", "nearline.attempts.nearline-reviews", "the service makes it")
	wantRow(t, r.out, "nearline.progress.nearline-reviews", "reviews", "progress", "nearline.progress.nearline-reviews", "the service makes it")
}

func TestTopicsCreatesWhatIsMissing(t *testing.T) {
	partly := []dev.Topic{{Name: "reviews.raw", Partitions: 3, Retention: 1 << 20}}
	path := configFile(t, startBroker(t, partly...))
	r := execute(t, "", "topics", "--config", path, "--create", "--partitions", "5")
	r.ok(t)
	wantAll(t, "standard output", r.out, "created reviews.scored\n", "created reviews.raw.dlq\n", "created nearline.attempts.nearline-reviews\n", "created nearline.progress.nearline-reviews\n")
	if strings.Contains(r.out, "created reviews.raw\n") {
		t.Errorf("got %s\nwant nothing said of a topic that was there", r.out)
	}
	wantRow(t, r.out, "reviews.raw", "reviews", "input", "reviews.raw", "3", "1", "1048588 bytes", "for ever")
	wantRow(t, r.out, "reviews.scored", "reviews", "output", "reviews.scored", "5", "1", "1048588 bytes", "7 days")
	// The input's limit, and room for the headers of a dead letter: what `check` asks for.
	wantRow(t, r.out, "reviews.raw.dlq", "reviews", "dead letters", "reviews.raw.dlq", "5", "1", "1052684 bytes", "7 days")

	wantRow(t, r.out, "nearline.attempts.nearline-reviews", "reviews", "attempts", "nearline.attempts.nearline-reviews", "1", "1", "1048588 bytes", "1 day")
	wantRow(t, r.out, "nearline.progress.nearline-reviews", "reviews", "progress", "nearline.progress.nearline-reviews", "1", "1", "1048588 bytes", "the last of each key")

	again := execute(t, "", "topics", "--config", path, "--create")
	again.ok(t)
	if strings.Contains(again.out, "created") {
		t.Errorf("got %s\nwant nothing created the second time", again.out)
	}
	check := execute(t, "", "check", "--config", path)
	check.ok(t)
	if strings.Contains(check.out, "note") || strings.Contains(check.out, "WRONG") {
		t.Errorf("check says of such topics\n%s\nwant nothing to complain of", check.out)
	}
}

func TestTopicsOfTwoPipelinesAreCreatedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nearline.yaml")
	write(t, path, `
kafka: {brokers: ["`+startBroker(t, none)+`"]}
models: {repository: "`+repository(t)+`"}
pipelines:
  - {name: a, input: {topic: raw}, steps: [{predict: {model: sentiment}}], output: {topic: a.scored}, dead_letters: dlq}
  - {name: b, input: {topic: raw}, steps: [{predict: {model: sentiment}}], output: {topic: b.scored}, dead_letters: dlq}
`)
	r := execute(t, "", "topics", "--config", path, "--create")
	r.ok(t)
	for _, topic := range []string{"raw", "a.scored", "b.scored", "dlq"} {
		if got := strings.Count(r.out, "created "+topic+"\n"); got != 1 {
			t.Errorf("%s: created %d times, want once\n%s", topic, got, r.out)
		}
	}
}

func TestTopicsSaysWhatTheBrokersRefuse(t *testing.T) {
	path := configFile(t, startBroker(t, none))
	execute(t, "", "topics", "--config", path, "--create", "--replication", "3").fails(t, "create topic reviews.raw", "INVALID_REPLICATION_FACTOR")
}

func TestTopicsWaitsForBrokersThatAreNotThereYet(t *testing.T) {
	r := execute(t, "", "topics", "--config", configFile(t, "127.0.0.1:1"), "--wait", "3s")
	// What was said last before the time was over, and not that it is over.
	r.fails(t, "dial tcp 127.0.0.1:1", "are kafka.brokers (127.0.0.1:1) right")

	address := freeAddress(t)
	path := configFile(t, address)
	ended := make(chan result, 1)
	go func() { ended <- executeIn(t.Context(), "", "topics", "--config", path, "--wait", "1m", "--create") }()
	select {
	case early := <-ended:
		t.Fatalf("it has ended without a broker: %v\n%s", early.failure, early.out)
	case <-time.After(time.Second):
	}
	again, err := dev.StartBroker(t.Context(), dev.BrokerConfig{Listen: address, Topics: []dev.Topic{none}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	late := <-ended
	late.ok(t)
	wantAll(t, "standard output", late.out, "created reviews.raw\n")
}

func TestTopicsWaitsForNoClusterThatRefuses(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := port.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = conn.Write([]byte{0x15, 3, 3, 0, 2, 2, 80}) // an alert of TLS
			_ = conn.Close()
		}
	}()
	defer func() { _ = port.Close(); <-ended }()
	r := execute(t, "", "topics", "--config", configFile(t, port.Addr().String()), "--wait", "1h")
	r.fails(t, "kafka.tls is missing: "+port.Addr().String()+" speaks TLS")
	if strings.Contains(r.err, "are kafka.brokers") {
		t.Errorf("got %s\nwant the refusal alone", r.err)
	}
}
