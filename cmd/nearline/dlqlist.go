package main

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"nearline/internal/deadletters"
	"nearline/internal/plain"
	"nearline/internal/tables"
	"nearline/pipeline"
	"nearline/producers"
)

func dlqListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, one a line",
		Long: `Lists dead letters, partition after partition, each from the oldest on. The first column is what "dlq show" takes. --json has
all that a dead letter says, and leaves out only the original's bytes.`,
		Example: `  nearline dlq list --class decode,invalid --since 1h
  nearline dlq list --cause 'not JSON' --limit 0 --json | jq .source`,
		Args: cobra.NoArgs,
	}
	open, filter := dlqFlags(c), filterFlags(c)
	left := leftFlag(c)
	limit := c.Flags().Int("limit", 100, "at most `N` of them; 0 is all")
	asJSON := c.Flags().Bool("json", false, "print a JSON object a line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		picked, err := filter()
		if err != nil {
			return err
		}
		picked.Left = *left
		if *limit < 0 {
			return fmt.Errorf("--limit is %d: want 0 for all, or how many", *limit)
		}
		topic, err := open(c.Context())
		if err != nil {
			return err
		}
		defer topic.Close()
		show := tableOfLetters(c.OutOrStdout())
		if *asJSON {
			show = lettersAsJSON(c.OutOrStdout())
		}
		more, err := topic.List(c.Context(), picked, *limit, func(l deadletters.Listed) error { return show(&l) })
		if err != nil {
			return err
		}
		if err := show(nil); err != nil {
			return err
		}
		if more {
			fmt.Fprintf(c.ErrOrStderr(), "these are the first %d: --limit 0 lists all, and the filters fewer\n", *limit)
		}
		return nil
	}
	return c
}

// tableOfLetters prints in blocks, each with its columns aligned, so that a long list needs no memory. A nil letter is the end.
func tableOfLetters(out io.Writer) func(*deadletters.Listed) error {
	const block, widest = 200, 160
	table := tables.New(2, "AT", "TIME", "CLASS", "SOURCE", "DEALT WITH", "CAUSE")
	rows := 0
	return func(l *deadletters.Listed) error {
		if l == nil {
			return table.Write(out)
		}
		at := fmt.Sprintf("%d/%d", l.At.Partition, l.At.Offset)
		if l.Err != nil {
			table.Row(at, "-", "-", "-", "-", line(l.Err.Error()))
		} else {
			from := l.Letter.Source
			source := fmt.Sprintf("%s/%d/%d", line(from.Topic), from.Partition, from.Offset)
			table.Row(at, l.Letter.Time.UTC().Format(time.RFC3339), line(string(l.Letter.Class)), source, dealtWith(l),
				ansi.Truncate(line(l.Letter.Cause), widest, "…"))
		}
		if rows++; rows%block == 0 {
			return table.Write(out)
		}
		return nil
	}
}

// dealtWith says what was done about the letter, and of which replay it is itself.
func dealtWith(l *deadletters.Listed) string {
	how := cmp.Or(string(l.Dealt), "no")
	if attempt, _ := l.Letter.Replayed(); attempt > 0 {
		how += fmt.Sprintf(", died of %d", attempt)
	}
	return line(how)
}

// letterJSON is a dead letter for programs.
type letterJSON struct {
	Partition       int32                `json:"partition"`
	Offset          int64                `json:"offset"`
	Error           string               `json:"error,omitempty"` // why it is no dead letter; nothing else is there then
	Class           string               `json:"class,omitempty"`
	Stage           string               `json:"stage,omitempty"`
	Cause           string               `json:"cause,omitempty"`
	Time            *time.Time           `json:"time,omitempty"`
	Attempt         int                  `json:"attempt,omitempty"`
	Source          *sourceJSON          `json:"source,omitempty"`
	Model           string               `json:"model,omitempty"`
	ModelVersion    int                  `json:"model_version,omitempty"`
	Key             *string              `json:"key,omitempty"` // in hexadecimal where it is no text
	Length          int64                `json:"length"`        // of the original's value
	Tombstone       bool                 `json:"tombstone,omitempty"`
	Dropped         []string             `json:"dropped,omitempty"`
	Reference       *producers.Reference `json:"reference,omitempty"`
	Replayed        bool                 `json:"replayed"` // repaired, or as it was
	Dealt           deadletters.Dealing  `json:"dealt,omitempty"`
	ReplayOfAttempt int                  `json:"replay_attempt,omitempty"`
	ReplaySource    string               `json:"replay_source,omitempty"`
}

type sourceJSON struct {
	Topic     string     `json:"topic"`
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"`
	Time      *time.Time `json:"time,omitempty"`
}

