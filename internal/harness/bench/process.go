package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// process is the built service in a process of its own.
type process struct {
	command *exec.Cmd
	folder  string
}

// process starts the service with a configuration.
func (b *bench) process(ctx context.Context, yaml []byte) (_ *process, err error) {
	folder, err := os.MkdirTemp("", "nearline-bench-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "nearline.yaml")
	if err := os.WriteFile(file, yaml, 0o600); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, b.binary, "run", "--log-level", "error", "--config", file)
	command.Stderr = os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the service (make build makes it): %w", err)
	}
	return &process{command, folder}, nil
}

func (p *process) end() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	_ = p.command.Wait()
	_ = os.RemoveAll(p.folder)
}
