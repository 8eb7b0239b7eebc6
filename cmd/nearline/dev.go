package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
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
	topics                    []string
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
	c.Flags().StringVar(&f.kafka, "kafka", dev.DefaultListen, "where the broker listens, `HOST:PORT`")
	c.Flags().StringVar(&f.http, "http", "127.0.0.1:8080", "where metrics and health are served, `HOST:PORT`, or off")
	c.Flags().StringVar(&f.data, "data", "", "`FOLDER` in which the broker's state survives (default: in memory)")
	repository := modelsFlag(c)
	c.Flags().StringSliceVar(&f.topics, "topics", nil, "further `TOPICS` to create, for a pipeline of your own")
	c.Flags().BoolVar(&f.sample, "sample", true, "produce a sample stream of reviews")
	c.Flags().Float64Var(&f.rate, "rate", dev.DefaultRate, "sample reviews a second, after the backlog")
	c.Flags().IntVar(&f.backlog, "backlog", dev.DefaultBacklog, "sample reviews at the start, all at once")
	c.Flags().DurationVar(&f.duration, "for", 0, "stop after this long (default: until Ctrl-C)")
	logger := logFlag(c, "warn")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if f.models, err = repository(); err != nil {
			return err
		}
		// What is logged while the live view is up comes after it.
		logs := dev.NewLogs(c.ErrOrStderr())
		log, damper, err := logger(logs)
		if err != nil {
			return err
		}
		defer damper.Flush()
		d := devRun{flags: f, log: log, logs: logs, out: c.OutOrStdout(), tell: func(string, ...any) {}}
		if dev.IsTerminal(os.Stderr) {
			d.tell = func(format string, args ...any) { fmt.Fprintf(c.ErrOrStderr(), format+"\n", args...) }
		}
		return d.run(c.Context())
	}
	return c
}

// allTopics are the built-in pipeline's and the further ones.
func (f devFlags) allTopics() []dev.Topic {
	topics := dev.DefaultTopics()
	for _, name := range f.topics {
		topics = append(topics, dev.Topic{Name: name, Partitions: topics[0].Partitions, Retention: topics[0].Retention})
	}
	return topics
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

// devRun is one `nearline dev`.
type devRun struct {
	flags devFlags
	log   *slog.Logger
	logs  *dev.Logs
	out   io.Writer
	// tell a person what is going on where the view does not.
	tell func(format string, args ...any)
}

// run starts from the inside out (broker, service, view, sample) and stops in the opposite order, so that what was sent is
// scored, and what was scored is shown.
func (d *devRun) run(ctx context.Context) (err error) {
	f := d.flags
	broker, err := dev.StartBroker(ctx, dev.BrokerConfig{Listen: f.kafka, Data: f.data, Topics: f.allTopics(), Logger: d.log})
	if err != nil {
		return err
	}
	defer broker.Close()
	d.tell("broker up on %s, loading the model from %s", broker.Addr(), f.models)
	c, err := devConfig(f, broker.Addr())
	if err != nil {
		return err
	}
	s, err := service.Open(ctx, c, service.Options{Logger: d.log, Build: observe.ReadBuild()})
	if interrupted(ctx, err) {
		return nil
	}
	if err != nil {
		return err
	}
	p := &c.Pipelines[0]
	file, _ := d.out.(*os.File)
	view, err := dev.OpenView(ctx, dev.ViewConfig{
		Feed:  dev.FeedConfig{Brokers: c.Kafka.Brokers, Input: p.Input.Topic, Output: p.Output.Topic, DeadLetters: p.DeadLetters, Group: p.Group},
		Kafka: broker.Addr(),
		HTTP:  s.HTTP(),
		Live:  file != nil && dev.IsTerminal(file),
		Out:   d.out,
		Logs:  d.logs,
	})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	defer view.Close()
	err = d.work(ctx, s, view, c)
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, finishErr := view.Finish(finish)
	return errors.Join(err, finishErr)
}

// work until ctx ends, the time is over or the person quits.
func (d *devRun) work(ctx context.Context, s *service.Service, view *dev.View, c *config.Config) error {
	f := d.flags
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if f.duration > 0 {
		defer time.AfterFunc(f.duration, stop).Stop()
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx) })
	group.Go(func() error {
		err := view.Run(ctx)
		// The person may quit from within the view. From here on an interrupt does what interrupts do.
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		stop()
		d.tell("stopping: what is in the model is scored and committed; Ctrl-C ends it at once")
		return err
	})
	if f.sample {
		group.Go(func() error {
			_, err := dev.SampleStream{
				Brokers: c.Kafka.Brokers,
				Topic:   c.Pipelines[0].Input.Topic,
				Sample:  liveSample(),
				Backlog: f.backlog,
				Rate:    f.rate,
			}.Run(ctx)
			return err
		})
	}
	return group.Wait()
}

// brokerCommand is the embedded broker alone, for measurements that need it in a process of its own.
func brokerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:    "dev-broker",
		Short:  "The embedded broker alone",
		Args:   cobra.NoArgs,
		Hidden: true,
	}
	listen := c.Flags().String("kafka", dev.DefaultListen, "where the broker listens, `HOST:PORT`")
	data := c.Flags().String("data", "", "`FOLDER` in which the broker's state survives")
	logger := logFlag(c, "warn")
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, damper, err := logger(c.ErrOrStderr())
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