func lettersAsJSON(out io.Writer) func(*deadletters.Listed) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return func(l *deadletters.Listed) error {
		if l == nil {
			return nil
		}
		j := letterJSON{Partition: l.At.Partition, Offset: l.At.Offset}
		if l.Err != nil {
			j.Error = l.Err.Error()
			return encoder.Encode(j)
		}
		letter := l.Letter
		j.Class, j.Stage, j.Cause, j.Time, j.Attempt = string(letter.Class), letter.Stage, letter.Cause, &letter.Time, letter.Attempt
		j.Source = &sourceJSON{letter.Source.Topic, letter.Source.Partition, letter.Source.Offset, nil}
		if !letter.SourceTimestamp.IsZero() {
			j.Source.Time = &letter.SourceTimestamp
		}
		j.Model, j.ModelVersion, j.Dropped, j.Reference = letter.Model, letter.Version, letter.Dropped, letter.Reference
		if letter.Key != nil {
			key := text(letter.Key)
			j.Key = &key
		}
		j.Length = int64(len(letter.Value))
		if letter.Reference != nil {
			j.Length = letter.Reference.Length
		}
		j.Tombstone = letter.Reference == nil && letter.Value == nil
		j.Replayed, j.Dealt = l.Replayed, l.Dealt
		j.ReplayOfAttempt, j.ReplaySource = letter.Replayed()
		return encoder.Encode(j)
	}
}

func printCountsJSON(out io.Writer, by []string, counts []deadletters.Count) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for _, count := range counts {
		object := map[string]any{"letters": count.Letters, "replayed": count.Replayed, "dismissed": count.Dismissed}
		for i, dimension := range by {
			object[dimension] = count.Values[i]
		}
		if err := encoder.Encode(object); err != nil {
			return err
		}
	}
	return nil
}

func dlqShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show PARTITION/OFFSET",
		Short: "Show one dead letter: all its headers, and the original",
		Long: `Shows one dead letter with everything it says, then the original: its key, its headers and its value. An original that the dead
letter does not carry is read from its topic and compared. --raw prints the value's bytes and nothing else.`,
		Example: `  nearline dlq show 3/17
  nearline dlq show 3/17 --raw > original.json`,
		Args: cobra.ExactArgs(1),
	}
	open := dlqFlags(c)
	raw := c.Flags().Bool("raw", false, "print the original's value alone, as it is")
	c.RunE = func(c *cobra.Command, args []string) error {
		partition, offset, err := deadletters.ParsePlace(args[0])
		if err != nil {
			return err
		}
		topic, err := open(c.Context())
		if err != nil {
			return err
		}
		defer topic.Close()
		letter, err := topic.At(c.Context(), partition, offset)
		if err != nil {
			return err
		}
		original, missing := topic.Original(c.Context(), letter)
		if *raw {
			if missing != nil {
				return fmt.Errorf("the original is not to be had: %w", missing)
			}
			if _, terminal := c.OutOrStdout().(*plain.Writer); terminal && !readable(original.Value) {
				return fmt.Errorf("the value is not text, which a terminal would obey: write it to a file, as in nearline dlq show %s --raw > original", args[0])
			}
			_, err := c.OutOrStdout().Write(original.Value)
			return err
		}
		describeLetter(c.OutOrStdout(), letter)
		if missing != nil {
			fmt.Fprintf(c.OutOrStdout(), "original   not to be had: %s\n", line(missing.Error()))
			if ref := letter.Reference; ref != nil {
				fmt.Fprintf(c.OutOrStdout(), "           %d bytes, sha256 %s\n", ref.Length, ref.SHA256)
			}
			return nil
		}
		describeOriginal(c.OutOrStdout(), original)
		return nil
	}
	return c
}

func describeLetter(out io.Writer, l *producers.Letter) {
	fact := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-10s %s\n", name, line(fmt.Sprintf(format, args...)))
	}
	fact("letter", "%s", l.At)
	fact("class", "%s, at %s, attempt %d", l.Class, l.Stage, l.Attempt)
	fact("cause", "%s", l.Cause)
	fact("time", "%s", l.Time.UTC().Format(time.RFC3339Nano))
	if l.Model != "" {
		fact("model", "%s version %d", l.Model, l.Version)
	}
	fact("source", "%s", l.Source)
	if !l.SourceTimestamp.IsZero() {
		fact("", "of %s", l.SourceTimestamp.UTC().Format(time.RFC3339Nano))
	}
	if attempt, first := l.Replayed(); attempt > 0 {
		fact("replay", "it died of replay %d; first read at %s", attempt, first)
	}
	if len(l.Dropped) > 0 {
		fact("dropped", "%s of the original", strings.Join(l.Dropped, ", "))
	}
}

func describeOriginal(out io.Writer, r *pipeline.Record) {
	if r.Key == nil {
		fmt.Fprintln(out, "key        none")
	} else {
		fmt.Fprintf(out, "key        %s\n", line(text(r.Key)))
	}
	for _, h := range r.Headers {
		fmt.Fprintf(out, "header     %s=%s\n", line(h.Key), line(text(h.Value)))
	}
	switch {
	case r.Value == nil:
		fmt.Fprintln(out, "original   a tombstone: its value is null")
	case readable(r.Value):
		fmt.Fprintf(out, "original   %d bytes of text\n\n%s\n", len(r.Value), r.Value)
	default:
		fmt.Fprintf(out, "original   %d bytes, not text; --raw prints them as they are\n\n%s", len(r.Value), hex.Dump(r.Value[:min(len(r.Value), 4096)]))
		if len(r.Value) > 4096 {
			fmt.Fprintln(out, "...")
		}
	}
}

// readable says that bytes are text that a terminal shows as it is.
func readable(b []byte) bool {
	return utf8.Valid(b) && !plain.DrivesTerminal(strings.ReplaceAll(string(b), "\r\n", "\n"))
}

// text is bytes as text, or in hexadecimal where they are none.
func text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return hex.EncodeToString(b)
}
