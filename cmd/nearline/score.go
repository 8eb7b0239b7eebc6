package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nearline/batching"
	"nearline/engine"
	"nearline/internal/dev"
	"nearline/internal/service"
	"nearline/models"
	"nearline/offline"
	"nearline/pipeline"
	"nearline/schemas"
	"nearline/steps"
)

type scoreFlags struct {
	model, in, out, rejects, models, runtime string
	config, pipeline, into                   string
	mapping                                  schemas.Mapping
	copy                                     []string
	from                                     int64
	most                                     rejectLimit
}

func scoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "score {--model NAME | --config FILE --pipeline NAME}",
		Short: "Run a file of JSON lines through the same engine, in input order",
		Long: `Runs a model, or the steps of a pipeline, over a file. The steps look features up in the store of the configuration, which has to be a shared one; they
aggregate nothing. With --into VIEW.FIELD the list of each result is also put into a view that others fill (source: store), by the view's key: a daily job makes the
candidates of everybody like that, and rank steps find them there (otherwise: {view: VIEW, field: FIELD}).

Lines are JSON objects; gzip is read as it is, whatever the file is called. --out and --rejects are replaced when the run has ended well, and until then
what was there stays. A run that is interrupted or fails, such as for a full disk, leaves what it has in FILE.partial, whole lines, and says with which
--from-line to go on. Where the folder takes no new file, a file that is there already is written to as it is.

The exit status is 0 when all lines were dealt with, 1 when the run could not begin or did not end, and 3 when it ended but rejected every line, or more
than --max-rejects; then --out is left as it was, and --rejects has the causes.`,
		Example: `  nearline score --model sentiment --in reviews.jsonl --out scored.jsonl --rejects rejects.jsonl
  nearline score --config daily.yaml --pipeline job --in everybody.jsonl --out ranked.jsonl --into daily.items
  echo '{"text":"Never again."}' | nearline score --model sentiment
  nearline score --model sentiment --in reviews.jsonl.gz --out scored.jsonl --rejects rejects.jsonl --max-rejects 1%`,
		Args: cobra.NoArgs,
	}
	var f scoreFlags
	c.Flags().StringVar(&f.model, "model", "", "`NAME` of the model, a folder of the repository")
	c.Flags().StringVar(&f.in, "in", "-", "`FILE` of JSON lines to score, as they are or in gzip; - is standard input")
	c.Flags().StringVar(&f.out, "out", "-", "`FILE` for the answers, which is replaced when all are there; - is standard output")
	c.Flags().StringVar(&f.rejects, "rejects", "", "`FILE` for the lines that cannot be scored, each with its cause (default standard error)")
	c.Flags().Int64Var(&f.from, "from-line", 1, "`NUMBER` of the line to begin with, to go on with what an earlier run has left")
	c.Flags().Var(&f.most, "max-rejects", "`N` rejects, or P% of the lines, beyond which the run fails (default: all lines but one)")
	repository := modelsFlag(c)
	c.Flags().StringVar(&f.runtime, "onnxruntime", "", "`FILE` of ONNX Runtime's library (default: where make puts it)")
	c.Flags().StringVar(&f.mapping.ID, "id", "review_id", "the `FIELD` with the event's id")
	c.Flags().StringVar(&f.mapping.Text, "text", "text", "the `FIELD` with the text")
	c.Flags().StringVar(&f.mapping.Title, "title", "title", "the `FIELD` with the title, if events have one")
	c.Flags().StringSliceVar(&f.copy, "copy", []string{"item_id", "user_id"}, "`FIELDS` to copy through")
	c.Flags().StringVar(&f.config, "config", "", "`FILE` of a configuration, in place of a model")
	c.Flags().StringVar(&f.pipeline, "pipeline", "", "`NAME` of the configuration's pipeline whose steps are run")
	c.Flags().StringVar(&f.into, "into", "", "`VIEW.FIELD` of the configuration that each result's list is put into")
	c.MarkFlagsOneRequired("model", "config")
	c.MarkFlagsRequiredTogether("config", "pipeline")
	for _, other := range []string{"id", "text", "title", "copy", "models", "onnxruntime"} {
		c.MarkFlagsMutuallyExclusive("config", other) // the configuration says it
	}
	c.MarkFlagsMutuallyExclusive("config", "model")
	c.MarkFlagsMutuallyExclusive("into", "model")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if f.from < 1 {
			return fmt.Errorf("--from-line is %d: want 1 for the first line, or a later one", f.from)
		}
		if f.config != "" {
			return scorePipeline(c, f)
		}
		if f.models, err = repository(); err != nil {
			return err
		}
		if err := nameOfModel(f.model); err != nil {
			return err
		}
		return score(c, f)
	}
	return c
}

