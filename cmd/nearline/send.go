package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"nearline/internal/dev"
	"nearline/offline"
)

func sendCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "send [FILE]",
		Short: "Write JSON lines to a topic, from a file, in gzip or not, or standard input",
		Example: `  echo '{"review_id":"r1","text":"Warm, light, and worth every cent."}' | nearline send
  nearline send --topic feedback.events --key shop feedback.jsonl
  nearline send --sample 10000
  nearline send --sample 3000 --rate 20   # and then 20 a second, bad ones among them, until it is interrupted
  nearline send --shop --rate 20          # with what people do besides, and one who asks for rankings, which are printed`,
		Args: cobra.MaximumNArgs(1),
	}
	connection, topic := kafkaFlags(c, dev.TopicRaw)
	var options dev.SendOptions
	c.Flags().StringVar(&options.Key, "key", "", "the `FIELD` whose value becomes the record's key, such as item_id")
	sample := c.Flags().Int("sample", 0, "send `N` reviews of the sample stream instead")
	rate := c.Flags().Float64("rate", 0, "go on with `R` reviews of the sample stream a second, until interrupted")
	shop := c.Flags().Bool("shop", false, "with --rate: "+dev.TopicEvents+" too, and somebody who asks "+dev.TopicRequests+"; bursts of bad reviews of what they see first")
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case *shop && *rate <= 0:
			return errors.New("--shop goes on until it is interrupted: say how fast, with --rate")
		case *shop && c.Flags().Changed("topic"):
			return errors.New("--shop has topics of its own: leave out --topic")
		}
		if (*sample > 0 || *rate > 0) && len(args) > 0 {
			return errors.New("--sample and --rate make their own lines: leave out the file, or the flag")
		}
		if *rate > 0 {
			stream := dev.SampleStream{Connection: *connection, Topic: *topic, Sample: liveSample(), Backlog: *sample, Rate: *rate}
			send := stream.Run
			if *shop {
				send = func(ctx context.Context) (int, error) { return sendShop(ctx, stream, c.OutOrStdout()) }
			}
			sent, err := send(c.Context())
			fmt.Fprintf(c.ErrOrStderr(), "%d records sent to %s\n", sent, *topic)
			return err
		}
		in, err := input(c, args, *sample, options.Key != "")
		if err != nil {
			return err
		}
		defer in.Close()
		if dev.IsTerminal(os.Stderr) {
			options.Progress = func(sent, _ int64) { fmt.Fprintf(os.Stderr, "\r%d sent", sent) }
		}
		sent, err := dev.Send(c.Context(), *connection, *topic, in, options)
		if options.Progress != nil {
			fmt.Fprint(os.Stderr, "\r")
		}
		if sent > 0 || err == nil {
			fmt.Fprintf(c.ErrOrStderr(), "%d records sent to %s\n", sent, *topic)
		}
		return err
	}
	return c
}

// sendShop sends what happens in a shop, and prints what a visitor of it sees.
func sendShop(ctx context.Context, stream dev.SampleStream, out io.Writer) (sent int, err error) {
	visitor := &dev.Visitor{Connection: stream.Connection, Requests: dev.TopicRequests, Results: dev.TopicRankings}
	stream.Events, stream.Blame = dev.TopicEvents, visitor.Disappointed
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return visitor.Run(ctx) })
	group.Go(func() error { return visitor.Tell(ctx, out) })
	group.Go(func() (err error) {
		sent, err = stream.Run(ctx)
		return err
	})
	err = group.Wait()
	return sent, err
}

// liveSample is another stream each time, dated now, with what arrives in every real topic sooner or later among it.
func liveSample() dev.SampleConfig {
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any seed will do
	return dev.SampleConfig{Seed: seed, HostileEvery: dev.DefaultHostileEvery, Tombstones: true, Now: time.Now}
}

// input is a file, standard input, or the sample stream. Objects says that its lines have to be JSON objects.
func input(c *cobra.Command, args []string, sample int, objects bool) (io.ReadCloser, error) {
	switch {
	case sample > 0:
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(dev.WriteSample(writer, sample, 1)) }() // ends when the reader is closed
		return reader, nil
	case len(args) == 0 || args[0] == "-":
		return io.NopCloser(offline.NewInput(c.InOrStdin(), "-", objects)), nil
	default:
		file, _, err := openLines(args[0], objects)
		if err != nil {
			return nil, fmt.Errorf("read the lines to send: %w", err)
		}
		return file, nil
	}
}
