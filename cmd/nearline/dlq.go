package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nearline/internal/config"
	"nearline/internal/deadletters"
	"nearline/internal/dev"
	"nearline/pipeline"
)

func dlqCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters, count them, and put their originals back",
		Long: `Works on the topic that records go to which cannot be scored: which ones, why, and back again once the reason is mended.
Nothing is written but by "dlq replay --yes".`,
		Example: `  nearline dlq count
  nearline dlq list --class decode --since 24h
  nearline dlq show 3/17
  nearline dlq replay --class model --model sentiment/2          # says what it would do
  nearline dlq replay --class model --model sentiment/2 --yes    # does it`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(dlqListCommand(), dlqShowCommand(), dlqCountCommand(), dlqReplayCommand())
	return c
}

// dlqFlags say which topic; what they return opens it once they are parsed.
func dlqFlags(c *cobra.Command) func(context.Context) (*deadletters.Topic, error) {
	open := lettersFlags(c)
	return func(ctx context.Context) (*deadletters.Topic, error) {
		topic, _, err := open(ctx)
		return topic, err
	}
}

// lettersFlags are those of dlqFlags, for what needs the configuration too; it is nil where none is named.
func lettersFlags(c *cobra.Command) func(context.Context) (*deadletters.Topic, *config.Config, error) {
	brokers := c.Flags().StringSlice("kafka", []string{dev.DefaultListen}, "brokers to ask first, `HOST:PORT`")
	topic := c.Flags().String("topic", dev.TopicDeadLetters, "`NAME` of the topic of dead letters")
	file := c.Flags().String("config", "", "take brokers and topic from this configuration, a YAML `FILE`")
	name := c.Flags().String("pipeline", "", "`NAME` of the pipeline, where the configuration has several")
	c.MarkFlagsMutuallyExclusive("config", "kafka")
	c.MarkFlagsMutuallyExclusive("config", "topic")
	return func(ctx context.Context) (*deadletters.Topic, *config.Config, error) {
		if *file == "" {
			if *name != "" {
				return nil, nil, errors.New("--pipeline is a pipeline of a configuration: name that with --config FILE")
			}
			opened, err := deadletters.Open(ctx, *brokers, *topic)
			return opened, nil, err
		}
		loaded, err := loadConfig(*file, c.ErrOrStderr())
		if err != nil {
			return nil, nil, err
		}
		var names []string
		for i := range loaded.Pipelines {
			p := &loaded.Pipelines[i]
			if p.Name == *name || *name == "" && len(loaded.Pipelines) == 1 {
				opened, err := deadletters.Open(ctx, loaded.Kafka.Brokers, p.DeadLetters)
				return opened, loaded, err
			}
			names = append(names, p.Name)
		}
		if *name == "" {
			return nil, nil, fmt.Errorf("%s has several pipelines: want one of %s with --pipeline", *file, strings.Join(names, ", "))
		}
		return nil, nil, fmt.Errorf("--pipeline %s: %s has no such pipeline, want one of %s", *name, *file, strings.Join(names, ", "))
	}
}

// ownTopics are the inputs of the pipelines whose dead letters a topic has, and the topics that nothing is replayed into: those that the
// service makes for itself, and other dead letters. Updates of a view may be put back where the command names their topic.
func ownTopics(c *config.Config, letters string) (inputs, internal []string) {
	inputs = []string{} // and not nil, which would go by the topic's name
	for i := range c.Pipelines {
		if p := &c.Pipelines[i]; p.DeadLetters == letters {
			inputs = append(inputs, p.Input.Topic)
		}
	}
	for _, use := range c.Topics() {
		if use.Use == config.UseDeadLetters || use.Made() && use.Use != config.UseUpdates {
			internal = append(internal, use.Topic)
		}
	}
	return inputs, internal
}

