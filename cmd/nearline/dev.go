package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"nearline/examples"
	"nearline/internal/config"
	"nearline/internal/dev"
	"nearline/internal/observe"
	"nearline/internal/plain"
	"nearline/internal/service"
	"nearline/internal/veil"
	"nearline/models/folder"
	"nearline/serving"
	"nearline/steps"
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

On a terminal it shows a live view; into a pipe it prints one line a review, and standard error says where the broker is and when
everything is ready. The broker is for trying things out, not for
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
	c.Flags().IntVar(&f.backlog, "backlog", dev.DefaultBacklog(), "sample reviews at the start, all at once")
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
		d := devRun{flags: f, log: log, logs: logs, out: unfiltered(c.OutOrStdout())}
		d.tell = func(format string, args ...any) { fmt.Fprintf(c.ErrOrStderr(), format+"\n", args...) }
		return d.run(c.Context())
	}
	return c
}

// unfiltered is the terminal itself: the view draws on it, and makes plain what it shows.
func unfiltered(out io.Writer) io.Writer {
	if terminal, ok := out.(*plain.Writer); ok {
		return terminal.To
	}
	return out
}

// allTopics are those of the configuration, as large as an embedded broker should have them, and the further ones.
func (f devFlags) allTopics(c *config.Config) []dev.Topic {
	topics := dev.DefaultTopics()
	known := map[string]bool{}
	for _, topic := range topics {
		known[topic.Name] = true
	}
	add := func(topic dev.Topic) {
		if !known[topic.Name] {
			known[topic.Name] = true
			topics = append(topics, topic)
		}
	}
	for _, use := range c.Topics() {
		if use.Use != config.UseAttempts && use.Use != config.UseProgress { // which the service makes, with settings of their own
			topic := dev.Topic{Name: use.Topic, Partitions: topics[0].Partitions, Retention: 8 << 20}
			if use.Made() {
				topic.Settings = service.OwnTopic(c.Features.Config, use).Settings()
			}
			add(topic)
		}
	}
	for _, name := range f.topics {
		add(dev.Topic{Name: name, Partitions: topics[0].Partitions, Retention: topics[0].Retention})
	}
	return topics
}

// devConfig is examples/shop.yaml, which is on the embedded broker once that has an address.
func devConfig(f devFlags) (*config.Config, *veil.Veil, error) {
	c, hides, err := config.Parse("shop.yaml", examples.Shop)
	if err != nil {
		return nil, nil, err
	}
	c.Kafka.Replica = "dev"
	c.Models.Repository = f.models
	c.Serving.HTTP = f.http
	// The broker is in memory: what nobody may need again goes soon.
	c.Features.Retention = time.Hour
	// A repository of one's own need not have a model that ranks.
	c.Pipelines = slices.DeleteFunc(c.Pipelines, func(p config.Pipeline) bool {
		if !p.Ranks() {
			return false
		}
		return slices.ContainsFunc(steps.Models(p.Steps), func(model string) bool {
			_, err := folder.Versions(c.Models.Repository, model)
			return err != nil
		})
	})
	if err := c.Validate(); err != nil {
		return nil, nil, fmt.Errorf("with --http and --models as they are: %w", err)
	}
	return c, hides, nil
}

