package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nearline/consumers"
	"nearline/internal/config"
	"nearline/internal/service"
	"nearline/internal/tables"
	"nearline/kafka"
)

// topicFlags are what `nearline topics` can be told.
type topicFlags struct {
	create                  bool
	partitions, replication int
	wait                    time.Duration
}

func topicsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "topics --config FILE",
		Short: "List the topics that a configuration needs, and create the missing ones",
		Long: `Lists every topic that the pipelines read and write: how many partitions and replicas it has, how large its records may be, and
how long they are kept. The exit status is 1 when one is missing; with --create it is made instead.

Topics of dead letters are made to take records somewhat larger than their input does, so that originals fit whole; the topics of
attempts and of progress are made with one partition, of which the former keeps a day, and the latter is compacted; and topics with three replicas or more with min.insync.replicas=2. What exists is left
as it is.`,
		Example: `  nearline topics --config nearline.yaml
  nearline topics --config nearline.yaml --create --partitions 12`,
		Args: cobra.NoArgs,
	}
	file := configFlag(c)
	var f topicFlags
	c.Flags().BoolVar(&f.create, "create", false, "create the topics that are missing")
	c.Flags().IntVar(&f.partitions, "partitions", 6, "of each new topic: as many members can share the input")
	c.Flags().IntVar(&f.replication, "replication", 0, "replicas of each new topic (default: 3, or as many as there are brokers)")
	c.Flags().DurationVar(&f.wait, "wait", brokerPatience, "how long to wait for brokers that do not answer yet")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.validate(); err != nil {
			return err
		}
		loaded, err := loadConfig(c, *file)
		if err != nil {
			return err
		}
		cluster, err := consumers.Dial(loaded.Kafka.Connection(), slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		defer cluster.Close()
		if err := awaitBrokers(c.Context(), cluster, f.wait); err != nil {
			return doubtAddresses(err, "kafka.brokers ("+strings.Join(loaded.Kafka.Brokers, ", ")+")")
		}
		return f.run(c.Context(), c.OutOrStdout(), cluster, loaded)
	}
	return c
}

// maxPartitions keeps a slip of the finger from a cluster that would not recover from it.
const maxPartitions = 10_000

func (f topicFlags) validate() error {
	if f.partitions < 1 || f.partitions > maxPartitions {
		return fmt.Errorf("--partitions is %d: want between 1 and %d", f.partitions, maxPartitions)
	}
	if f.replication < 0 || f.replication > 100 {
		return fmt.Errorf("--replication is %d: want the number of replicas, at most one a broker", f.replication)
	}
	return nil
}

// awaitBrokers waits until one answers. What is refused is mended by no wait; and what was said before the time was over says more than that it is.
func awaitBrokers(ctx context.Context, cluster *consumers.Cluster, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	var said error
	for {
		_, err := cluster.Brokers(ctx)
		if err == nil || kafka.Refused(err) {
			return err
		}
		if said == nil || !errors.Is(err, context.DeadlineExceeded) {
			said = err
		}
		select {
		case <-ctx.Done():
			return said
		case <-again.C:
		}
	}
}

func (f topicFlags) run(ctx context.Context, out io.Writer, cluster *consumers.Cluster, c *config.Config) error {
	uses := c.Topics()
	topics, err := lookUp(ctx, cluster, uses)
	if err != nil {
		return err
	}
	if f.create {
		if err := f.createMissing(ctx, out, cluster, c, topics); err != nil {
			return err
		}
	}
	wrong := make(map[string]bool)
	table := tables.New(3, "PIPELINE", "USE", "TOPIC", "PARTITIONS", "REPLICAS", "RECORDS UP TO", "KEPT")
	for _, use := range uses {
		topic := topics[use.Topic]
		row := []string{strconv.Itoa(topic.Partitions), strconv.Itoa(topic.Replicas), byteLimit(topic.MaxRecordBytes), kept(topic)}
		if use.Use == config.UseUpdates && topic.Retention < 0 {
			topic.Retention = c.Features.Retention
			row[len(row)-1] = "until read, and " + kept(topic)
		}
		switch {
		case topic.Missing() && use.Made():
			row = []string{"the service makes it"}
		case topic.Missing():
			row, wrong[use.Topic] = []string{"missing"}, true
		case topic.Err != nil:
			row, wrong[use.Topic] = []string{"WRONG: " + topic.Err.Error()}, true
		}
		table.Row(append([]string{cmp.Or(use.Pipeline, "all"), string(use.Use), use.Topic}, row...)...)
	}
	if err := table.Write(out); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d of %d topics cannot be used: --create makes those that are missing", len(wrong), len(topics))
	}
	return nil
}

// createMissing makes the topics that are missing, and puts them in their places. Dead letters come last: how large one may get is
// known from its input.
func (f topicFlags) createMissing(ctx context.Context, out io.Writer, cluster *consumers.Cluster, c *config.Config,
	topics map[string]consumers.Topic) error {
	for _, use := range slices.SortedStableFunc(slices.Values(c.Topics()), func(a, b config.TopicUse) int { return strings.Compare(a.Holds, b.Holds) }) {
		if !topics[use.Topic].Missing() {
			continue
		}
		topic := consumers.NewTopic{Name: use.Topic, Partitions: f.partitions}
		switch {
		case use.Use == config.UseAttempts:
			topic = consumers.AttemptsTopic(use.Topic)
		case use.Use == config.UseProgress:
			topic = consumers.ProgressTopic(use.Topic)
		case use.Made():
			topic = service.OwnTopic(c.Features.Config, use)
		case use.Use == config.UseDeadLetters:
			if limit := topics[use.Holds].MaxRecordBytes; limit > 0 {
				topic.MaxRecordBytes = limit + deadLetterHeaders
			}
		}
		topic.Replication = f.replication
		if err := cluster.CreateTopic(ctx, topic); err != nil {
			return err
		}
		fmt.Fprintf(out, "created %s\n", use.Topic)
		made, err := cluster.Topics(ctx, use.Topic)
		if err != nil {
			return err
		}
		topics[use.Topic] = made[use.Topic]
	}
	return nil
}

func lookUp(ctx context.Context, cluster *consumers.Cluster, uses []config.TopicUse) (map[string]consumers.Topic, error) {
	names := make([]string, len(uses))
	for i, use := range uses {
		names[i] = use.Topic
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the brokers did not answer within a minute"))
	defer cancel()
	return cluster.Topics(ctx, names...)
}

func byteLimit(n int) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%d bytes", n)
}

func kept(topic consumers.Topic) string {
	const day = 24 * time.Hour
	switch d := topic.Retention; {
	case topic.Compacted:
		return "the last of each key"
	case d == 0:
		return "unknown"
	case d < 0:
		return "for ever"
	case d == day:
		return "1 day"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	default:
		return d.String()
	}
}