// nameOfModel refuses a path in place of a name.
func nameOfModel(name string) error {
	folder, last := path.Split(strings.TrimRight(filepath.ToSlash(name), "/"))
	folder = strings.TrimRight(folder, "/")
	_, notNumber := strconv.Atoi(last)
	switch {
	case folder == "":
		return nil
	case notNumber == nil && !strings.Contains(folder, "/"):
		return fmt.Errorf("--model is %q: want the name alone, as in --model %s: its highest version runs, and models.versions of a configuration names another", name, folder)
	case notNumber == nil:
		folder, last = path.Split(folder)
		folder = strings.TrimRight(folder, "/")
	}
	return fmt.Errorf("--model is %q: want the name of a model, and its repository with --models: did you mean --models %s --model %s?", name, folder, last)
}

func score(c *cobra.Command, f scoreFlags) (err error) {
	ctx := c.Context()
	files, err := openFiles(c, c.ErrOrStderr(), f, f.models)
	if err != nil {
		return err
	}
	defer files.close()
	input := schemas.InputConfig{Map: &f.mapping}
	output := schemas.OutputConfig{ID: f.mapping.ID}
	for _, path := range f.copy {
		output.Copy = append(output.Copy, schemas.NewCopyField(path))
	}
	if _, err := schemas.NewEncoder(output, input); err != nil {
		return err
	}

	config := models.DefaultConfig()
	config.Repository, config.Runtime = f.models, f.runtime
	runs := engine.New(config, engine.Options{})
	if _, err := runs.Load(ctx, f.model); err != nil {
		return err
	}
	alone := engine.Pipeline{Name: f.model, Input: input, Steps: []steps.Config{{Predict: &steps.Predict{Model: f.model}}}, Output: output, Lenient: true}
	if _, err := runs.Put(alone, batching.Backfill); err != nil {
		if of, ok := errors.AsType[*steps.Error](err); ok { // whose place is in no file
			err = of.Err
		}
		return errors.Join(err, runs.Close(ctx))
	}
	stop := runs.Start(ctx)
	return f.run(c, files, runs.Programs(alone.Name, batching.Backfill), func() error {
		return errors.Join(runs.Close(context.WithoutCancel(ctx)), stop())
	}, nil)
}

// scorePipeline runs the steps of a configuration's pipeline.
func scorePipeline(c *cobra.Command, f scoreFlags) (err error) {
	rejects := c.ErrOrStderr() // as it is: what hides the values of variables in messages would change lines that are data
	loaded, err := loadConfig(c, f.config)
	if err != nil {
		return err
	}
	files, err := openFiles(c, rejects, f, loaded.Models.Repository)
	if err != nil {
		return err
	}
	defer files.close()
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	work, err := service.OpenOffline(c.Context(), loaded, f.pipeline, f.into, service.Options{Logger: log, Veil: veilOf(c)})
	if err != nil {
		return err
	}
	return f.run(c, files, work.Programs(), work.Close, work.Lists)
}

// run over the files, and then stop what it ran on. Lists counts those that were put into a view, and those of them that were refused; it may be nil.
func (f *scoreFlags) run(c *cobra.Command, files *scoreFiles, programs *pipeline.Programs, stop func() error, lists func() (put, refused int64)) error {
	if err := files.begin(c); err != nil {
		return errors.Join(err, stop())
	}
	bar := offline.NewBar(os.Stderr, files.size, "scoring")
	stats, err := offline.Run(c.Context(), offline.Options{
		Programs: programs, In: files.in, Out: files.out, Rejects: files.rejects, Name: f.in, Progress: bar.Show, From: f.from, Enough: f.most.passed,
	})
	bar.Close()
	if err != nil && c.Context().Err() != nil {
		err = fmt.Errorf("interrupted after line %d", stats.Lines)
	}
	never := service.NeverThere(programs) // which are gone after stop
	err = errors.Join(err, stop())
	if err == nil {
		err = f.most.judge(stats)
	}
	err = files.end(stats, err)
	var put, refused int64
	if lists != nil {
		put, refused = lists()
	}
	if refused > 0 && refused == put {
		err = errors.Join(err, fmt.Errorf("--into %s: the store has newer lists of all %d keys, of a job that began after this one: nothing was changed", f.into, put))
	}
	for _, columns := range never {
		fmt.Fprintln(c.ErrOrStderr(), "warning:", columns)
	}
	if f.out != "-" || err != nil || refused > 0 || dev.IsTerminal(os.Stderr) {
		fmt.Fprintln(c.ErrOrStderr(), tally(stats, refused))
	}
	return err
}

// tally says what became of the lines, and how many lists a store refused.
func tally(s offline.Stats, refused int64) string {
	line := fmt.Sprintf("%d lines: %d scored, %d rejected", s.Dealt(), s.Scored, s.Rejects())
	if refused > 0 {
		line += fmt.Sprintf(", %d refused (the store has newer lists of these keys)", refused)
	}
	if s.Blank > 0 {
		line += fmt.Sprintf(", %d blank", s.Blank)
	}
	return line + fmt.Sprintf(", in %v (%.0f/s)", s.Elapsed.Round(time.Millisecond), s.Rate())
}
