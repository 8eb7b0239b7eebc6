package torture

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell is a process that runs a script.
func shell(t *testing.T, script string) *process {
	t.Helper()
	p := &process{name: "shell", log: filepath.Join(t.TempDir(), "log"), args: []string{"-c", script}}
	t.Cleanup(p.kill)
	return p
}

// eventually waits for what has to come.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come within a minute: %s", what)
		}
	}
}

func TestProcessIsStartedAgainWhenItEndsByItself(t *testing.T) {
	p := shell(t, "exec sleep 60")
	p.supervised = true
	if err := p.start("/bin/sh"); err != nil {
		t.Fatal(err)
	}
	first := p.command.Process
	if err := first.Signal(syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another incarnation", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.command.Process != first
	})
	if s := p.surprises(); len(s) != 1 || !strings.Contains(s[0], "segmentation fault") {
		t.Errorf("surprises are %v, want the signal", s)
	}
	p.kill()
	time.Sleep(restartAfter + 100*time.Millisecond)
	if p.running() || len(p.surprises()) != 1 {
		t.Errorf("one that was killed on purpose runs: %v, surprises %v", p.running(), p.surprises())
	}
}

func TestProcessDiesOfItsMemory(t *testing.T) {
	// tail keeps all of the one endless line. It begins once the process is confined.
	p := shell(t, "ulimit -v 8000000; sleep 2; exec tail </dev/zero")
	p.memory = 64 << 20
	if err := p.start("/bin/sh"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its end", func() bool { return len(p.surprises()) > 0 })
	if s := p.surprises(); !strings.Contains(s[0], "killed") && !strings.Contains(s[0], "137") {
		t.Errorf("it ended by %v, want that it was killed", s)
	}
}
