package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"nearline/internal/config"
	"nearline/internal/dev"
	"nearline/internal/observe"
	"nearline/internal/service"
)

// devFlags are what `nearline dev` can be told.
type devFlags struct {
	kafka, http, data, models string
	sample                    bool
	rate                      float64
	backlog                   int
	duration                  time.Duration
}

func devCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dev",
		Short: "Try it: an embedded broker, the service and a sample stream in one process",
		Long: `Starts an embedded Kafka broker with the topics reviews.raw, reviews.scored and reviews.raw.dlq, the service between them, and
a sample stream of reviews. Any Kafka client can produce to reviews.raw and read reviews.scored meanwhile.

On a terminal it shows a live view; into a pipe it prints one line a review. The broker is for trying things out, not for
production: one node, no replicas.`,
		Args: cobra.NoArgs,
	}
	var f devFlags
	c.Flags().StringVar(&f.kafka, "kafka", dev.DefaultListen, "where the broker listens, HOST:PORT")
	c.Flags().StringVar(&f.http, "http", "127.0.0.1:8080", "where metrics and health are served, HOST:PORT, or off")
	c.Flags().StringVar(&f.data, "data", "", "folder in which the broker's state survives (default: in memory)")
	c.Flags().StringVar(&f.models, "models", "models/zoo", "the model repository")
	c.Flags().BoolVar(&f.sample, "sample", true, "produce a sample stream of reviews")
	c.Flags().Float64Var(&f.rate, "rate", dev.DefaultRate, "sample reviews a second, after the backlog")
	c.Flags().IntVar(&f.backlog, "backlog", dev.DefaultBacklog, "sample reviews at the start, all at once")
	c.Flags().DurationVar(&f.duration, "for", 0, "stop after this long (default: until Ctrl-C)")
	logger := logFlag(c, "warn")
	c.RunE = func(c *cobra.Command, _ []string) error {
		logs := dev.NewLogs(os.Stderr)
		log, damper, err := logger(os.Stderr)
		if err != nil {
			return err
		}
		defer damper.Flush()
		ctx := c.Context()
		if f.duration > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, f.duration)
			defer cancel()
		}
		return runDev(ctx, f, log, logs)
	}
	return c
}

// devConfig is the built-in pipeline on the embedded broker.
func devConfig(f devFlags, brokers string) (*config.Config, error) {
	c := config.Default()
	c.Kafka.Brokers = []string{brokers}
	c.Kafka.Replica = "dev"
	c.Models.Repository = f.models
	c.Serving.HTTP = f.http
	p := config.DefaultPipeline()
	p.Name, p.Group = "reviews", "nearline-reviews"
	p.Input.Topic, p.Output.Topic, p.DeadLetters = dev.TopicRaw, dev.TopicScored, dev.TopicDeadLetters
	p.Steps = []config.Step{{Predict: &config.Predict{Model: "sentiment"}}}
	c.Pipelines = []config.Pipeline{p}
	return c, c.Validate()
}

// runDev starts from the inside out (broker, service, view, sample) and stops in the opposite order, so that what was
// sent is scored, and what was scored is shown.
func runDev(ctx context.Context, f devFlags, log *slog.Logger, logs *dev.Logs) (err error) {
	broker, err := dev.StartBroker(ctx, dev.BrokerConfig{Listen: f.kafka, Data: f.data, Logger: log})
	if err != nil {
		return err
	}
	defer broker.Close()
	c, err := devConfig(f, broker.Addr())
	if err != nil {
		return err
	}
	s, err := service.Open(ctx, c, service.Options{Logger: log, Build: observe.ReadBuild()})
	if err != nil {
		return err
	}
	p := &c.Pipelines[0]
	view, err := dev.OpenView(ctx, dev.ViewConfig{
		Feed:  dev.FeedConfig{Brokers: c.Kafka.Brokers, Input: p.Input.Topic, Output: p.Output.Topic, DeadLetters: p.DeadLetters, Group: p.Group},
		Kafka: broker.Addr(),
		HTTP:  s.HTTP(),
		Live:  dev.IsTerminal(os.Stdout),
		Out:   os.Stdout,
		Logs:  logs,
	})
	if err != nil {
		return err
	}
	defer view.Close()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx) })
	group.Go(func() error {
		defer stop() // the person may quit from within the view
		return view.Run(ctx)
	})
	if f.sample {
		group.Go(func() error {
			_, err := dev.SampleStream{
				Brokers: c.Kafka.Brokers,
				Topic:   p.Input.Topic,
				Sample:  dev.SampleConfig{Seed: uint64(time.Now().UnixNano()), HostileEvery: dev.DefaultHostileEvery, Tombstones: true, Now: time.Now}, //nolint:gosec // any seed will do
				Backlog: f.backlog,
				Rate:    f.rate,
			}.Run(ctx)
			return err
		})
	}
	err = group.Wait()
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, finishErr := view.Finish(finish)
	return errors.Join(err, finishErr)
}

// brokerCommand is the embedded broker alone, for measurements that need it in a process of its own.
func brokerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:    "dev-broker",
		Short:  "The embedded broker alone",
		Args:   cobra.NoArgs,
		Hidden: true,
	}
	listen := c.Flags().String("kafka", dev.DefaultListen, "where the broker listens, HOST:PORT")
	data := c.Flags().String("data", "", "folder in which the broker's state survives")
	logger := logFlag(c, "warn")
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, damper, err := logger(os.Stderr)
		if err != nil {
			return err
		}
		defer damper.Flush()
		return dev.RunBroker(c.Context(), dev.BrokerConfig{Listen: *listen, Data: *data, Logger: log}, func(addr string) {
			fmt.Fprintln(c.OutOrStdout(), addr)
		})
	}
	return c
}
