package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nearline/features"
	"nearline/internal/config"
	"nearline/internal/dev"
	"nearline/internal/export"
	"nearline/internal/files"
	"nearline/offline"
	"nearline/schemas"
)

func featuresCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "features",
		Short: "Make training rows of what the stream has learned",
		Long: `Works on feature views: what the configuration's features.views say of each item, user or other key, such as how many reviews it has
and how good they are. A running service keeps them, and answers with their values as of now; "features export" says what they were at any
time in the past.`,
		Example: `  nearline features export --config nearline.yaml --rows labels.jsonl --out training.jsonl`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(featuresExportCommand())
	return c
}

// exportFlags are what `nearline features export` can be told.
type exportFlags struct {
	config, rows, topic, by, since, until, out string
	views, keys, times, as                     []string
	skipBad                                    bool
}

func featuresExportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "export --config FILE",
		Short: "Add to each label row the features that it would have been served with at its time",
		Long: `Reads label rows, JSON objects such as {"item_id":"kettle","created_at":"2026-01-31T12:00:00Z","returned":true}, and writes each of them
with the values that feature views had for its key at its time. They come from the topics that the running service learns from, by the same
code, so a model is trained on what it will be served with.

Each row that is written has all that it had, in its order, and for each view, here one called item:

  "item":{...}            the values of the view's features, as of the row's time: what decays has decayed until then
  "item_at":"..."         the time of the latest event that went into them
  "item_age_seconds":...  how much earlier that is than the row's time

Of a key about which nothing was known by then, or nothing that is young enough for the view's max_age, the values are the defaults that the
service answers with too, and the other two are null.

NOTHING FROM THE FUTURE. An event counts for a row only if it is strictly earlier than the row's time, to the millisecond. So a row that is an
event itself does not see itself, as long as it has the very time that the event has: take care that no tool rounds it.

  --by event    compares with the events' own times: what would have been known if no event had come in late (the default)
  --by arrival  compares with the times at which events were written to Kafka: what can have been known then, whatever came late; --time should
                be when a lookup was made, and is the record's timestamp for rows from a topic

Rows come from a file (--rows) or from a topic of JSON objects (--topic), and leave in the same order; those of a topic by partition and offset.
A row's key and time are where the view has them, and otherwise where --key and --time say. Times are as in RFC 3339, or seconds or milliseconds
since 1970, or as time_zone and time_unit of the view say.

Rows can be no better than the history that is left. Updates are kept for features.retention; where rows would have needed more, it says so and how
many they are. Rows of the last moments may lack events that the service has not read yet: end some minutes before now. A feature that was
declared anew since then is computed for the past as well, but only from what events were asked for at the time.

All rows are held in memory, with their values; export millions of them in several runs.`,
		Example: `  nearline features export --config nearline.yaml --rows labels.jsonl --out training.jsonl
  nearline features export --config nearline.yaml --topic reviews.raw --since 24h --until 10m --skip-bad --out training.jsonl
  nearline features export --config nearline.yaml --rows clicks.jsonl --view item --view user --key user=visitor.id --time clicked_at
  nearline features export --config nearline.yaml --rows served.jsonl --by arrival --time served_at | head -1`,
		Args: cobra.NoArgs,
	}
	file := configFlag(c)
	var f exportFlags
	c.Flags().StringVar(&f.rows, "rows", "", "`FILE` of JSON lines with the label rows; - is standard input")
	c.Flags().StringVar(&f.topic, "topic", "", "`TOPIC` with the label rows, as it stands now, instead of a file")
	c.Flags().StringSliceVar(&f.views, "view", nil, "`NAME` of a view whose values rows get; several with commas (default: all)")
	c.Flags().StringSliceVar(&f.keys, "key", nil, "`PATH` of the key in rows, or VIEW=PATH for one view, such as user=visitor.id (default: the view's key)")
	c.Flags().StringSliceVar(&f.times, "time", nil, "`PATH` of the time in rows, or VIEW=PATH (default: the view's time)")
	c.Flags().StringSliceVar(&f.as, "as", nil, "`VIEW=NAME` by which the view is called in what is written (default: the view's name)")
	c.Flags().StringVar(&f.by, "by", "event", "`WHAT` makes an event earlier than a row: event, its own time, or arrival, when it was written")
	c.Flags().StringVar(&f.since, "since", "", "rows of the topic written since then: a `TIME` such as 2026-01-31T12:00:00Z, or an age such as 90m")
	c.Flags().StringVar(&f.until, "until", "", "rows of the topic written before then: a `TIME`, or an age")
	c.Flags().BoolVar(&f.skipBad, "skip-bad", false, "leave out rows that cannot be read, or lack key or time, and say how many")
	c.Flags().StringVar(&f.out, "out", "-", "`FILE` for the rows, which is replaced when all are there; - is standard output")
	c.MarkFlagsMutuallyExclusive("rows", "topic")
	c.MarkFlagsOneRequired("rows", "topic")
	c.RunE = func(c *cobra.Command, _ []string) error {
		f.config = *file
		loaded, err := loadConfig(c, *file)
		if err != nil {
			return err
		}
		return f.run(c, loaded)
	}
	return c
}