// lookUpItem asks the service's own views.
func lookUpItem(s *service.Service) dev.LookUp {
	return func(ctx context.Context, id string) (dev.Item, bool) {
		found, err := s.Features().Lookup(ctx, "item", id)
		if err != nil {
			return dev.Item{}, false // nothing yet, and the next second tells more
		}
		item := dev.Item{At: time.Now(), ItemID: id}
		for _, f := range found.Fields {
			switch f.Name {
			case "sentiment":
				item.Sentiment = f.Value.Float
			case "popularity":
				item.Popularity = f.Value.Float
			case "reviews":
				item.Reviews = f.Value.Int
			}
		}
		return item, item.Reviews > 0
	}
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
	c, hides, err := devConfig(f)
	if err != nil {
		return err
	}
	broker, err := dev.StartBroker(ctx, dev.BrokerConfig{Listen: f.kafka, Data: f.data, Topics: f.allTopics(c), Logger: d.log})
	if err != nil {
		return err
	}
	defer broker.Close()
	c.Kafka.Brokers = []string{broker.Addr()}
	d.tell("broker up on %s, loading the model from %s", broker.Addr(), f.models)
	s, err := service.Open(ctx, c, service.Options{Logger: d.log, Build: observe.ReadBuild(), Veil: hides})
	if interrupted(ctx, err) {
		return nil
	}
	if listen, ok := errors.AsType[*serving.ListenError](err); ok {
		return fmt.Errorf("%w or --http", listen)
	}
	if err != nil {
		return err
	}
	p := &c.Pipelines[0]
	var visitor *dev.Visitor
	var ranking func() (dev.Ranking, bool)
	if i := slices.IndexFunc(c.Pipelines, func(p config.Pipeline) bool { return p.Ranks() }); i >= 0 && f.sample {
		visitor = &dev.Visitor{Connection: c.Kafka.Connection(), Requests: c.Pipelines[i].Input.Topic, Results: c.Pipelines[i].Output.Topic}
		ranking = visitor.Latest
	}
	file, _ := d.out.(*os.File)
	view, err := dev.OpenView(ctx, dev.ViewConfig{
		Feed:  dev.FeedConfig{Connection: c.Kafka.Connection(), Input: p.Input.Topic, Output: p.Output.Topic, DeadLetters: p.DeadLetters, Group: p.Group},
		Kafka: broker.Addr(),
		HTTP:  s.HTTP(),
		Live:  file != nil && dev.IsTerminal(file),
		ASCII: dev.OnlyASCII(os.Getenv),
		Out:   d.out,
		Logs:  d.logs,

		LookUp:  lookUpItem(s),
		Ranking: ranking,
	})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	defer view.Close()
	if !view.Live() { // a live view says so itself
		d.tell("%s", readiness(c, broker.Addr(), s.HTTP()))
	}
	err = d.work(ctx, s, view, visitor, c)
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, finishErr := view.Finish(finish)
	return errors.Join(err, finishErr)
}

// readiness is said once models are loaded, addresses are open, and whatever is produced from now on is shown.
func readiness(c *config.Config, kafka, http string) string {
	p := &c.Pipelines[0]
	line := fmt.Sprintf("ready: produce to %s on %s; results are in %s, dead letters in %s", p.Input.Topic, kafka, p.Output.Topic, p.DeadLetters)
	if http != "" {
		line += fmt.Sprintf("; metrics and health are on http://%s", http)
	}
	return line
}

// work until ctx ends, the time is over or the person quits.
func (d *devRun) work(ctx context.Context, s *service.Service, view *dev.View, visitor *dev.Visitor, c *config.Config) error {
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
		var blame func() string
		if visitor != nil {
			blame = visitor.Disappointed
			group.Go(func() error { return visitor.Run(ctx) })
		}
		group.Go(func() error {
			_, err := dev.SampleStream{
				Connection: c.Kafka.Connection(),
				Topic:      c.Pipelines[0].Input.Topic,
				Events:     dev.TopicEvents,
				Sample:     liveSample(),
				Backlog:    f.backlog,
				Rate:       f.rate,
				Blame:      blame,
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
	minSession := c.Flags().Duration("min-session", 0, "shortest session timeout of a group's members (default: 6s, that of Kafka's brokers)")
	logger := logFlag(c, "warn")
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, damper, err := logger(c.ErrOrStderr())
		if err != nil {
			return err
		}
		defer damper.Flush()
		return dev.RunBroker(c.Context(), dev.BrokerConfig{Listen: *listen, Data: *data, MinSession: *minSession, Logger: log}, func(addr string) {
			fmt.Fprintln(c.OutOrStdout(), addr)
		})
	}
	return c
}
