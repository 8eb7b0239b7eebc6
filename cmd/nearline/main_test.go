package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"nearline/internal/dev"
)

// asProgram is set where this test binary is to be the program itself, in a process of its own.
const asProgram = "NEARLINE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// constant is a model that needs no runtime.
const constant = "task: constant\ncolumns: {sentiment: {label: positive, score: 0.5}, helpfulness: 0.5}\n"

// repository has the constant under the name of the model that ships.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "sentiment", "1", "nearline.yaml"), constant)
	return root
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configFile is one with a pipeline from raw to scored and dlq, with the constant.
func configFile(t *testing.T, broker string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nearline.yaml")
	write(t, path, `
kafka: {brokers: ["`+broker+`"], replica: test}
models: {repository: "`+repository(t)+`"}
pipelines:
  - name: reviews
    input: {topic: reviews.raw}
    steps: [{predict: {model: sentiment}}]
    output: {topic: reviews.scored}
    dead_letters: reviews.raw.dlq
serving: {http: "127.0.0.1:0"}
`)
	return path
}

// quiet logs nothing.
var quiet = slog.New(slog.DiscardHandler)

// startBroker runs until the test ends.
func startBroker(t *testing.T, topics ...dev.Topic) string {
	t.Helper()
	broker, err := dev.StartBroker(t.Context(), dev.BrokerConfig{Listen: "127.0.0.1:0", Topics: topics, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return broker.Addr()
}

// result of a command.
type result struct {
	out, err string
	failure  error
}

// execute a command in this process.
// jobPipeline is what a configuration for files says of its pipeline.
const jobPipeline = `pipelines:
  - name: job
    input: {topic: jobs}
    steps: [{predict: {model: sentiment}}]
    output: {topic: jobs.done}
    dead_letters: jobs.dlq
`

// freeAddress is one that a program may listen on soon. It is below the ports that the system gives to whoever asks for any.
func freeAddress(t *testing.T) string {
	t.Helper()
	for i := range 1000 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+(os.Getpid()+i)%10000))
		if err == nil {
			_ = listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

func execute(t *testing.T, in string, args ...string) result {
	t.Helper()
	return executeIn(t.Context(), in, args...)
}

func executeIn(ctx context.Context, in string, args ...string) result {
	var out, errs bytes.Buffer
	c := command()
	c.SetIn(strings.NewReader(in))
	c.SetOut(&out)
	c.SetErr(&errs)
	c.SetArgs(args)
	err := c.ExecuteContext(ctx)
	return result{out.String(), errs.String(), err}
}

func (r result) ok(t *testing.T) {
	t.Helper()
	if r.failure != nil {
		t.Fatalf("got error %v, want none\nstandard output: %s\nstandard error: %s", r.failure, r.out, r.err)
	}
}

func (r result) fails(t *testing.T, says ...string) {
	t.Helper()
	if r.failure == nil {
		t.Fatalf("got no error, want one with %q\nstandard output: %s\nstandard error: %s", says, r.out, r.err)
	}
	wantAll(t, "the error", r.failure.Error(), says...)
}

func wantAll(t *testing.T, what, got string, says ...string) {
	t.Helper()
	for _, want := range says {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\n%s\nwant %q in it", what, got, want)
		}
	}
}

// program is the test binary as the program itself.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), executable, args...) //nolint:gosec // ourselves
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}

func TestVersionSaysWhichBuild(t *testing.T) {
	r := execute(t, "", "version")
	r.ok(t)
	wantAll(t, "the version", r.out, "nearline ", "go1.")
}

