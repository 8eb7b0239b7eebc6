// Command bench measures Nearline against what it is made of and what it is compared with, side by side in one run:
// `make bench`. Every figure is a ratio or a latency of its own rounds, so that a machine's pace cancels out.
//
//	go run ./internal/harness/bench                         # all figures
//	go run ./internal/harness/bench -only plumbing,latency  # some
//	go run ./internal/harness/bench -reviews my.jsonl       # on your own reviews: {"review_id": …, "text": …} a line
//	go run ./internal/harness/bench -kafka k1:9092,k2:9092  # on your own Kafka; topics scoring.…, latency.… and so on are made there
//	go run ./internal/harness/bench -kafka-config FILE      # the same with TLS and a login: FILE has a section kafka
//	go run ./internal/harness/bench -only gpu               # is the GPU right, how fast, how busy: `make gpu-check`
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is what all figures share.
type bench struct {
	broker  *broker
	reviews string // a file, or ""
	rounds  int
	n       int // reviews a round of the model, 0 for the default
	binary  string
	redis   string // host:port, or "" for one of its own
}

// The figures, in the order in which they are measured.
var figures = []struct {
	name    string
	measure func(context.Context, *bench) ([]figure, error)
}{
	{"tokenizer", tokenizing},
	{"plumbing", plumbing},
	{"latency", latency},
	{"scoring", scoring},
	{"memory", memory},
	{"replicas", replicas},
	{"features", featuring},
	{"ranking", ranking},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "broker" {
		if err := serveBroker(); err != nil {
			fmt.Fprintln(os.Stderr, "bench: broker:", err)
			os.Exit(1)
		}
		return
	}
	var b bench
	var only, kafka, kafkaConfig, profile string
	flag.StringVar(&only, "only", "", "figures to measure, of: "+names()+"; or "+gpuName+" alone, for the check of a GPU")
	flag.StringVar(&kafka, "kafka", "", "brokers of a cluster to measure on, host:port with commas (default: an embedded one)")
	flag.StringVar(&kafkaConfig, "kafka-config", "", "`FILE` whose section kafka says how a cluster is reached, and as whom: brokers, TLS and login")
	flag.StringVar(&b.redis, "redis", "", "host:port of a Redis to measure lookups with (default: a redis-server of its own)")
	flag.StringVar(&b.reviews, "reviews", "", "file of JSON lines to take the reviews from")
	flag.IntVar(&b.rounds, "rounds", 7, "rounds of each comparison")
	flag.IntVar(&b.n, "n", 0, "reviews a round where the real model runs (default: what takes some ten seconds)")
	flag.StringVar(&b.binary, "binary", "bin/nearline", "the built service, for the figures that have it in processes of its own")
	flag.StringVar(&profile, "profile", "", "file for a CPU profile of all that is measured, for go tool pprof")
	var g gpuCheck
	g.flags(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return b.run(ctx, only, kafka, kafkaConfig) }
	if only == gpuName {
		g.reviews, g.n, g.rounds = b.reviews, b.n, min(b.rounds, 3)
		run = func() error { return g.run(ctx, os.Stdout) }
	}
	if err := profiled(profile, run); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // the deferred stop has nothing left to do
	}
}

// profiled runs with a CPU profile, if there is a file for it.
func profiled(path string, run func() error) (err error) {
	if path == "" {
		return run()
	}
	file, err := os.Create(path) //nolint:gosec // whoever measures says where
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return run()
}

func names() string {
	all := make([]string, 0, len(figures))
	for _, f := range figures {
		all = append(all, f.name)
	}
	return strings.Join(all, ", ")
}

func (b *bench) run(ctx context.Context, only, kafka, kafkaConfig string) (err error) {
	wanted := strings.FieldsFunc(only, func(r rune) bool { return r == ',' || r == ' ' })
	for _, name := range wanted {
		if !slices.ContainsFunc(figures, func(f struct {
			name    string
			measure func(context.Context, *bench) ([]figure, error)
		}) bool {
			return f.name == name
		}) {
			return fmt.Errorf("-only %s: want some of %s, or %s alone", name, names(), gpuName)
		}
	}
	b.broker, err = startBroker(kafka, kafkaConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.broker.close()) }()
	fmt.Printf("%s, %d cores, %s\n\n", runtime.GOARCH, runtime.GOMAXPROCS(0), time.Now().Format(time.DateOnly))
	for _, f := range figures {
		if len(wanted) > 0 && !slices.Contains(wanted, f.name) {
			continue
		}
		results, err := f.measure(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		for _, result := range results {
			fmt.Println(result)
		}
	}
	return nil
}