// filterFlags pick letters; what they return reads them once they are parsed.
func filterFlags(c *cobra.Command) func() (deadletters.Filter, error) {
	classes := c.Flags().StringSlice("class", nil, "`CLASS` of the dead letters, such as decode; several with commas")
	cause := c.Flags().String("cause", "", "`TEXT` in the cause, or a regular expression that finds it; (?i) ignores case")
	since := c.Flags().String("since", "", "died since then: a `TIME` such as 2026-01-31T12:00:00Z, or an age such as 90m")
	until := c.Flags().String("until", "", "died before then: a `TIME`, or an age")
	model := c.Flags().String("model", "", "`NAME` or NAME/VERSION of the model that failed")
	source := c.Flags().String("source", "", "where the original was read: `TOPIC`, TOPIC/PARTITION or TOPIC/PARTITION/OFFSET")
	return func() (f deadletters.Filter, err error) {
		for _, class := range *classes {
			f.Classes = append(f.Classes, pipeline.Class(class))
		}
		f.Model = *model
		if *cause != "" {
			if f.Cause, err = regexp.Compile(*cause); err != nil { // text with signs that do not form an expression
				f.Cause = regexp.MustCompile(regexp.QuoteMeta(*cause))
			}
		}
		if f.Since, err = moment(*since); err != nil {
			return f, fmt.Errorf("--since %w", err)
		}
		if f.Until, err = moment(*until); err != nil {
			return f, fmt.Errorf("--until %w", err)
		}
		if *source != "" {
			if f.Source, err = deadletters.ParseSource(*source); err != nil {
				return f, fmt.Errorf("--source %w", err)
			}
		}
		return f, nil
	}
}

// moment reads a time, or how long ago it was.
func moment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return time.Now().Add(-age), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: want a time such as 2026-01-31T12:00:00Z, or an age such as 90m or 24h", text)
	}
	return t, nil
}

func dlqCountCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "count",
		Short: "Count dead letters by class and cause",
		Long: `Counts dead letters by class and cause, the most frequent first. Causes that differ only in numbers and in what they quote are
counted together.`,
		Example: `  nearline dlq count
  nearline dlq count --by hour,class --since 24h`,
		Args: cobra.NoArgs,
	}
	open, filter := dlqFlags(c), filterFlags(c)
	by := c.Flags().StringSlice("by", []string{"class", "cause"}, "`WHAT` to count by: class, cause, stage, source, model, day, hour, replay")
	asJSON := c.Flags().Bool("json", false, "print a JSON object a line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		for _, dimension := range *by {
			if err := deadletters.CheckDimension(dimension); err != nil {
				return fmt.Errorf("--by: %w", err)
			}
		}
		picked, err := filter()
		if err != nil {
			return err
		}
		topic, err := open(c.Context())
		if err != nil {
			return err
		}
		defer topic.Close()
		counts, foreign, err := topic.Counts(c.Context(), picked, *by)
		if err != nil {
			return err
		}
		if *asJSON {
			return printCountsJSON(c.OutOrStdout(), *by, counts)
		}
		table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "LETTERS\tREPLAYED\t%s\n", strings.ToUpper(strings.Join(*by, "\t")))
		var letters, replayed int64
		for _, count := range counts {
			fmt.Fprintf(table, "%d\t%d\t%s\n", count.Letters, count.Replayed, strings.Join(lines(count.Values), "\t"))
			letters, replayed = letters+count.Letters, replayed+count.Replayed
		}
		if err := table.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%d dead letters in %s, %d of them replayed\n", letters, topic.Name, replayed)
		if foreign > 0 {
			fmt.Fprintf(c.OutOrStdout(), "%d records in it are no dead letters of Nearline\n", foreign)
		}
		return nil
	}
	return c
}

func dlqReplayCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "replay",
		Short: "Put originals back into their topic; a dry run unless --yes is given",
		Long: `Puts the originals of dead letters back, with their key, their bytes and their headers, into the topic that they came from: the
input of the pipeline that --config and --pipeline name; without --config, INPUT of a topic INPUT.dlq. A dead letter that says that it
comes from elsewhere is left out and counted, unless --to names a topic. Without --yes it only says what it would do.

Each dead letter is replayed once: that it was is remembered in TOPIC.replayed, in the transaction that puts its original back.
So a replay that is cut off goes on when the same command is given again. --again replays what was replayed before, too.

A replayed record has a header nearline-replay-attempt, 1 for the first time, and one more each time that it dies and is replayed
again; nearline-replay-source is where it was read first. An original that is not in its dead letter is read from its topic
and compared; where it is gone, the dead letter is left out and counted.

KEY ORDER IS GIVEN UP: what is replayed comes after all that was written meanwhile, so an old review of a key may follow a newer
one.`,
		Example: `  nearline dlq replay --class model
  nearline dlq replay --class model --yes
  nearline dlq replay --source reviews.raw/3/1024 --to reviews.retry --yes`,
		Args: cobra.NoArgs,
	}
	open, filter := lettersFlags(c), filterFlags(c)
	var o deadletters.ReplayOptions
	c.Flags().BoolVar(&o.Write, "yes", false, "do it, rather than say what would be done")
	c.Flags().BoolVar(&o.Again, "again", false, "replay what was replayed before, too")
	c.Flags().StringVar(&o.To, "to", "", "`TOPIC` to put originals into (default: the one that each came from)")
	c.Flags().IntVar(&o.Limit, "limit", 0, "at most `N` originals")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if o.Filter, err = filter(); err != nil {
			return err
		}
		if o.Limit < 0 {
			return fmt.Errorf("--limit is %d: want 0 for all, or how many", o.Limit)
		}
		topic, loaded, err := open(c.Context())
		if err != nil {
			return err
		}
		defer topic.Close()
		if loaded != nil {
			o.Inputs, o.Internal = ownTopics(loaded, topic.Name)
		}
		if o.Write {
			fmt.Fprintln(c.ErrOrStderr(), "key order is given up: what is replayed comes after all that was written meanwhile")
			o.Progress = func(r deadletters.Replayed) { fmt.Fprintf(c.ErrOrStderr(), "%d replayed\n", r.Total()) }
		}
		report, err := topic.Replay(c.Context(), o)
		describeReplay(c, topic.Name, o, report, err)
		return err
	}
	return c
}

// describeReplay says what a replay did or would do, also when it was cut off.
func describeReplay(c *cobra.Command, topic string, o deadletters.ReplayOptions, r deadletters.Replayed, failed error) {
	out := c.OutOrStdout()
	if failed != nil && r.Picked == 0 {
		return
	}
	did := "would be put back into"
	if o.Write {
		did = "were put back into"
	}
	fmt.Fprintf(out, "%d dead letters of %s were picked\n", r.Picked, topic)
	for _, to := range slices.Sorted(maps.Keys(r.To)) {
		fmt.Fprintf(out, "%d originals %s %s\n", r.To[to], did, line(to))
	}
	if r.Already > 0 {
		fmt.Fprintf(out, "%d were replayed before, and are left alone; --again replays them too\n", r.Already)
	}
	for _, why := range slices.Sorted(maps.Keys(r.Skipped)) {
		fmt.Fprintf(out, "%d are left out: %s, such as %s\n", r.Skipped[why], why, line(r.Example[why]))
	}
	if r.Crashed > 0 {
		fmt.Fprintf(out, "%d of them ended the process that read them, and will again unless what they ran into is mended\n", r.Crashed)
	}
	if r.Limited {
		fmt.Fprintf(out, "ended at --limit %d: there may be more\n", o.Limit)
	}
	if !o.Write && failed == nil {
		if r.Total() == 0 {
			fmt.Fprintln(out, "nothing would be written")
			return
		}
		fmt.Fprintln(out, "nothing was written: this was a dry run, --yes does it.")
		fmt.Fprintln(out, "KEY ORDER IS GIVEN UP: what is replayed comes after all that was written meanwhile.")
	}
}

// line makes one line of a text that may be anything.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

func lines(texts []string) []string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = line(text)
	}
	return all
}
