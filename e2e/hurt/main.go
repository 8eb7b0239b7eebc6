// Command hurt is the hook of `nearline torture` for a cluster of the tests: it has one fault done by the process that holds
// the cluster, whose socket NEARLINE_HURT names, and ends when the fault is mended.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"nearline/e2e/faults"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := hurt(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hurt:", err)
		os.Exit(1)
	}
}

func hurt(ctx context.Context) error {
	path := os.Getenv("NEARLINE_HURT")
	if path == "" {
		return errors.New("NEARLINE_HURT is not set: want the socket of the process that holds the cluster")
	}
	seconds, err := strconv.ParseFloat(os.Getenv("NEARLINE_FAULT_SECONDS"), 64)
	if err != nil {
		return fmt.Errorf("NEARLINE_FAULT_SECONDS: %w", err)
	}
	seed, err := strconv.ParseUint(os.Getenv("NEARLINE_SEED"), 10, 64)
	if err != nil {
		return fmt.Errorf("NEARLINE_SEED: %w", err)
	}
	return faults.Ask(ctx, path, faults.Request{
		Kind:            os.Getenv("NEARLINE_FAULT"),
		Lasts:           time.Duration(seconds * float64(time.Second)),
		Seed:            seed,
		Group:           os.Getenv("NEARLINE_GROUP"),
		TransactionalID: os.Getenv("NEARLINE_TRANSACTIONAL_ID"),
	}, func(what string) { fmt.Println(what) })
}
