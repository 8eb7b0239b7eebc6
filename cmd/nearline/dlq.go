package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nearline/internal/config"
	"nearline/internal/deadletters"
	"nearline/internal/dev"
	"nearline/internal/tables"
	"nearline/pipeline"
)

func dlqCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters, count them, put their originals back, repaired or not, or dismiss them",
		Long: `Works on the topic that records go to which cannot be scored: which ones, why, and back again once the reason is mended.
Nothing is written but by "dlq replay --yes" and "dlq dismiss --yes". What was dealt with, in either way, is remembered: --left shows the others.

To repair one: take its value out, mend it, and put it back in its place.

  nearline dlq show 3/17 --raw > original
  $EDITOR original
  nearline dlq replay 3/17 --value original --yes

To repair many that are broken alike: --repair is a command that makes the new value of the old one.

  nearline dlq replay --cause 'text is missing' --repair "jq -c '.text = .body'" --yes

The classes of dead letters:

` + classTable(),
		Example: `  nearline dlq count
  nearline dlq list --class decode --since 24h
  nearline dlq show 3/17
  nearline dlq replay --class model --model sentiment/2          # says what it would do
  nearline dlq replay --class model --model sentiment/2 --yes    # does it
  nearline dlq dismiss --class decode --until 24h --note 'a test of the shop' --yes
  nearline dlq list --left`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(dlqListCommand(), dlqShowCommand(), dlqCountCommand(), dlqReplayCommand(), dlqDismissCommand())
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
	connection := kafkaFlag(c)
	topic := c.Flags().String("topic", dev.TopicDeadLetters, "`NAME` of the topic of dead letters")
	file := c.Flags().String("config", "", "take brokers and topic from this configuration, a YAML `FILE`")
	name := c.Flags().String("pipeline", "", "`NAME` of the pipeline, where the configuration has several")
	c.MarkFlagsMutuallyExclusive("config", "kafka")
	c.MarkFlagsMutuallyExclusive("config", "kafka-config")
	c.MarkFlagsMutuallyExclusive("config", "topic")
	return func(ctx context.Context) (*deadletters.Topic, *config.Config, error) {
		if *file == "" {
			if *name != "" {
				return nil, nil, errors.New("--pipeline is a pipeline of a configuration: name that with --config FILE")
			}
			opened, err := deadletters.Open(ctx, *connection, *topic)
			return opened, nil, err
		}
		loaded, err := loadConfig(c, *file)
		if err != nil {
			return nil, nil, err
		}
		var names []string
		for i := range loaded.Pipelines {
			p := &loaded.Pipelines[i]
			if p.Name == *name || *name == "" && len(loaded.Pipelines) == 1 {
				opened, err := deadletters.Open(ctx, loaded.Kafka.Connection(), p.DeadLetters)
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

// classNames are those that --class takes.
func classNames() []string {
	var names []string
	for _, c := range pipeline.Classes() {
		names = append(names, string(c.Class))
	}
	return names
}

// classTable says what the classes mean, a line each.
func classTable() string {
	var rows []string
	for _, c := range pipeline.Classes() {
		rows = append(rows, fmt.Sprintf("  %-10s %s", c.Class, c.Means))
	}
	return strings.Join(rows, "\n")
}

// leftFlag adds --left to a command that looks at letters.
func leftFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("left", false, "only those that nobody has replayed, repaired or dismissed")
}

// filterFlags pick letters; what they return reads them once they are parsed.
func filterFlags(c *cobra.Command) func() (deadletters.Filter, error) {
	classes := c.Flags().StringSlice("class", nil, "`CLASS` of the dead letters: "+strings.Join(classNames(), ", ")+"; several with commas")
	cause := c.Flags().String("cause", "", "`TEXT` in the cause, or a regular expression that finds it; (?i) ignores case")
	since := c.Flags().String("since", "", "died since then: a `TIME` such as 2026-01-31T12:00:00Z, or an age such as 90m")
	until := c.Flags().String("until", "", "died before then: a `TIME`, or an age")
	model := c.Flags().String("model", "", "`NAME` or NAME/VERSION of the model that failed")
	source := c.Flags().String("source", "", "where the original was read: `TOPIC`, TOPIC/PARTITION or TOPIC/PARTITION/OFFSET")
	return func() (f deadletters.Filter, err error) {
		for _, class := range *classes {
			if known := classNames(); !slices.Contains(known, class) {
				return f, fmt.Errorf("--class %s: there is no such class, want one of %s", class, strings.Join(known, ", "))
			}
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
	left := leftFlag(c)
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
		picked.Left = *left
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
		table := tables.New(2, append([]string{"LETTERS", "DEALT WITH"}, upper(*by)...)...)
		var letters, replayed, dismissed int64
		for _, count := range counts {
			dealt := count.Replayed + count.Dismissed
			table.Row(append([]string{strconv.FormatInt(count.Letters, 10), strconv.FormatInt(dealt, 10)}, lines(count.Values)...)...)
			letters, replayed, dismissed = letters+count.Letters, replayed+count.Replayed, dismissed+count.Dismissed
		}
		if err := table.Write(c.OutOrStdout()); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%d dead letters in %s, %d of them replayed", letters, topic.Name, replayed)
		if dismissed > 0 {
			fmt.Fprintf(c.OutOrStdout(), ", %d dismissed", dismissed)
		}
		fmt.Fprintf(c.OutOrStdout(), ", %d left\n", letters-replayed-dismissed)
		if foreign > 0 {
			fmt.Fprintf(c.OutOrStdout(), "%d records in it are no dead letters of Nearline\n", foreign)
		}
		return nil
	}
	return c
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

func upper(texts []string) []string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = strings.ToUpper(text)
	}
	return all
}

func lines(texts []string) []string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = line(text)
	}
	return all
}
