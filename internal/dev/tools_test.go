package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/plain"
	"nearline/kafka"
	"nearline/kafka/decompress"
)

// tailAll is what a topic holds by now.
func tailAll(t *testing.T, addr, topic string, opts TailOptions) []string {
	t.Helper()
	opts.FromBeginning, opts.UntilEnd = true, true
	var out bytes.Buffer
	n, err := Tail(testContext(t), kafka.Connection{Brokers: []string{addr}}, topic, &out, opts)
	if err != nil {
		t.Fatalf("tail: %v", err)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	lines = lines[:len(lines)-1]
	if int64(len(lines)) != n {
		t.Errorf("tail says that it printed %d lines, there are %d", n, len(lines))
	}
	return lines
}

func oneTopic(name string) BrokerConfig {
	return BrokerConfig{Topics: []Topic{{Name: name, Partitions: 1, Retention: 1 << 20}}}
}

func TestSendThenTail(t *testing.T) {
	b := startBroker(t, oneTopic("t"))
	in := "{\"id\":\"a\",\"n\":1}\r\n\n{\"id\":7}\n{\"id\":null}\n{\"id\":\"é\\n\"}"
	var reported int64
	n, err := Send(testContext(t), b.Connection(), "t", strings.NewReader(in), SendOptions{Key: "id", Progress: func(sent, read int64) {
		reported = sent
		if read > int64(len(in)) {
			t.Errorf("%d bytes read of %d", read, len(in))
		}
	}})
	if err != nil || n != 4 || reported != 4 {
		t.Fatalf("sent %d, reported %d, %v", n, reported, err)
	}
	want := "[a\t{\"id\":\"a\",\"n\":1}\n 7\t{\"id\":7}\n <null>\t{\"id\":null}\n \"é\\n\"\t{\"id\":\"é\\n\"}\n]"
	if got := fmt.Sprint(tailAll(t, b.Addr(), "t", TailOptions{Keys: true})); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSendNamesTheLineAtFault(t *testing.T) {
	b := startBroker(t, oneTopic("t"))
	for _, test := range []struct {
		in, key string
		line    int64
		want    string
	}{
		{"{\"id\":1}\n\nnot json\n{\"id\":2}", "id", 3, "no JSON object"},
		{"{\"id\":1}\n{\"other\":1}", "id", 2, "no field id"},
		{"{\"id\":[1]}", "id", 1, "no key"},
		{"fine\n" + strings.Repeat("x", 2<<20) + "\nfine", "", 2, "MESSAGE_TOO_LARGE"},
		{"fine\n" + strings.Repeat("x", 5<<20) + "\nfine", "", 2, "want at most"},
	} {
		_, err := Send(testContext(t), b.Connection(), "t", strings.NewReader(test.in), SendOptions{Key: test.key})
		var at *LineError
		if !errors.As(err, &at) || at.Line != test.line || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.20q: got %v, want line %d and %q", test.in, err, test.line, test.want)
		}
	}
	// What came before is sent.
	if got := tailAll(t, b.Addr(), "t", TailOptions{Max: 1}); len(got) != 1 || got[0] != "{\"id\":1}\n" {
		t.Errorf("got %q, want the line before the fault", got)
	}
	if _, err := Send(testContext(t), b.Connection(), "not.there", strings.NewReader("x"), SendOptions{}); err == nil || !strings.Contains(err.Error(), "not.there") {
		t.Errorf("got %v, want an error that names the topic", err)
	}
}

func TestTailShowsWhatIsNoText(t *testing.T) {
	b := startBroker(t, oneTopic("t"))
	produce(t, newClient(t, b.Addr()),
		&kgo.Record{Topic: "t", Value: nil},
		&kgo.Record{Topic: "t", Value: []byte{}},
		&kgo.Record{Topic: "t", Value: []byte{0xff, 0x00}},
		&kgo.Record{Topic: "t", Value: []byte("two\nlines \x1b[2J")},
		&kgo.Record{Topic: "t", Value: []byte("tab\tand 😍"), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b", Value: nil}}},
		&kgo.Record{Topic: "t", Value: bytes.Repeat([]byte{0xfe}, 100)},
	)
	want := []string{"\t<tombstone>\n", "\t\n", "\t<2 bytes: ff00>\n", "\t\"two\\nlines \\x1b[2J\"\n", "a=1 b=<null>\ttab\tand 😍\n", "\t<100 bytes: " + strings.Repeat("fe", 64) + "…>\n"}
	if got := tailAll(t, b.Addr(), "t", TailOptions{Headers: true}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTailShowsNothingThatDrivesATerminal(t *testing.T) {
	b := startBroker(t, oneTopic("t"))
	for _, text := range []string{"\x1b[2J", "a\rb", "\u009b2J", "\u202eevil", "a\x00", "a\nb", "\u2066x"} {
		produce(t, newClient(t, b.Addr()),
			&kgo.Record{Topic: "t", Key: []byte(text), Value: []byte(text), Headers: []kgo.RecordHeader{{Key: text, Value: []byte(text)}}})
	}
	for _, line := range tailAll(t, b.Addr(), "t", TailOptions{Keys: true, Headers: true}) {
		if text := strings.TrimSuffix(line, "\n"); plain.DrivesTerminal(text) || strings.Contains(text, "\n") {
			t.Errorf("got %q, want one line that a terminal only shows", line)
		}
	}
}

func TestTailReadsOnlyWhatIsCommitted(t *testing.T) {
	ctx := testContext(t)
	b := startBroker(t, oneTopic("t"))
	writer := newClient(t, b.Addr(), kgo.TransactionalID("test"))
	for value, commit := range map[string]kgo.TransactionEndTry{"aborted": kgo.TryAbort, "committed": kgo.TryCommit} {
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, writer, &kgo.Record{Topic: "t", Value: []byte(value)})
		if err := writer.EndTransaction(ctx, commit); err != nil {
			t.Fatal(err)
		}
	}
	if got := tailAll(t, b.Addr(), "t", TailOptions{}); fmt.Sprint(got) != "[committed\n]" {
		t.Errorf("got %q, want what was committed", got)
	}
	if got := tailAll(t, b.Addr(), "t", TailOptions{Uncommitted: true}); len(got) != 2 {
		t.Errorf("uncommitted: got %q, want both", got)
	}
}

// What does not fit beside what is held is fetched again: a reader goes on.
func TestTailReadsMoreThanItMayHoldAtOnce(t *testing.T) {
	b := startBroker(t, oneTopic("t"))
	client := newClient(t, b.Addr())
	const records, size = 20, 600_000
	for range records { // a batch each, of a few kilobytes
		produce(t, client, &kgo.Record{Topic: "t", Value: bytes.Repeat([]byte("a"), size)})
	}
	var out bytes.Buffer
	connection := b.Connection().Bounded(decompress.NewBounded(2 << 20))
	n, err := Tail(testContext(t), connection, "t", &out, TailOptions{FromBeginning: true, UntilEnd: true})
	if err != nil || n != records || out.Len() < records*size {
		t.Errorf("%d records of %d bytes were printed, and %v: want all %d", n, out.Len(), err, records)
	}
}

func TestTailFollowsFromTheEnd(t *testing.T) {
	b := startBroker(t, oneTopic("t"))
	client := newClient(t, b.Addr())
	produce(t, client, &kgo.Record{Topic: "t", Value: []byte("old")})
	ctx, cancel := context.WithCancel(testContext(t))
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := Tail(ctx, b.Connection(), "t", w, TailOptions{})
		_ = w.Close()
		done <- err
	}()
	// Where the end is when Tail begins is its own business: records come until one is seen.
	produced := make(chan struct{})
	go func() {
		defer close(produced)
		for i := 0; ctx.Err() == nil; i++ {
			client.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("new")})
		}
	}()
	line := make([]byte, 4)
	if _, err := io.ReadFull(r, line); err != nil || string(line) != "new\n" {
		t.Errorf("got %q, %v, want a new record", line, err)
	}
	cancel()
	_, _ = io.Copy(io.Discard, r)
	if err := <-done; err != nil {
		t.Errorf("ended with %v, want a clean end", err)
	}
	<-produced
}

func TestTailNamesWhatIsMissing(t *testing.T) {
	b := startBroker(t, oneTopic("t"))
	if _, err := Tail(testContext(t), b.Connection(), "not.there", io.Discard, TailOptions{}); err == nil || !strings.Contains(err.Error(), "not.there") {
		t.Errorf("got %v, want an error that names the topic", err)
	}
}

func TestToolsSayWhenNobodyAnswers(t *testing.T) {
	nobody := kafka.Connection{Brokers: []string{"127.0.0.1:1"}}
	_, sendErr := Send(testContext(t), nobody, "t", strings.NewReader("x"), SendOptions{})
	_, tailErr := Tail(testContext(t), nobody, "t", io.Discard, TailOptions{})
	for name, err := range map[string]error{"send": sendErr, "tail": tailErr} {
		if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want an error that names the broker, in time", name, err)
		}
	}
}
