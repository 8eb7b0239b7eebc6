package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nearline/kafka"
)

// hooked is a run that has nothing but a command.
func hooked(t *testing.T, command string) (*run, *bytes.Buffer) {
	t.Helper()
	out := new(bytes.Buffer)
	r := &run{
		Options: Options{Folder: t.TempDir(), Hook: command, Replicas: 2, Connection: kafka.Connection{Brokers: []string{"a:1", "b:2"}}},
		topics:  topics{input: "in", output: "out", deadLetters: "dlq"},
		group:   "group",
		tell:    &teller{out: out, json: true, began: time.Now()},
		busy:    map[int]bool{},
	}
	for _, name := range []string{"replica-0", "replica-1"} {
		r.replicas = append(r.replicas, &process{name: name, log: filepath.Join(r.Folder, name+".log"), args: []string{"60"}})
	}
	return r, out
}

func TestHookIsToldAndNamesItsFault(t *testing.T) {
	r, out := hooked(t, `echo "broker-kill kafka-2"; env | grep NEARLINE_ | sort; echo trouble >&2`)
	if err := r.replicas[1].start("/bin/sleep"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.killAll)
	r.strike(context.Background(), event{Fault: "hook:broker-kill", Lasts: 2500 * time.Millisecond, Seed: 42})
	r.undoing.Wait()
	if len(r.failed) > 0 || len(r.events) != 1 || r.events[0].Made != "broker-kill kafka-2" {
		t.Fatalf("failed with %v, and made %+v: want what its first line says", r.failed, r.events)
	}
	var told happened
	if err := json.Unmarshal(out.Bytes(), &told); err != nil || told.Fault != "broker-kill" || told.Text != "broker-kill kafka-2 for 2.5s" {
		t.Errorf("told is %s (%v)", out, err)
	}
	log, err := os.ReadFile(filepath.Join(r.Folder, "hook.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"NEARLINE_FAULT=broker-kill", "NEARLINE_FAULT_SECONDS=2.500", "NEARLINE_FAULT_NUMBER=1", "NEARLINE_SEED=42", "NEARLINE_BROKERS=a:1,b:2",
		"NEARLINE_GROUP=group", "NEARLINE_INPUT=in", "NEARLINE_OUTPUT=out", "NEARLINE_DEAD_LETTERS=dlq",
		"NEARLINE_TRANSACTIONAL_ID=group/replica-1/0", "trouble", // replica 0 does not run
	} {
		if !strings.Contains(string(log), want+"\n") {
			t.Errorf("hook.log has no line %q:\n%s", want, log)
		}
	}
}

func TestHookThatFailsIsReported(t *testing.T) {
	r, _ := hooked(t, "echo cut; exit 3")
	r.strike(context.Background(), event{Fault: Hook, Lasts: time.Second})
	r.undoing.Wait()
	if len(r.failed) != 1 || !strings.Contains(r.failed[0].Error(), "fault 1 (cut): exit status 3") {
		t.Errorf("got %v, want the exit of the command that cut", r.failed)
	}
}

func TestHooksComeOneAtATime(t *testing.T) {
	over := filepath.Join(t.TempDir(), "over")
	r, _ := hooked(t, fmt.Sprintf("until [ -e '%s' ]; do sleep 0.01; done; echo done", over))
	for range 3 {
		r.strike(context.Background(), event{Fault: Hook, Lasts: time.Second})
	}
	if err := os.WriteFile(over, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.undoing.Wait()
	if len(r.events) != 1 {
		t.Errorf("%d have struck: want those left out that come while one is at work", len(r.events))
	}
	if r.strike(context.Background(), event{Fault: Hook, Lasts: time.Second}); len(r.events) != 2 {
		t.Errorf("%d have struck: want another one after the first", len(r.events))
	}
	r.undoing.Wait()
}

func TestHookThatIsInterruptedMayMend(t *testing.T) {
	r, _ := hooked(t, `trap 'echo mended; exit 0' TERM; sleep 60 & echo cut; wait`)
	ctx, cancel := context.WithCancel(context.Background())
	r.strike(ctx, event{Fault: Hook, Lasts: time.Second})
	for { // until it has said what it does
		r.mu.Lock()
		made := r.events[0].Made
		r.mu.Unlock()
		if made != "" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	r.undoing.Wait()
	log, err := os.ReadFile(filepath.Join(r.Folder, "hook.log"))
	if err != nil || string(log) != "cut\nmended\n" {
		t.Errorf("hook.log is %q (%v), want that it mended", log, err)
	}
}
