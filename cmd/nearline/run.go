package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/internal/plain"
	"nearline/internal/service"
	"nearline/internal/veil"
)

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the service alone, against any Kafka",
		Long: `Runs the pipelines of the configuration until it is interrupted; then the cycles in hand end and commit. It waits for brokers
and topics that are not there yet. Logs go to standard error; /healthz, /readyz, /streamz and /metrics tell the rest.`,
		Example: `  nearline check --config nearline.yaml && nearline run --config nearline.yaml`,
		Args:    cobra.NoArgs,
	}
	file := configFlag(c)
	logger := logFlag(c, "info")
	c.RunE = func(c *cobra.Command, _ []string) error {
		loaded, err := loadConfig(c, *file)
		if err != nil {
			return err
		}
		log, damper, err := logger(c.ErrOrStderr())
		if err != nil {
			return err
		}
		defer damper.Flush()
		build := observe.ReadBuild()
		log.Info("nearline starts", "build", build.String(), "config", *file)
		defer context.AfterFunc(c.Context(), func() { log.Info("stopping: the cycles in hand may end; interrupt again to end at once") })()
		s, err := service.Open(c.Context(), loaded, service.Options{Logger: log, Build: build, Veil: veilOf(c)})
		if interrupted(c.Context(), err) {
			return nil
		}
		if err != nil {
			return err
		}
		err = s.Run(c.Context())
		log.Info("nearline has stopped", "records", s.Committed())
		return err
	}
	return c
}

// interrupted says that an error is no more than what an interrupt leads to before there is anything to drain.
func interrupted(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
}

func configFlag(c *cobra.Command) *string {
	file := c.Flags().String("config", "", "`FILE` with the configuration, YAML")
	_ = c.MarkFlagRequired("config") // fails only for a flag that is not there
	return file
}

// loadConfig reads a configuration, and prints every problem that it has.
//
// From then on, neither what the command writes to standard error nor the error that it ends with shows what variables hold.
func loadConfig(c *cobra.Command, file string) (*config.Config, error) {
	loaded, hides, err := config.Load(file)
	if err := veiling(c, hides, err); err != nil {
		return nil, err
	}
	return loaded, nil
}

// veiling has a command show nothing that the veil of a configuration hides, or prints what is wrong with the configuration.
func veiling(c *cobra.Command, hides *veil.Veil, err error) error {
	if err == nil {
		c.SetErr(hides.Writer(c.ErrOrStderr()))
		c.SetContext(context.WithValue(c.Context(), veiled{}, hides))
		return nil
	}
	out := c.ErrOrStderr()
	problems := config.Problems(err)
	if len(problems) == 0 {
		return err
	}
	for _, problem := range problems {
		fmt.Fprintln(out, problem)
	}
	fmt.Fprintln(out, things(len(problems)))
	return errTold
}

// veiled is the veil of the configuration that a command has loaded, in the command's context.
type veiled struct{}

// veilOf a command hides what the variables of its configuration hold; it is nil for one without a configuration.
func veilOf(c *cobra.Command) *veil.Veil {
	hides, _ := c.Context().Value(veiled{}).(*veil.Veil)
	return hides
}

// says are the commands that print what they have found: names from files and from the cluster, which are to do nothing to a terminal. Others print
// data, or draw.
var says = map[string]bool{"check": true, "topics": true, "acls": true, "list": true, "inspect": true, "replay": true, "count": true, "health": true}

// hiding has the errors of all commands below c show what is written in a configuration, and never what it stands for; and nothing that they say drive a terminal.
func hiding(c *cobra.Command) {
	for _, below := range c.Commands() {
		hiding(below)
	}
	if prepare := c.PreRunE; prepare != nil {
		c.PreRunE = func(c *cobra.Command, args []string) error {
			return observe.PrintableError(prepare(c, args))
		}
	}
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			if says[c.Name()] {
				c.SetOut(saying(c))
			}
			err := run(c, args)
			return observe.PrintableError(veilOf(c).Error(err))
		}
	}
}

// saying is where a command says what it has found. JSON stays JSON: its strings have escapes of their own.
func saying(c *cobra.Command) io.Writer {
	if json := c.Flags().Lookup("json"); json != nil && json.Value.String() == "true" {
		return &plain.Writer{To: c.OutOrStdout()}
	}
	return observe.PrintableWriter(c.OutOrStdout())
}

// things says how many are wrong.
func things(wrong int) string {
	if wrong == 1 {
		return "1 thing is wrong"
	}
	return fmt.Sprintf("%d things are wrong", wrong)
}
