package main

import (
	"github.com/spf13/cobra"

	"nearline/internal/dev"
)

func tailCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "tail",
		Short: "Follow a topic, as a read-committed consumer sees it",
		Example: `  nearline tail
  nearline tail --topic reviews.raw.dlq --from-beginning --headers`,
		Args: cobra.NoArgs,
	}
	connection, topic := kafkaFlags(c, dev.TopicScored)
	var options dev.TailOptions
	c.Flags().BoolVar(&options.FromBeginning, "from-beginning", false, "begin with the oldest record")
	c.Flags().Int64Var(&options.Max, "max", 0, "stop after `N` records")
	c.Flags().BoolVar(&options.UntilEnd, "until-end", false, "stop where the topic ends now")
	c.Flags().BoolVar(&options.Uncommitted, "uncommitted", false, "show what transactions wrote that are open or were aborted, too")
	c.Flags().BoolVar(&options.Keys, "keys", false, "print keys before values")
	c.Flags().BoolVar(&options.Headers, "headers", false, "print headers before values")
	c.RunE = func(c *cobra.Command, _ []string) error {
		_, err := dev.Tail(c.Context(), *connection, *topic, c.OutOrStdout(), options)
		return err
	}
	return c
}
