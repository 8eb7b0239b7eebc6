// Command torture brings a cluster up, has `nearline torture` and the cluster hurt each other for as long as is asked, and
// prints what became of the records. `make torture` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"nearline/e2e/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := torture(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func torture(ctx context.Context) (err error) {
	var o ordeal
	var kinds string
	flag.StringVar(&o.program, "nearline", "../bin/nearline", "`FILE` of the service")
	flag.StringVar(&o.folder, "folder", "../.cache/torture", "`FOLDER` for logs")
	flag.DurationVar(&o.lasts, "for", 0, "how long (default: as long as the records take)")
	flag.IntVar(&o.records, "records", 1_000_000, "how many records; 0 is as many as the time allows")
	flag.Float64Var(&o.rate, "rate", 750, "records a second")
	flag.Uint64Var(&o.seed, "seed", 1, "of the schedule and the load")
	flag.DurationVar(&o.every, "every", 5*time.Second, "time between faults, on average")
	flag.StringVar(&kinds, "faults", strings.Join(allFaults(), ","), "`KINDS` with their weights")
	flag.StringVar(&o.kafka, "config", "", "`KEYS` of the configuration's kafka section, such as 'group_protocol: consumer, session_timeout: 6s'")
	flag.StringVar(&o.model, "model", "", "`NAME` of a model that ships (default: a constant, which leaves the time to the records)")
	version := flag.String("kafka", cluster.Newest, "`VERSION` of Kafka")
	disk := flag.Int("disk", 3072, "`MiB` of each broker's disk")
	flag.Parse()
	o.others = flag.Args()
	o.faults = strings.Split(kinds, ",")
	if o.program, err = filepath.Abs(o.program); err != nil {
		return err
	}
	if o.folder, err = newFolder(o.folder); err != nil {
		return err
	}
	if o.hurt, err = buildHurt(ctx, o.folder); err != nil {
		return err
	}
	o.out = os.Stdout
	c, err := cluster.Start(ctx, cluster.Options{Version: *version, DiskMiB: *disk})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.KeepLogs(context.WithoutCancel(ctx), o.folder), c.Close()) }()
	line, _, err := o.run(ctx, c)
	if len(line) > 0 {
		fmt.Printf("%s\n", line)
	}
	return err
}

// newFolder empties a folder, or makes it, and returns its whole path.
func newFolder(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(path); err != nil {
		return "", err
	}
	return path, os.MkdirAll(path, 0o755)
}

// buildHurt makes the hook.
func buildHurt(ctx context.Context, folder string) (string, error) {
	path := filepath.Join(folder, "hurt")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "nearline/e2e/hurt").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the hook: %w: %s", err, out)
	}
	return path, nil
}