func TestMistakesAreNamed(t *testing.T) {
	models := repository(t)
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"a command that is not there", []string{"scoer"}, []string{`unknown command "scoer"`, "Did you mean this?", "score"}},
		{"a flag that is not there", []string{"dev", "--bogus"}, []string{"unknown flag: --bogus", "nearline dev --help"}},
		{"a flag that is missing", []string{"run"}, []string{"--config is missing", "nearline run --config FILE"}},
		{"a file that is missing", []string{"run", "--config", nowhere}, []string{"read configuration", nowhere}},
		{"a level that is none", []string{"dev", "--log-level", "loud", "--models", models}, []string{"--log-level", `"loud"`, "debug, info, warn or error"}},
		{"models that are not there", []string{"dev", "--models", nowhere}, []string{"--models " + nowhere, "there is no such folder", "NAME/VERSION"}},
		{"a model that is not there", []string{"score", "--model", "sentimant", "--models", models}, []string{"model sentimant", "want one of sentiment"}},
		{"an input that is not there", []string{"score", "--model", "sentiment", "--models", models, "--in", nowhere}, []string{"--in", nowhere}},
		{"an address that is none", []string{"dev", "--models", models, "--kafka", "9092"}, []string{`"9092"`, "want HOST:PORT"}},
		{"two things to send", []string{"send", "--sample", "3", "reviews.jsonl"}, []string{"--sample", "leave out"}},
		{"a rate and a file", []string{"send", "--rate", "3", "reviews.jsonl"}, []string{"--rate", "leave out"}},
		{"nobody to send to", []string{"send", "--kafka", "127.0.0.1:1"}, []string{"reach [127.0.0.1:1]", "refused"}},
		{"nobody to ask", []string{"health", "--url", "http://127.0.0.1:1/"}, []string{"healthz: no answer", "refused"}},
		{"two places to ask", []string{"health", "--url", "http://127.0.0.1:1", "--config", "nearline.yaml"}, []string{"--url and --config exclude each other"}},
		{"a configuration to ask that is missing", []string{"health", "--config", nowhere}, []string{nowhere, "--url"}},
		{"no partitions", []string{"topics", "--config", nowhere, "--partitions", "0"}, []string{"--partitions is 0", "want between 1"}},
		{"too many replicas", []string{"topics", "--config", nowhere, "--replication", "-1"}, []string{"--replication is -1"}},
		{"nobody to follow", []string{"tail", "--kafka", "127.0.0.1:1"}, []string{"reach [127.0.0.1:1]", "refused"}},
	} {
		t.Run(c.name, func(t *testing.T) { execute(t, "", c.args...).fails(t, c.says...) })
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	r := execute(t, "", "--help")
	r.ok(t)
	for _, c := range command().Commands() {
		if !c.Hidden {
			wantAll(t, "the help", r.out, c.Name())
		}
		help := execute(t, "", c.Name(), "--help")
		help.ok(t)
		wantAll(t, "the help of "+c.Name(), help.out, "Usage:\n  nearline "+c.Name(), "--help")
	}
}

func TestSendAndTailRoundTrip(t *testing.T) {
	broker := startBroker(t)
	lines := "{\"item_id\":\"a\",\"text\":\"one\"}\n\n{\"item_id\":\"a\",\"text\":\"two\"}\n"
	sent := execute(t, lines, "send", "--kafka", broker, "--key", "item_id")
	sent.ok(t)
	wantAll(t, "standard error", sent.err, "2 records sent to reviews.raw")

	tail := execute(t, "", "tail", "--kafka", broker, "--topic", "reviews.raw", "--from-beginning", "--until-end", "--keys")
	tail.ok(t)
	if want := "a\t{\"item_id\":\"a\",\"text\":\"one\"}\na\t{\"item_id\":\"a\",\"text\":\"two\"}\n"; tail.out != want {
		t.Errorf("got %q, want %q", tail.out, want)
	}

	execute(t, "", "tail", "--kafka", broker, "--topic", "nowhere").fails(t, "tail nowhere", "UNKNOWN_TOPIC")

	sample := execute(t, "", "send", "--kafka", broker, "--sample", "25")
	sample.ok(t)
	wantAll(t, "standard error", sample.err, "25 records sent")
}
