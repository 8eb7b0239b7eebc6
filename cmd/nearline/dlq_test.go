package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/dev"
	"nearline/internal/plain"
	"nearline/kafka"
	"nearline/pipeline"
	"nearline/producers"
)

// bury writes the dead letters of n reviews, and the reviews themselves, to a broker's topics.
func bury(t *testing.T, broker string, n int) {
	t.Helper()
	buryBy(t, kafka.Connection{Brokers: []string{broker}}, n)
}

func buryBy(t *testing.T, connection kafka.Connection, n int) {
	t.Helper()
	builder, err := producers.New(producers.Config{Topic: dev.TopicScored, DeadLetters: dev.TopicDeadLetters}, noEncoder{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := connection.Client(kgo.MaxBufferedRecords(n + 1))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: dev.TopicRaw, Key: []byte("k" + strconv.Itoa(i)), Value: []byte("no JSON " + strconv.Itoa(i))}
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	letters := make([]*kgo.Record, n)
	for i, r := range records {
		source := &pipeline.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
		out := builder.DeadLetter(source, pipeline.Faultf(pipeline.ClassDecode, pipeline.StageDecode, "not JSON at byte %d", i), 1)
		letters[i] = &kgo.Record{Topic: out.Topic, Key: out.Key, Value: out.Value}
		for _, h := range out.Headers {
			letters[i].Headers = append(letters[i].Headers, kgo.RecordHeader(h))
		}
	}
	if err := client.ProduceSync(t.Context(), letters...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

type noEncoder struct{}

func (noEncoder) Append(dst []byte, _ *pipeline.Row) ([]byte, *pipeline.Fault) { return dst, nil }

func TestDeadLettersAreListedShownCountedAndReplayed(t *testing.T) {
	broker := startBroker(t)
	bury(t, broker, 3)
	config := configFile(t, broker)

	list := execute(t, "", "dlq", "list", "--config", config)
	list.ok(t)
	wantAll(t, "the list", list.out, "AT ", "CAUSE", "decode", "reviews.raw/", "not JSON at byte 2", "  no  ")
	if got := strings.Count(list.out, "\n"); got != 4 {
		t.Errorf("got %d lines, want a title and three letters:\n%s", got, list.out)
	}

	one := execute(t, "", "dlq", "list", "--kafka", broker, "--cause", "byte 1", "--json")
	one.ok(t)
	var letter letterJSON
	if err := json.Unmarshal([]byte(one.out), &letter); err != nil {
		t.Fatalf("%v in %s", err, one.out)
	}
	if letter.Class != "decode" || letter.Key == nil || *letter.Key != "k1" || letter.Source.Topic != "reviews.raw" || letter.Replayed {
		t.Errorf("got %s, want the letter of k1", one.out)
	}

	at := fmt.Sprintf("%d/%d", letter.Partition, letter.Offset)
	show := execute(t, "", "dlq", "show", at, "--kafka", broker)
	show.ok(t)
	wantAll(t, "the letter", show.out, "class      decode, at decode, attempt 1", "cause      not JSON at byte 1", "key        k1", "no JSON 1\n")
	raw := execute(t, "", "dlq", "show", at, "--kafka", broker, "--raw")
	raw.ok(t)
	if raw.out != "no JSON 1" {
		t.Errorf("got %q, want the bytes alone", raw.out)
	}

	dry := execute(t, "", "dlq", "replay", "--kafka", broker)
	dry.ok(t)
	wantAll(t, "the dry run", dry.out, "3 originals would be put back into reviews.raw", "nothing was written", "--yes", "KEY ORDER IS GIVEN UP")

	replay := execute(t, "", "dlq", "replay", "--kafka", broker, "--cause", "byte 1", "--yes")
	replay.ok(t)
	wantAll(t, "the replay", replay.out, "1 originals were put back into reviews.raw")
	wantAll(t, "standard error", replay.err, "key order is given up")
	again := execute(t, "", "dlq", "replay", "--config", config, "--pipeline", "reviews", "--yes")
	again.ok(t)
	wantAll(t, "the second replay", again.out, "2 originals were put back into reviews.raw", "1 were replayed before")

	count := execute(t, "", "dlq", "count", "--kafka", broker)
	count.ok(t)
	wantAll(t, "the counts", strings.Join(strings.Fields(count.out), " "), "3 3 decode not JSON at byte N", "3 dead letters in reviews.raw.dlq, 3 of them replayed")

	tail := execute(t, "", "tail", "--kafka", broker, "--topic", "reviews.raw", "--from-beginning", "--until-end", "--headers")
	tail.ok(t)
	if got := strings.Count(tail.out, "nearline-replay-attempt=1"); got != 3 {
		t.Errorf("got %d replayed records, want 3:\n%s", got, tail.out)
	}
}

func TestDeadLetterMistakesAreNamed(t *testing.T) {
	broker := startBroker(t)
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"a topic that is not there", []string{"list", "--topic", "nowhere"}, []string{"nowhere", "UNKNOWN_TOPIC"}},
		{"a place that is none", []string{"show", "17"}, []string{`"17"`, "PARTITION/OFFSET"}},
		{"a place where nothing is", []string{"show", "0/17"}, []string{"reviews.raw.dlq[0]@17", "does not exist"}},
		{"a time that is none", []string{"list", "--since", "noon"}, []string{"--since noon", "90m"}},
		{"a source that is none", []string{"count", "--source", "raw/x"}, []string{"--source", "TOPIC/PARTITION/OFFSET"}},
		{"a dimension that is none", []string{"count", "--by", "weather"}, []string{"--by", `"weather"`, "class, cause"}},
		{"a pipeline without a config", []string{"list", "--pipeline", "p"}, []string{"--pipeline", "--config FILE"}},
		{"its own topic", []string{"replay", "--to", "reviews.raw.dlq"}, []string{"reviews.raw.dlq", "not the dead letters' own"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			execute(t, "", append(append([]string{"dlq"}, c.args...), "--kafka", broker)...).fails(t, c.says...)
		})
	}
	execute(t, "", "dlq", "list", "--config", configFile(t, broker), "--pipeline", "other").fails(t, "no such pipeline", "reviews")
}

// What others may have written is shown, and obeyed by nothing.
func TestForgedDeadLettersAreShownAndNotObeyed(t *testing.T) {
	broker := startBroker(t)
	bury(t, broker, 1)
	client, err := kafka.Connection{Brokers: []string{broker}}.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const evil = "\x1b[2J\u202e\rx"
	forged := &kgo.Record{Topic: dev.TopicDeadLetters, Partition: 2, Key: []byte(evil), Value: []byte(evil), Headers: []kgo.RecordHeader{
		{Key: evil, Value: []byte(evil)}, {Key: "nearline-dlq-class", Value: []byte(evil)}, {Key: "nearline-dlq-stage", Value: []byte(evil)},
		{Key: "nearline-dlq-cause", Value: []byte(evil)}, {Key: "nearline-dlq-model", Value: []byte(evil)},
		{Key: "nearline-dlq-time", Value: []byte("2026-01-31T12:00:00Z")}, {Key: "nearline-dlq-source-topic", Value: []byte("nearline.attempts" + evil)},
	}}
	if err := client.ProduceSync(t.Context(), forged).FirstErr(); err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("%d/%d", forged.Partition, forged.Offset)
	config := configFile(t, broker)
	for _, args := range [][]string{{"list"}, {"show", at}, {"count"}, {"count", "--by", "source,cause,model"}, {"replay"}, {"replay", "--to", "reviews.raw"}} {
		r := execute(t, "", append(append([]string{"dlq"}, args...), "--config", config)...)
		r.ok(t)
		if plain.DrivesTerminal(r.out + r.err) {
			t.Errorf("%v: got %q, want nothing that drives a terminal", args, r.out+r.err)
		}
	}
	replay := execute(t, "", "dlq", "replay", "--config", config, "--yes")
	replay.ok(t)
	wantAll(t, "the replay", replay.out, "1 originals were put back into reviews.raw", "1 are left out: its source is not the pipeline's input (reviews.raw)", "--to")
	// Where a configuration says what is internal, nothing goes there.
	for _, to := range []string{"nearline.attempts", "nearline.progress.nearline-reviews", dev.TopicDeadLetters, dev.TopicDeadLetters + ".replayed"} {
		execute(t, "", "dlq", "replay", "--config", config, "--to", to, "--yes").fails(t, "cannot replay to "+to)
	}
}

// A replay is killed (kill -9) again and again, each time after another transaction; every original comes back once.
func TestReplayThatIsKilledGoesOn(t *testing.T) {
	const letters, kills = 4000, 4
	broker := startBroker(t)
	bury(t, broker, letters)
	for range kills {
		c := program(t, "dlq", "replay", "--kafka", broker, "--yes")
		p := start(t, c, (*exec.Cmd).StderrPipe)
		p.until("500 replayed")
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.drain()
		if err := c.Wait(); err == nil {
			t.Fatal("the replay ended before it was killed: give it more letters")
		}
	}
	last := execute(t, "", "dlq", "replay", "--kafka", broker, "--yes")
	last.ok(t)
	wantAll(t, "the last replay", last.out, "were replayed before", "were put back into reviews.raw")

	tail := execute(t, "", "tail", "--kafka", broker, "--topic", "reviews.raw", "--from-beginning", "--until-end", "--keys", "--headers")
	tail.ok(t)
	seen := make(map[string]int)
	for line := range strings.Lines(tail.out) {
		headers, rest, _ := strings.Cut(line, "\t")
		if key, _, _ := strings.Cut(rest, "\t"); strings.Contains(headers, "nearline-replay-attempt=1") {
			seen[key]++
		}
	}
	for i := range letters {
		if got := seen["k"+strconv.Itoa(i)]; got != 1 {
			t.Errorf("original %d came back %d times, want once", i, got)
		}
	}
}

// The recipe of the help: show, edit, put back; or a command for all that are broken alike.
func TestDeadLettersAreRepairedAndThenDealtWith(t *testing.T) {
	broker := startBroker(t)
	bury(t, broker, 4)
	list := execute(t, "", "dlq", "list", "--kafka", broker, "--json")
	list.ok(t)
	places := map[string]string{}
	for text := range strings.Lines(list.out) {
		var letter letterJSON
		if err := json.Unmarshal([]byte(text), &letter); err != nil {
			t.Fatal(err)
		}
		places[*letter.Key] = fmt.Sprintf("%d/%d", letter.Partition, letter.Offset)
	}
	file := filepath.Join(t.TempDir(), "original")
	shown := execute(t, "", "dlq", "show", places["k0"], "--kafka", broker, "--raw")
	shown.ok(t)
	write(t, file, `{"was":"`+shown.out+`"}`+"\n")
	one := execute(t, "", "dlq", "replay", places["k0"], "--kafka", broker, "--value", file, "--yes")
	one.ok(t)
	wantAll(t, "the repair", one.out, "1 dead letters of reviews.raw.dlq were picked", "1 originals were put back into reviews.raw")
	many := execute(t, "", "dlq", "replay", "--kafka", broker, "--cause", "byte [12]", "--repair", `sed 's/.*/{"was":"&"}/; /JSON 2/{s/.*//; q9}'`, "--yes")
	many.ok(t)
	wantAll(t, "the repairs", many.out, "1 originals were put back", "1 are left out: the repair failed", "exit status 9")

	dry := execute(t, "", "dlq", "dismiss", places["k3"], "--kafka", broker)
	dry.ok(t)
	wantAll(t, "the dry run", dry.out, "1 would be dismissed", "nothing was written", "--yes")
	gone := execute(t, "", "dlq", "dismiss", places["k3"], "--kafka", broker, "--note", "a test", "--yes")
	gone.ok(t)
	wantAll(t, "the dismissal", gone.out, "1 were dismissed: nothing is put back")

	all := execute(t, "", "dlq", "list", "--kafka", broker)
	all.ok(t)
	wantAll(t, "the list", all.out, "DEALT WITH", "  repaired  ", "  dismissed  ", "  no  ")
	left := execute(t, "", "dlq", "list", "--kafka", broker, "--left", "--json")
	left.ok(t)
	if strings.Count(left.out, "\n") != 1 || !strings.Contains(left.out, `"key":"k2"`) {
		t.Errorf("got %s, want that only the letter of k2 is left", left.out)
	}
	count := execute(t, "", "dlq", "count", "--kafka", broker)
	count.ok(t)
	wantAll(t, "the counts", count.out, "4 dead letters in reviews.raw.dlq, 2 of them replayed, 1 dismissed, 1 left")
	tail := execute(t, "", "tail", "--kafka", broker, "--topic", "reviews.raw", "--from-beginning", "--until-end", "--keys")
	tail.ok(t)
	wantAll(t, "the topic", tail.out, "k0\t{\"was\":\"no JSON 0\"}\n", "k1\t{\"was\":\"no JSON 1\"}\n")
}

func TestClassesOfDeadLettersAreListedAndOthersRefused(t *testing.T) {
	help := execute(t, "", "dlq", "--help")
	help.ok(t)
	for _, c := range pipeline.Classes() {
		wantAll(t, "the help", help.out, string(c.Class)+" ", c.Means)
	}
	for _, what := range []string{"list", "count", "replay", "dismiss"} {
		execute(t, "", "dlq", what, "--class", "decode,decod").fails(t, "--class decod", "no such class", "decode, invalid, too_large")
	}
}

func TestRepairMistakesAreNamed(t *testing.T) {
	broker := startBroker(t)
	bury(t, broker, 1)
	for _, c := range []struct {
		args string
		says []string
	}{
		{"replay --value f", []string{"--value", "one dead letter"}},
		{"replay 0/0 0/1 --value f", []string{"--value", "one dead letter"}},
		{"replay 0/0 --value " + t.TempDir() + "/none", []string{"--value", "none"}},
		{"replay 17", []string{`"17"`, "PARTITION/OFFSET"}},
		{"dismiss 5/999", []string{"reviews.raw.dlq[5]@999", "does not exist"}},
		{"dismiss --limit -1", []string{"--limit is -1"}},
	} {
		execute(t, "", append(append([]string{"dlq"}, strings.Fields(c.args)...), "--kafka", broker)...).fails(t, c.says...)
	}
}

func TestBinaryOriginalReachesNoTerminal(t *testing.T) {
	broker := startBroker(t)
	client, err := kafka.Connection{Brokers: []string{broker}}.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for value, refused := range map[string]bool{"\x00\xff": true, "\x1b[2J": true, "text": false} {
		letter := &kgo.Record{Topic: dev.TopicDeadLetters, Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "nearline-dlq-class", Value: []byte("decode")}}}
		if err := client.ProduceSync(t.Context(), letter).FirstErr(); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		c := command()
		c.SetOut(&plain.Writer{To: &out})
		c.SetArgs([]string{"dlq", "show", fmt.Sprintf("0/%d", letter.Offset), "--raw", "--kafka", broker})
		if err := c.ExecuteContext(t.Context()); (err != nil) != refused || refused && !strings.Contains(err.Error(), "--raw > original") {
			t.Errorf("%q: got %v, want it refused: %v", value, err, refused)
		}
		if refused != (out.Len() == 0) {
			t.Errorf("%q: got %q", value, out.String())
		}
	}
}

func TestLettersAsJSONStayJSONWhateverTheyHold(t *testing.T) {
	broker := startBroker(t)
	client, err := kafka.Connection{Brokers: []string{broker}}.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const evil = "a\x7f\x1b\u009b\u202e\u2028z"
	letter := &kgo.Record{Topic: dev.TopicDeadLetters, Headers: []kgo.RecordHeader{{Key: "nearline-dlq-class", Value: []byte("decode")}, {Key: "nearline-dlq-cause", Value: []byte(evil)}}}
	if err := client.ProduceSync(t.Context(), letter).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list"}, {"count", "--by", "cause"}} {
		r := execute(t, "", append(append([]string{"dlq"}, args...), "--kafka", broker, "--json")...)
		r.ok(t)
		var got struct{ Cause string }
		if err := json.Unmarshal([]byte(r.out), &got); err != nil || got.Cause != evil || plain.DrivesTerminal(r.out) {
			t.Errorf("%v: got %q (%v), want JSON of the same cause that drives no terminal", args, r.out, err)
		}
	}
}
