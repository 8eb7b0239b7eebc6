package stories

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// foreign is a client that none of us wrote, behind the contract of e2e/clients.
type foreign struct {
	name    string // of its folder
	command []string
	// confused by aborted transactions that interleave: it takes the brokers' list of them for one in the order of their begins, and
	// skips at most one entry a record, so that it may hand out records that nobody else reads as committed.
	confused bool
}

var clients = filepath.Join(cache, "clients")

var foreigners = []foreign{
	{name: "python", command: []string{filepath.Join(cache, "venv", "bin", "python"), filepath.Join(root, "e2e", "clients", "python", "client.py")}},
	{name: "java", command: []string{"java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp",
		filepath.Join(clients, "java", "classes") + ":" + filepath.Join(clients, "java", "libs", "*"), "Client"}},
	{name: "js", command: []string{"node", filepath.Join(clients, "js", "client.js")}, confused: true}, // kafkajs 2.2.4
}

// way of writing.
type way struct {
	name string
	args []string
}

var ways = []way{
	{"gzip", []string{"--compression", "gzip"}},
	{"snappy-idempotent", []string{"--compression", "snappy", "--idempotent"}},
	{"lz4-transactional", []string{"--compression", "lz4", "--transactional", "foreign-%s", "--abort-every", "3"}},
	{"zstd-idempotent", []string{"--compression", "zstd", "--idempotent"}},
}

const (
	foreignEvents   = 120
	foreignKeys     = 7
	foreignBadEvery = 25
)

// TestForeignClients has three clients that none of us wrote produce in every way that they know, while replicas are killed,
// stopped and started, and has each of them read the results: all agree, each event has one effect, what was aborted upstream has
// none, headers come through.
func TestForeignClients(t *testing.T) {
	fetch(t)
	s := begin(t, "foreign")
	s.topics(6)
	s.abortInto(s.scored)
	a := s.replica("a")
	b := s.replica("b")
	s.expectShared(6, "a", "b")

	meanwhile := map[string]func(){
		"python": func() { b.restart() },
		"java":   func() { a.kill(); a.start() },
		"js":     func() { s.replica("c") },
	}
	for _, f := range foreigners {
		for _, how := range ways {
			t.Run(f.name+" writes/"+how.name, func(t *testing.T) {
				defer s.goesOnIn(t)()
				wrote := make(chan struct{})
				go func() {
					defer close(wrote)
					f.writes(t, s, how)
				}()
				if how.name == "lz4-transactional" {
					meanwhile[f.name]()
				}
				<-wrote
			})
		}
	}
	if !t.Failed() { // what was not written cannot be read
		s.expectScored()
		for _, f := range foreigners {
			t.Run(f.name+" reads", func(t *testing.T) { f.reads(t, s) })
		}
	}
}

// fetch the clients, once.
func fetch(t *testing.T) {
	t.Helper()
	args := []string{}
	for _, f := range foreigners {
		args = append(args, f.name)
	}
	script := filepath.Join(root, "e2e", "clients", "fetch.sh")
	said, err := exec.CommandContext(t.Context(), script, args...).CombinedOutput() //nolint:gosec // ours
	if ended, ok := errors.AsType[*exec.ExitError](err); ok && ended.ExitCode() == 3 {
		notRun(t, fmt.Errorf("%s", bytes.TrimSpace(said)))
	}
	if err != nil {
		t.Fatalf("fetch the foreign clients: %v\n%s", err, said)
	}
}

// run the client's program.
func (f foreign) run(t *testing.T, args ...string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), f.command[0], append(slices.Clone(f.command[1:]), args...)...) //nolint:gosec // from the checkout
	c.Env = append(os.Environ(), "KAFKAJS_NO_PARTITIONER_WARNING=1", "NODE_NO_WARNINGS=1")
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", f.name, strings.Join(args, " "), err, said.Bytes())
	}
	return out
}

