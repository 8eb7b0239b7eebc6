package hostile

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/e2e/cluster"
	"nearline/kafka"
	"nearline/kafka/decompress"
)

// The topics of the pipeline that is tested.
const (
	raw    = "reviews.raw"
	scored = "reviews.scored"
	dead   = "reviews.raw.dlq"
)

// site is a cluster, its topics, and the program in a folder of its own.
type site struct {
	*testing.T
	ctx     context.Context
	cluster *cluster.Cluster
	client  *kgo.Client
	program string
	config  string
	folder  string
}

func newSite(t *testing.T) *site {
	t.Helper()
	program, err := filepath.Abs("../../bin/nearline")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	t.Cleanup(cancel)
	s := &site{T: t, ctx: ctx, cluster: cluster.ForTest(t, cluster.Options{}), program: program, folder: t.TempDir()}
	if s.client, err = s.cluster.Client(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	responses, err := kadm.NewClient(s.client).CreateTopics(ctx, 6, 3, nil, raw, scored, dead)
	if err == nil {
		err = responses.Error()
	}
	if err != nil {
		t.Fatalf("create topics: %v", err)
	}
	s.write("models/sentiment/1/nearline.yaml", "task: constant\ncolumns: {sentiment: {label: positive, score: 0.5}, helpfulness: 0.5}\n")
	s.config = s.write("nearline.yaml", fmt.Sprintf(`
kafka: {brokers: ["%s"], replica: test}
models: {repository: models}
pipelines:
  - name: reviews
    input: {topic: %s}
    steps: [{predict: {model: sentiment}}]
    output: {topic: %s}
    dead_letters: %s
serving: {http: "127.0.0.1:0"}
`, strings.Join(s.cluster.Direct(), `", "`), raw, scored, dead))
	return s
}

func (s *site) write(name, content string) string {
	s.Helper()
	path := filepath.Join(s.folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// service is `nearline run` in a process of its own.
type service struct {
	*exec.Cmd
	log string
}

func (s *site) start() *service {
	s.Helper()
	v := &service{Cmd: exec.CommandContext(s.ctx, s.program, "run", "--config", s.config), log: filepath.Join(s.folder, "service.log")}
	log, err := os.Create(v.log)
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	v.Stderr = log
	if err := v.Start(); err != nil {
		s.Fatal(err)
	}
	return v
}

// stop it, and want that it is still the process that was started, and ends in order.
func (s *site) stop(v *service) {
	s.Helper()
	_ = v.Process.Signal(syscall.SIGTERM) // if it is gone, Wait says so
	if err := v.Wait(); err != nil {
		s.Errorf("the service ended with %v", err)
	}
	log, err := os.ReadFile(v.log)
	if err != nil {
		s.Fatal(err)
	}
	if s.Failed() {
		s.Logf("the service's log:\n%s", log)
	}
	s.Logf("members started anew %d times", strings.Count(string(log), "starts anew"))
}

// peakMemory that the process had, in MiB.
func (s *site) peakMemory(v *service) int {
	s.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.Process.Pid))
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				s.Fatal(err)
			}
			return kilobytes >> 10
		}
	}
	s.Fatal("/proc does not tell the peak memory of a process")
	return 0
}

// run the program to its end, and return what it printed.
func (s *site) run(args ...string) string {
	s.Helper()
	out, err := exec.CommandContext(s.ctx, s.program, args...).CombinedOutput()
	if err != nil {
		s.Fatalf("nearline %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// killAfter runs the program until it prints a text, and kills it there (kill -9).
func (s *site) killAfter(text string, args ...string) {
	s.Helper()
	c := exec.CommandContext(s.ctx, s.program, args...)
	out, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		s.Fatal(err)
	}
	lines, said, found := bufio.NewScanner(out), "", false
	for !found && lines.Scan() {
		said += lines.Text() + "\n"
		found = strings.Contains(lines.Text(), text)
	}
	_ = c.Process.Kill() // if it has ended, Wait says so
	for lines.Scan() {
	}
	if err := c.Wait(); err == nil || !found {
		s.Fatalf("nearline %s ended with %v before it was killed, having said\n%s", strings.Join(args, " "), err, said)
	}
}

// all committed records of a topic.
func (s *site) all(topic string) []*kgo.Record {
	s.Helper()
	all := kafka.Connection{Brokers: s.cluster.Direct()}.Bounded(decompress.NewBounded(4 << 30)) // that keeps all it reads
	client, err := all.Client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AlwaysRetryEOF())
	if err != nil {
		s.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(s.ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		s.Fatal(err)
	}
	behind := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			behind[o.Partition] = o.Offset
		}
	})
	var records []*kgo.Record
	for len(behind) > 0 {
		fetches := client.PollFetches(s.ctx)
		if err := kafka.FetchError(fetches); err != nil {
			s.Fatalf("read %s: %v", topic, err)
		}
		for r := range fetches.RecordsAll() {
			if r.Offset+1 >= behind[r.Partition] {
				delete(behind, r.Partition)
			}
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		}
	}
	return records
}
