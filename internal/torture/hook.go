package torture

import (
	"bytes"
	"context"
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
)

// hookPatience is how long the operator's command may take beyond the time that it is told to hurt; hookMercy is how long
// it has to mend what it hurt, once it is asked to end.
const (
	hookPatience = 2 * time.Minute
	hookMercy    = 30 * time.Second
)

// callHook runs the operator's command for a fault. The first line that it prints says what it does.
func (r *run) callHook(ctx context.Context, e *event, number int, transactionalID string) error {
	asked, _ := e.Fault.asked()
	path := filepath.Join(r.Folder, "hook.log")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	limit := e.Lasts + hookPatience
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not end within %v", limit))
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-c", r.Hook) //nolint:gosec // the operator's own
	// Its own group of processes: an interrupt from the terminal is not for it, and what it starts ends with it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = hookMercy
	c.Env = append(os.Environ(),
		"NEARLINE_FAULT="+asked,
		fmt.Sprintf("NEARLINE_FAULT_SECONDS=%.3f", e.Lasts.Seconds()),
		"NEARLINE_FAULT_NUMBER="+strconv.Itoa(number),
		"NEARLINE_SEED="+strconv.Itoa(int(e.Seed)),
		"NEARLINE_BROKERS="+strings.Join(r.Connection.Brokers, ","),
		"NEARLINE_GROUP="+r.group,
		"NEARLINE_INPUT="+r.topics.input,
		"NEARLINE_OUTPUT="+r.topics.output,
		"NEARLINE_DEAD_LETTERS="+r.topics.deadLetters,
		"NEARLINE_TRANSACTIONAL_ID="+transactionalID)
	said := &announcement{to: file, tell: func(line string) {
		r.mu.Lock()
		e.Made = line
		r.mu.Unlock()
		r.tell.fault(*e)
	}}
	c.Stdout, c.Stderr = said, file
	err = c.Run()
	said.end()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return fmt.Errorf("hook, fault %d (%s): %w; what it said is in %s", number, e.kind(), err, path)
}

// transactionalID of a member that lives, if one does: of the replica of this number, or of the next one that runs.
func (r *run) transactionalID(from int) string {
	for i := range r.Replicas {
		p := r.replicas[(from+i)%r.Replicas]
		if p.able() {
			return fmt.Sprintf("%s/%s/0", r.group, p.name)
		}
	}
	return fmt.Sprintf("%s/%s/0", r.group, r.replicas[from].name)
}

// announcement passes everything on, and tells the first line once it is whole.
type announcement struct {
	to   io.Writer
	tell func(string)
	line []byte
	told bool
}

// longestLine of an announcement that is told in full.
const longestLine = 200

func (a *announcement) Write(data []byte) (int, error) {
	if !a.told {
		first, _, whole := bytes.Cut(data, []byte("\n"))
		a.line = append(a.line, first...)
		if whole || len(a.line) > longestLine {
			a.end()
		}
	}
	return a.to.Write(data)
}

// end tells what there is of a line.
func (a *announcement) end() {
	line := strings.TrimSpace(string(a.line[:min(len(a.line), longestLine)]))
	if !a.told && line != "" {
		a.tell(line)
	}
	a.told = true
}
