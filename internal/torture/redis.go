package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// keeper is a Redis of the run's own, which the replicas put the view into. It is killed, and comes back from an older snapshot.
type keeper struct {
	process *process
	port    int
	folder  string
	kept    []string // snapshots
}

// keep starts a Redis; Debian has it as redis-server.
func (r *run) keep(ctx context.Context) error {
	for _, program := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("fault %s wants %s (Debian: apt-get install redis-server): %w", StoreOlder, program, err)
		}
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(filepath.Join(r.Folder, "redis"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	r.store = &keeper{port: port, folder: folder, process: &process{name: "redis", log: filepath.Join(r.Folder, "redis.log"),
		args: []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"}}}
	r.view.Redis = "127.0.0.1:" + strconv.Itoa(port)
	return r.store.start(ctx)
}

func (k *keeper) start(ctx context.Context) error {
	if err := k.process.start("redis-server"); err != nil {
		return err
	}
	for end := time.Now().Add(30 * time.Second); ; {
		out, err := k.ask(ctx, "PING")
		if err == nil && strings.TrimSpace(out) == "PONG" {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("redis-server does not answer, see %s: %q", k.process.log, out), err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// ask by Redis' own client: a line for each command.
func (k *keeper) ask(ctx context.Context, lines ...string) (string, error) {
	c := exec.CommandContext(ctx, "redis-cli", "-p", strconv.Itoa(k.port)) //nolint:gosec // of this run
	c.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.String(), err
}

// older keeps a snapshot, lets some time pass, kills the server, and has it come back from one of the snapshots that are kept, or empty.
func (k *keeper) older(ctx context.Context, seed int, pause func()) error {
	if out, err := k.ask(ctx, "SAVE"); err != nil || strings.TrimSpace(out) != "OK" {
		return errors.Join(fmt.Errorf("have Redis write a snapshot: %q", out), err)
	}
	dump := filepath.Join(k.folder, "dump.rdb")
	data, err := os.ReadFile(dump)
	if err != nil {
		return err
	}
	name := filepath.Join(k.folder, fmt.Sprintf("kept-%d.rdb", len(k.kept)))
	if err := os.WriteFile(name, data, 0o600); err != nil {
		return err
	}
	k.kept = append(k.kept, name)
	pause()
	k.process.kill()
	if choice := seed % (len(k.kept) + 1); choice == len(k.kept) {
		err = os.Remove(dump)
	} else if data, err = os.ReadFile(k.kept[choice]); err == nil {
		err = os.WriteFile(dump, data, 0o600)
	}
	return errors.Join(err, k.start(context.WithoutCancel(ctx)))
}

// differ says which items Redis has otherwise than the input says, once nothing changes any more.
func (k *keeper) differ(ctx context.Context, view string, names []string, want []aggregate) (map[string]string, error) {
	for moved, least := time.Now(), -1; ; {
		wrong, err := k.compare(ctx, view, names, want)
		if err != nil || len(wrong) == 0 {
			return wrong, err
		}
		if least < 0 || len(wrong) < least {
			moved, least = time.Now(), len(wrong)
		}
		if time.Since(moved) > patience {
			return wrong, nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return wrong, context.Cause(ctx)
		}
	}
}

func (k *keeper) compare(ctx context.Context, view string, names []string, want []aggregate) (map[string]string, error) {
	commands := make([]string, len(names))
	for i, name := range names {
		commands[i] = "HMGET " + strconv.Quote("nearline:"+view+":"+name) + " count sum top"
	}
	out, err := k.ask(ctx, commands...)
	if err != nil {
		return nil, fmt.Errorf("read Redis: %w: %q", err, out)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 3*len(names) {
		return nil, fmt.Errorf("read Redis: %d lines of %d items, want three each", len(lines), len(names))
	}
	wrong := map[string]string{}
	for i, name := range names {
		a := want[i]
		if a.count == 0 && lines[3*i] == "" {
			continue
		}
		var top []string
		for _, n := range a.top {
			top = append(top, fmt.Sprintf(`{"of":"%d","by":%[1]d}`, n))
		}
		got := strings.Join(lines[3*i:3*i+3], " ")
		if want := fmt.Sprintf("%d %d [%s]", a.count, a.sum, strings.Join(top, ",")); got != want {
			wrong[name] = fmt.Sprintf("Redis has %q, and should have %q", got, want)
		}
	}
	return wrong, nil
}
