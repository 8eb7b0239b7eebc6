package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"nearline/internal/dev"
	"nearline/internal/harness/hostile"
	"nearline/kafka"
)

// hostileRecords is how many there are; NEARLINE_HOSTILE_RECORDS=N tries more.
const hostileRecords = 3000

// Everything that can be wrong with a record, and batches that hold gigabytes, in one stream with good ones: each has its one effect, and
// the process that reads them neither ends nor grows.
func TestHostileRecordsHurtNobodyElse(t *testing.T) {
	records := hostileRecords
	if given := os.Getenv("NEARLINE_HOSTILE_RECORDS"); given != "" {
		var err error
		if records, err = strconv.Atoi(given); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	const most = 1 << 30 // of retention: nothing is to go
	broker := startBroker(t, dev.Topic{Name: dev.TopicRaw, Partitions: 4, Retention: most}, dev.Topic{Name: dev.TopicScored, Partitions: 4, Retention: most},
		dev.Topic{Name: dev.TopicDeadLetters, Partitions: 4, Retention: most})
	client, err := kafka.Connection{Brokers: []string{broker}}.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ledger, err := hostile.Load{Topic: dev.TopicRaw, Records: records, Seed: 5, Bombs: []int64{100 << 20, 300 << 20}}.Write(ctx, client)
	if err != nil {
		t.Fatal(err)
	}

	c := program(t, "run", "--config", configFile(t, broker))
	var log bytes.Buffer
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	report, err := ledger.Await(ctx, kafka.Connection{Brokers: []string{broker}}.Client, dev.TopicScored, dev.TopicDeadLetters, 5*time.Minute)
	peak := peakMemory(c)
	_ = c.Process.Signal(os.Interrupt) // if it is gone, Wait says so
	if err := c.Wait(); err != nil {
		t.Errorf("the service ended with %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v; peak memory %s; members started anew %d times", report, peak, strings.Count(log.String(), "starts anew"))
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if report.Scored < records/4 || len(report.Classes) < 4 {
		t.Errorf("got %v, want a quarter scored and four classes at least: nothing else was shown", report)
	}
}

// peakMemory of a process that runs, as Linux tells it.
func peakMemory(c *exec.Cmd) string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
	if err != nil {
		return "unknown"
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(peak, "\n")
	return strings.TrimSpace(peak)
}
