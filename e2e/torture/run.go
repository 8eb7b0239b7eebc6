package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nearline/e2e/cluster"
	"nearline/e2e/faults"
)

// ordeal is one run of `nearline torture` on a cluster that is hurt too. The replicas talk to the brokers through the
// proxies; load and checker do not, so that they see what the cluster holds and not what the network lets through.
type ordeal struct {
	program string        // bin/nearline
	hurt    string        // the hook
	folder  string        // of configurations and logs, which stays
	out     io.Writer     // for people; what nearline torture prints goes to torture.jsonl in the folder
	lasts   time.Duration // 0: as long as the records take
	records int           // 0: as many as the time allows
	rate    float64
	seed    uint64
	every   time.Duration
	faults  []string // kinds with their weights
	model   string   // of the repository that ships; "" is a constant
	kafka   string   // more keys of the configuration's kafka section, as YAML in one line
	others  []string // arguments of nearline torture
}

// report is the last line of `nearline torture --json`.
type report struct {
	Records    int            `json:"records"`
	Faults     int            `json:"faults"`
	Lost       int            `json:"lost"`
	Doubled    int            `json:"doubled"`
	OutOfOrder int            `json:"out_of_order"`
	Causeless  int            `json:"dead_letters_without_cause"`
	Misplaced  int            `json:"misplaced"`
	Unknown    int            `json:"unknown"`
	Aggregates int            `json:"aggregates"`
	Miscounted int            `json:"aggregates_wrong"`
	Seed       uint64         `json:"seed"`
	Longest    float64        `json:"longest_stall_seconds"`
	Stalls     map[string]any `json:"stalls"`
}

// allFaults are those of the replicas, and those of the cluster, at about the same weight.
func allFaults() []string {
	weights := []string{"kill=4", "freeze=3", "leave=2", "join=2"}
	if _, err := exec.LookPath("redis-server"); err == nil {
		weights = append(weights, "store-older=2")
	}
	for _, kind := range faults.Kinds() {
		weights = append(weights, "hook:"+kind+"=1")
	}
	return weights
}

// run returns the last line as it was printed, and what it says. The error is the command's: it fails where a count is not 0.
func (o ordeal) run(ctx context.Context, c *cluster.Cluster) (line []byte, r report, err error) {
	config := filepath.Join(o.folder, "nearline.yaml")
	keys := "brokers: ['" + strings.Join(c.Proxied(), "', '") + "']"
	if o.kafka != "" {
		keys += ", " + o.kafka
	}
	text := fmt.Sprintf(`kafka: {%s}
models: {repository: '%s'}
pipelines:
  - name: torture
    input: {topic: in}
    steps: [{predict: {model: constant}}]
    output: {topic: out}
    dead_letters: dlq
`, keys, filepath.Join(filepath.Dir(o.program), "..", "models", "zoo"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, r, err
	}
	short, err := os.MkdirTemp("", "nearline-") // a socket's path is bounded
	if err != nil {
		return nil, r, err
	}
	defer os.RemoveAll(short)
	socket := filepath.Join(short, "hurt.sock")
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- faults.Serve(serving, c, socket, func() {}) }()
	defer func() {
		stop()
		err = errors.Join(err, <-served)
	}()

	args := append([]string{"torture", "--config", config, "--direct", strings.Join(c.Direct(), ","), "--replication", "3",
		"--folder", o.folder, "--hook", o.hurt, "--faults", strings.Join(o.faults, ","), "--json",
		"--seed", strconv.FormatUint(o.seed, 10), "--rate", strconv.FormatFloat(o.rate, 'f', -1, 64), "--every", o.every.String()}, o.others...)
	if o.lasts > 0 {
		args = append(args, "--for", o.lasts.String())
	}
	if o.model != "" {
		args = append(args, "--model", o.model)
	}
	if o.records > 0 {
		args = append(args, "--records", strconv.Itoa(o.records))
	}
	command := exec.CommandContext(ctx, o.program, args...) //nolint:gosec // the service under test
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = time.Minute
	command.Env = append(os.Environ(), "NEARLINE_HURT="+socket)
	command.Stderr = o.out
	printed, err := command.StdoutPipe()
	if err != nil {
		return nil, r, err
	}
	if err := command.Start(); err != nil {
		return nil, r, fmt.Errorf("start nearline torture: %w", err)
	}
	line, follows := o.follow(printed)
	err = errors.Join(command.Wait(), follows)
	if unread := json.Unmarshal(line, &r); unread != nil {
		return line, r, errors.Join(err, fmt.Errorf("the last line is no report: %q", line))
	}
	if err != nil {
		err = fmt.Errorf("nearline torture: %w; the logs are in %s", err, o.folder)
	}
	return line, r, err
}

// follow keeps what is printed, tells people of it, and returns the last line.
func (o ordeal) follow(printed io.Reader) (last []byte, err error) {
	file, err := os.Create(filepath.Join(o.folder, "torture.jsonl"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(printed)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = bytes.Clone(lines.Bytes())
		if _, err := fmt.Fprintf(file, "%s\n", last); err != nil {
			return last, err
		}
		var happened struct {
			Event string  `json:"event"`
			At    float64 `json:"at_seconds"`
			Text  string  `json:"text"`
		}
		if err := json.Unmarshal(last, &happened); err == nil && happened.Text != "" && happened.Event != "stall" {
			fmt.Fprintf(o.out, "%8.1fs  %s\n", happened.At, happened.Text)
		}
	}
	return last, lines.Err()
}
