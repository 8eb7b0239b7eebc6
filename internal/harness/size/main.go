// Command size builds the program as it ships, with the clouds' clients and without them, and fails where it is larger than budgets allow.
//
//	go run ./internal/harness/size [-out FOLDER]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
)

// budget is what one build of the program may weigh, stripped, on Linux and amd64.
type budget struct {
	what string
	tags string
	// megabytes as the documents say them: a program may have less than half of one more.
	megabytes int64
}

// budgets are the only place where they are set; a test compares them with what README.md, DESIGN.md and CONTRIBUTING.md say.
var budgets = []budget{
	{"the program", "grpcnotrace", 47},
	{"the program without the clouds' clients", "grpcnotrace,nocloud", 29},
}

const megabyte = 1_000_000

func main() {
	out := flag.String("out", os.TempDir(), "folder for what is built, which is removed again")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, folder string) error {
	if where := runtime.GOOS + "/" + runtime.GOARCH; where != "linux/amd64" {
		fmt.Fprintf(out, "size: SKIPPED, the budgets are for linux/amd64, and this is %s\n", where)
		return nil
	}
	var heavy error
	for _, b := range budgets {
		bytes, err := b.build(ctx, folder)
		if err != nil {
			return fmt.Errorf("size: build %s: %w", b.what, err)
		}
		if err := b.weigh(bytes); err != nil {
			heavy = errors.Join(heavy, err)
			continue
		}
		fmt.Fprintf(out, "%s has %s MB, of %d\n", b.what, megabytes(bytes), b.megabytes)
	}
	return heavy
}

// build says how many bytes the stripped program has.
func (b budget) build(ctx context.Context, folder string) (size int64, err error) {
	folder, err = os.MkdirTemp(folder, "size-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	file := filepath.Join(folder, "nearline")
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", b.tags, "-ldflags", "-s -w", "-o", file, "./cmd/nearline")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return 0, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// weigh fails with what to do where the build is larger than its budget.
func (b budget) weigh(bytes int64) error {
	if bytes < b.megabytes*megabyte+megabyte/2 {
		return nil
	}
	return fmt.Errorf(`%s has %s MB, and its budget is %d:
  what it links is listed by: go list -deps -tags %s ./cmd/nearline
  leave out what has grown, or raise the budget in internal/harness/size/main.go, and the sizes in README.md, DESIGN.md and CONTRIBUTING.md`,
		b.what, megabytes(bytes), b.megabytes, b.tags)
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/megabyte) }
