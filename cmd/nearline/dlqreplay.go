package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nearline/internal/deadletters"
	"nearline/internal/files"
	"nearline/pipeline"
)

func dlqReplayCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "replay [PARTITION/OFFSET]...",
		Short: "Put originals back into their topic, repaired or as they were; a dry run unless --yes is given",
		Long: `Puts the originals of dead letters back, with their key, their bytes and their headers, into the topic that they came from: the
input of the pipeline that --config and --pipeline name; without --config, INPUT of a topic INPUT.dlq. A dead letter that says that it
comes from elsewhere is left out and counted, unless --to names a topic. Each goes into the partition that it came from, and with --to where its key says.
Dead letters are named by their places, as "dlq list" has them, or picked by flags. Without --yes it only says what it would do.

REPAIR. --value FILE puts the file's bytes back in place of the one original that is named. --repair COMMAND runs a shell command for each original: it
gets the value on standard input and prints the repaired one; where it fails, the dead letter is left as it is. Key and headers stay.

Each dead letter is replayed once, and none that was dismissed: that it was is remembered in TOPIC.replayed, in the transaction that puts its original back.
So a replay that is cut off goes on when the same command is given again. --again replays what was dealt with before, too.

A replayed record has a header nearline-replay-attempt, 1 for the first time, and one more each time that it dies and is replayed
again; nearline-replay-source is where it was read first. An original that is not in its dead letter is read from its topic
and compared; where it is gone, the dead letter is left out and counted.

KEY ORDER IS GIVEN UP: what is replayed comes after all that was written meanwhile, so an old review of a key may follow a newer
one.`,
		Example: `  nearline dlq replay --class model
  nearline dlq replay --class model --yes
  nearline dlq replay --source reviews.raw/3/1024 --to reviews.retry --yes
  nearline dlq replay 3/17 --value original --yes
  nearline dlq replay --class invalid --repair "jq -c '.text = .body'"`,
	}
	open, filter := lettersFlags(c), filterFlags(c)
	var o deadletters.ReplayOptions
	c.Flags().BoolVar(&o.Write, "yes", false, "do it, rather than say what would be done")
	c.Flags().BoolVar(&o.Again, "again", false, "replay what was replayed before, too")
	c.Flags().StringVar(&o.To, "to", "", "`TOPIC` to put originals into (default: the one that each came from)")
	c.Flags().IntVar(&o.Limit, "limit", 0, "at most `N` originals")
	value := c.Flags().String("value", "", "`FILE` with what is put back in place of the value of the one dead letter that is named")
	command := c.Flags().String("repair", "", "shell `COMMAND` that makes the value that is put back out of each original's")
	c.MarkFlagsMutuallyExclusive("value", "repair")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if o.Filter, err = pickedLetters(filter, args, o.Limit); err != nil {
			return err
		}
		if o.Repair, err = repairOf(*value, *command, args); err != nil {
			return err
		}
		topic, loaded, err := open(c.Context())
		if err != nil {
			return err
		}
		defer topic.Close()
		if err := thereAre(c.Context(), topic, o.Filter.Places); err != nil {
			return err
		}
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
	if r.Dead > 0 && o.Write {
		fmt.Fprintf(out, "%d were dismissed: nothing is put back, and \"dlq list --left\" leaves them out\n", r.Dead)
	} else if r.Dead > 0 {
		fmt.Fprintf(out, "%d would be dismissed\n", r.Dead)
	}
	for _, to := range slices.Sorted(maps.Keys(r.To)) {
		fmt.Fprintf(out, "%d originals %s %s\n", r.To[to], did, line(to))
	}
	if r.Already > 0 {
		again := "; --again replays them too"
		if o.Dismiss {
			again = ""
		}
		fmt.Fprintf(out, "%d were replayed before or dismissed, and are left alone%s\n", r.Already, again)
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
		if o.Dismiss {
			return
		}
		fmt.Fprintln(out, "KEY ORDER IS GIVEN UP: what is replayed comes after all that was written meanwhile.")
	}
}

func dlqDismissCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dismiss [PARTITION/OFFSET]...",
		Short: "Leave dead letters dead, and have that count as dealt with; a dry run unless --yes is given",
		Long: `Remembers that dead letters are not worth a replay: test data, spam, what nobody needs any more. Nothing is put back, and nothing is deleted: retention does
that. "dlq list --left" and "dlq count --left" no longer have them, and "dlq replay" leaves them alone, unless --again is given.
Dead letters are named by their places, as "dlq list" has them, or picked by flags. Without --yes it only says what it would do.`,
		Example: `  nearline dlq dismiss 3/17 3/21 --note 'sent by hand' --yes
  nearline dlq dismiss --class decode --source reviews.raw/3 --until 24h`,
	}
	open, filter := lettersFlags(c), filterFlags(c)
	o := deadletters.ReplayOptions{Dismiss: true}
	c.Flags().BoolVar(&o.Write, "yes", false, "do it, rather than say what would be done")
	c.Flags().StringVar(&o.Note, "note", "", "`TEXT` that is remembered with them, such as why")
	c.Flags().IntVar(&o.Limit, "limit", 0, "at most `N` of them")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if o.Filter, err = pickedLetters(filter, args, o.Limit); err != nil {
			return err
		}
		topic, _, err := open(c.Context())
		if err != nil {
			return err
		}
		defer topic.Close()
		if err := thereAre(c.Context(), topic, o.Filter.Places); err != nil {
			return err
		}
		report, err := topic.Replay(c.Context(), o)
		describeReplay(c, topic.Name, o, report, err)
		return err
	}
	return c
}

// pickedLetters are those that flags and places pick.
func pickedLetters(filter func() (deadletters.Filter, error), places []string, limit int) (f deadletters.Filter, err error) {
	if f, err = filter(); err != nil {
		return f, err
	}
	if limit < 0 {
		return f, fmt.Errorf("--limit is %d: want 0 for all, or how many", limit)
	}
	for _, text := range places {
		partition, offset, err := deadletters.ParsePlace(text)
		if err != nil {
			return f, err
		}
		f.Places = append(f.Places, deadletters.Place{Partition: partition, Offset: offset})
	}
	return f, nil
}

// thereAre makes sure that every place has a dead letter.
func thereAre(ctx context.Context, topic *deadletters.Topic, places []deadletters.Place) error {
	for _, place := range places {
		if _, err := topic.At(ctx, place.Partition, place.Offset); err != nil {
			return err
		}
	}
	return nil
}

// mostValue is what a repaired value may have, in bytes: as much as a replay writes.
const mostValue = pipeline.MaxRecordBytes

// repairOf is what makes repaired values; nil where nothing is repaired.
func repairOf(file, command string, places []string) (func(context.Context, *pipeline.Record) ([]byte, error), error) {
	switch {
	case file != "" && len(places) != 1:
		return nil, errors.New("--value is the value of one dead letter: name it, as in nearline dlq replay 3/17 --value FILE")
	case file != "":
		value, err := files.Read(file, mostValue)
		if err != nil {
			return nil, fmt.Errorf("--value: %w", err)
		}
		value = withoutEnd(value)
		return func(context.Context, *pipeline.Record) ([]byte, error) { return value, nil }, nil
	case command != "":
		return func(ctx context.Context, r *pipeline.Record) ([]byte, error) { return repaired(ctx, command, r.Value) }, nil
	}
	return nil, nil
}

// repaired is what a shell command makes of a value.
func repaired(ctx context.Context, command string, value []byte) ([]byte, error) {
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, "sh", "-c", command) //nolint:gosec // it is the operator's own
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(value), &out, &errs
	if err := c.Run(); err != nil {
		said, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n")
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	if out.Len() == 0 {
		return nil, errors.New("it printed nothing: want the repaired value")
	}
	return withoutEnd(out.Bytes()), nil
}

// withoutEnd takes the end of the line from JSON that an editor or a tool has put there.
func withoutEnd(value []byte) []byte {
	if json.Valid(value) {
		return bytes.TrimRight(value, "\r\n")
	}
	return value
}