func (f *exportFlags) run(c *cobra.Command, loaded *config.Config) (failed error) {
	o, err := f.options(loaded)
	if err != nil {
		return err
	}
	closeRows, err := f.openRows(c, &o)
	if err != nil {
		return err
	}
	defer closeRows()
	o.Out = c.OutOrStdout()
	if f.out != "-" {
		file, err := files.Replace(f.out)
		if err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		defer func() { failed = errors.Join(failed, file.End(failed == nil)) }()
		o.Out = file
	}
	if dev.IsTerminal(os.Stderr) {
		o.Progress = func(p export.Progress) {
			fmt.Fprintf(os.Stderr, "\r%d rows and %d updates read, %d rows written", p.Rows, p.Updates, p.Written)
		}
	}
	began := time.Now()
	report, err := export.Run(c.Context(), o)
	if o.Progress != nil {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
	var bad *export.BadRow
	switch {
	case err != nil && c.Context().Err() != nil:
		return errors.New("interrupted: the rows are not all written")
	case errors.As(err, &bad):
		return fmt.Errorf("%w; --key and --time say where rows have theirs, --as renames views, and --skip-bad leaves such rows out", err)
	case err != nil:
		return err
	}
	f.describe(c.ErrOrStderr(), loaded, report)
	if f.out != "-" || dev.IsTerminal(os.Stderr) {
		fmt.Fprintf(c.ErrOrStderr(), "%d rows, in %v\n", report.Rows, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// openRows opens the file of rows, if they are in one, and makes sure that what is written takes the place of nothing that is read.
func (f *exportFlags) openRows(c *cobra.Command, o *export.Options) (closeRows func(), err error) {
	uses := []files.Use{files.Reads("--config", f.config)}
	switch f.rows {
	case "":
	case "-":
		uses = append(uses, files.ReadsStream("standard input", c.InOrStdin()))
	default:
		uses = append(uses, files.Reads("--rows", f.rows))
	}
	if f.out == "-" {
		uses = append(uses, files.WritesStream("standard output", c.OutOrStdout()))
	} else {
		uses = append(uses, files.Writes("--out", f.out))
		if err := files.Writable(f.out); err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
	}
	if err := files.Distinct(uses...); err != nil {
		return nil, err
	}
	switch f.rows {
	case "":
	case "-":
		o.In = offline.NewInput(c.InOrStdin(), "-", true)
	default:
		rows, _, err := openLines(f.rows, true)
		if err != nil {
			return nil, fmt.Errorf("--rows: %w", err)
		}
		o.In = rows
		return func() { _ = rows.Close() }, nil
	}
	return func() {}, nil
}

// describe says what there is to know about the rows, and nothing if all is well.
func (f *exportFlags) describe(out io.Writer, c *config.Config, r export.Report) {
	for _, b := range r.Bad {
		fmt.Fprintf(out, "%d rows are left out: %s, such as %s\n", b.Rows, line(b.What), line(b.First.Error()))
	}
	if r.Tombstones > 0 {
		fmt.Fprintf(out, "%d records of %s are tombstones, which are no rows\n", r.Tombstones, f.topic)
	}
	for _, v := range r.Views {
		topic := c.Features.UpdatesTopic(v.View)
		if v.Unreadable > 0 {
			fmt.Fprintf(out, "%d records of %s are no updates of view %s: the service has made dead letters of them\n", v.Unreadable, topic, v.View)
		}
		if v.Blind+v.Short > 0 {
			begins := "has nothing left"
			if !v.Since.IsZero() {
				begins = "begins at " + v.Since.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(out, "HISTORY IS MISSING for view %s: %s %s, retention has removed what came before. %d rows are of a time before that, and know nothing; "+
				"%d are later, and lack what was removed. Export sooner, or keep updates longer with features.retention (now %v).\n",
				v.View, topic, begins, v.Blind, v.Short, c.Features.Retention)
		}
		if r.Rows > 0 && v.Unknown == r.Rows {
			fmt.Fprintf(out, "nothing was known of any row's key in view %s: all its values are defaults (%d keys, %d updates in %s)\n", v.View, v.Keys, v.Updates, topic)
		}
	}
}

// options of the flags, but for what has to be opened.
func (f *exportFlags) options(c *config.Config) (o export.Options, err error) {
	o = export.Options{Connection: c.Kafka.Connection(), Topic: f.topic, SkipBad: f.skipBad}
	switch f.by {
	case "event":
	case "arrival":
		o.By = export.ByArrival
	default:
		return o, fmt.Errorf("--by is %q: want event or arrival", f.by)
	}
	if f.topic == "" && f.since+f.until != "" {
		return o, errors.New("--since and --until are for rows of a topic: leave them out, or the lines that you do not want")
	}
	if o.Since, err = moment(f.since); err != nil {
		return o, fmt.Errorf("--since %w", err)
	}
	if o.Until, err = moment(f.until); err != nil {
		return o, fmt.Errorf("--until %w", err)
	}
	o.Views, err = f.chosen(c)
	return o, err
}

// chosen are the views, and where rows have their keys and times.
func (f *exportFlags) chosen(c *config.Config) (views []export.View, err error) {
	var names []string
	for i := range c.Features.Views {
		if c.Features.Views[i].Source != features.SourceStore { // what others put there has no past
			names = append(names, c.Features.Views[i].Name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no features.views that updates fill: there is nothing to export", f.config)
	}
	for _, name := range f.views {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("--view %s: %s has no such view that updates fill, want one of %s", name, f.config, strings.Join(names, ", "))
		}
	}
	keys, err := perView("key", f.keys, names, true)
	if err != nil {
		return nil, err
	}
	times, err := perView("time", f.times, names, true)
	if err != nil {
		return nil, err
	}
	as, err := perView("as", f.as, names, false)
	if err != nil {
		return nil, err
	}
	for i := range c.Features.Views {
		declared := &c.Features.Views[i]
		if !slices.Contains(names, declared.Name) || len(f.views) > 0 && !slices.Contains(f.views, declared.Name) {
			continue
		}
		v := export.View{
			View: features.NewView(*declared), Updates: c.Features.UpdatesTopic(declared.Name), As: cmp.Or(as[declared.Name], declared.Name),
			Key: cmp.Or(keys[declared.Name], keys[""]), Time: cmp.Or(times[declared.Name], times[""]),
		}
		if err := f.locate(c, declared, &v); err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}

// locate key and time in rows, where no flag has done so.
func (f *exportFlags) locate(c *config.Config, declared *features.ViewConfig, v *export.View) error {
	key, at, err := f.paths(c, declared)
	if err != nil && (v.Key == "" || v.Time == "") {
		return err
	}
	v.Key = cmp.Or(v.Key, key)
	switch {
	case v.Time != "":
	case f.topic != "" && f.by == "arrival":
		// When the record was written is when a lookup was made for it.
	case f.topic == "" && at == "":
		return fmt.Errorf("view %s takes the time of events from their records, and a file has none: say with --time PATH where rows have theirs", declared.Name)
	default:
		v.Time, v.OrWritten = at, true
	}
	return nil
}

// paths of a view's key and time in rows: where the pipelines that read the topic have them to look the view up or to tell it of events, or as the
// view declares them.
func (f *exportFlags) paths(c *config.Config, declared *features.ViewConfig) (key, at string, err error) {
	by := "" // the pipeline that says so
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		if f.topic == "" || p.Input.Topic != f.topic {
			continue
		}
		if p.Input.Format == schemas.FormatAvro {
			return "", "", fmt.Errorf("--topic %s: pipeline %s reads it as Avro, and rows are JSON: write them to a file, and name that with --rows", f.topic, p.Name)
		}
		k, t, uses := pathsIn(p, declared)
		switch {
		case !uses:
		case by != "" && (k != key || t != at):
			return "", "", fmt.Errorf("pipelines %s and %s both read %s, and have key or time of view %s at other paths: say with --key %s=PATH and --time %s=PATH where",
				by, p.Name, f.topic, declared.Name, declared.Name, declared.Name)
		default:
			key, at, by = k, t, p.Name
		}
	}
	if by == "" {
		return declared.Key, declared.Time, nil
	}
	return key, at, nil
}

// pathsIn the events of a pipeline, if it uses the view at all.
func pathsIn(p *config.Pipeline, declared *features.ViewConfig) (key, at string, uses bool) {
	key, at = declared.Key, declared.Time
	for _, step := range p.Steps {
		if step.Aggregate != nil && step.Aggregate.View == declared.Name {
			uses = true
			key, at = cmp.Or(step.Aggregate.Map[declared.Key], key), cmp.Or(step.Aggregate.Map[declared.Time], at)
		}
	}
	for _, step := range p.Steps {
		if step.Lookup == nil {
			continue
		}
		for _, looked := range step.Lookup.Views {
			if looked.View == declared.Name {
				uses, key = true, cmp.Or(looked.Key, key)
			}
		}
	}
	return key, at, uses
}

// perView reads VALUE, which is for all views and stands under "", and VIEW=VALUE.
func perView(flag string, given, views []string, all bool) (map[string]string, error) {
	values := make(map[string]string)
	for _, text := range given {
		view, value, one := strings.Cut(text, "=")
		switch {
		case !one && all:
			view, value = "", text
		case !one:
			return nil, fmt.Errorf("--%s %s: want VIEW=NAME", flag, text)
		case !slices.Contains(views, view):
			return nil, fmt.Errorf("--%s %s: there is no view %q, want one of %s", flag, text, view, strings.Join(views, ", "))
		}
		if value == "" {
			return nil, fmt.Errorf("--%s %s: want something after the =", flag, text)
		}
		if _, twice := values[view]; twice {
			return nil, fmt.Errorf("--%s %s: it is given twice", flag, text)
		}
		values[view] = value
	}
	return values, nil
}