// writes events into the story, and enters those that it commits into the ledger.
func (f foreign) writes(t *testing.T, s *story, how way) {
	t.Helper()
	prefix := f.name + "-" + how.name
	for n := range foreignEvents {
		s.ledger.write(event{id: fmt.Sprintf("%s-%d", prefix, n), key: fmt.Sprintf("%s-key-%d", prefix, n%foreignKeys),
			bad: n%foreignBadEvery == foreignBadEvery-1})
	}
	args := []string{"write", "--brokers", strings.Join(s.cluster.Direct(), ","), "--topic", s.raw, "--prefix", prefix,
		"--count", strconv.Itoa(foreignEvents), "--keys", strconv.Itoa(foreignKeys), "--bad-every", strconv.Itoa(foreignBadEvery)}
	for _, arg := range how.args {
		args = append(args, strings.ReplaceAll(arg, "%s", f.name))
	}
	out := f.run(t, args...)
	var report struct {
		Client           string
		Written, Aborted int
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Errorf("%s says %q (%v), want what it wrote", f.name, out, err)
		return
	}
	wantAborted := 0
	if slices.Contains(how.args, "--transactional") {
		wantAborted = foreignEvents / 30 * 10
	}
	if report.Written != foreignEvents || report.Aborted != wantAborted {
		t.Errorf("%s wrote %d events and aborted %d, want %d and %d", f.name, report.Written, report.Aborted, foreignEvents, wantAborted)
	}
	t.Logf("%s wrote %d events, and aborted %d more", report.Client, report.Written, report.Aborted)
}

// line is a record as a foreign client prints it.
type line struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       string
	Value     string
	Headers   map[string][]string
}

// reads all outputs, and wants them to be those that the ledger has.
func (f foreign) reads(t *testing.T, s *story) {
	t.Helper()
	want := map[string]line{}
	for _, outputs := range s.ledger.outputsByID() {
		for _, r := range outputs {
			l := line{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Value: string(r.Value),
				Headers: map[string][]string{}}
			for _, h := range r.Headers {
				l.Headers[h.Key] = append(l.Headers[h.Key], string(h.Value))
			}
			want[l.at()] = l
		}
	}
	out := f.run(t, "read", "--brokers", strings.Join(s.cluster.Direct(), ","), "--topics", s.scored+","+s.dead,
		"--count", strconv.Itoa(len(want)))
	read, takenBack := map[string]bool{}, 0
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		var got line
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatalf("%s prints %s: %v", f.name, lines.Bytes(), err)
		}
		if read[got.at()] {
			t.Errorf("%s read %s twice", f.name, got.at())
		}
		w, committed := want[got.at()]
		if !committed && f.confused {
			takenBack++
			continue
		}
		read[got.at()] = true
		if got.Key != w.Key || got.Value != w.Value || fmt.Sprint(got.Headers) != fmt.Sprint(w.Headers) {
			t.Fatalf("%s read at %s\n%+v\nwant\n%+v", f.name, got.at(), got, w)
		}
		if tags := got.Headers["tag"]; !slices.Equal(tags, []string{"one", "two"}) || !slices.Equal(got.Headers["empty"], []string{""}) {
			t.Fatalf("%s read the headers %v at %s, want tag twice, one and two, and empty", f.name, got.Headers, got.at())
		}
	}
	if takenBack > 0 {
		t.Logf("%s took %d records of aborted transactions for committed ones", f.name, takenBack)
	}
	if len(read) != len(want) {
		t.Errorf("%s read %d outputs, want %d", f.name, len(read), len(want))
	}
}

func (l line) at() string { return fmt.Sprintf("%s[%d]@%d", l.Topic, l.Partition, l.Offset) }

// abortInto a topic what only readers see that are not read-committed.
func (s *story) abortInto(topic string) {
	s.t.Helper()
	ctx, cancel := s.withDeadline()
	defer cancel()
	client := s.client(kgo.TransactionalID(s.group+"-aborted"), kgo.DefaultProduceTopic(topic))
	defer client.Close()
	s.must("begin a transaction", client.BeginTransaction())
	for n := range 50 {
		id := fmt.Sprintf("nobody-%d", n)
		client.Produce(ctx, &kgo.Record{Key: []byte(id), Value: []byte(`{"review_id": "aborted"}`),
			Headers: []kgo.RecordHeader{{Key: "event", Value: []byte(id)}}}, nil)
	}
	s.must("write what is aborted", client.Flush(ctx))
	s.must("abort", client.EndTransaction(ctx, kgo.TryAbort))
}
