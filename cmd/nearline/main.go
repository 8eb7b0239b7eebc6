// Command nearline scores streams of events with models: from Kafka topics to Kafka topics, exactly once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nearline/internal/dev"
	"nearline/internal/observe"
	"nearline/internal/plain"
)

func main() {
	// The first signal asks to stop, and the cycle in hand commits; the second one does what signals do.
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	context.AfterFunc(ctx, stop)
	root := command()
	// What records, models and files say reaches a terminal as text.
	for file, set := range map[*os.File]func(io.Writer){os.Stdout: root.SetOut, os.Stderr: root.SetErr} {
		if dev.IsTerminal(file) {
			set(&plain.Writer{To: file})
		}
	}
	check := root.PersistentPreRunE
	root.PersistentPreRunE = func(c *cobra.Command, args []string) error {
		endAnyway(c)
		return check(c, args)
	}
	err := root.ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	if !errors.Is(err, errTold) {
		fmt.Fprintln(os.Stderr, plain.Text(fmt.Sprintf("nearline: %v", err)))
	}
	os.Exit(status(err))
}

// status that the program ends with.
func status(err error) int {
	var special interface{ ExitStatus() int }
	if errors.As(err, &special) {
		return special.ExitStatus()
	}
	return 1
}

// stopSignals ask to stop. A terminal that is closed hangs up; nohup has that ignored, and it stays so.
func stopSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// endAnyway ends a command that an interrupt did not end: it may wait for a pipe, or for native code. Those that serve have deadlines of
// their own for what they have in hand.
func endAnyway(c *cobra.Command) {
	switch c.Name() {
	case "run", "dev", "dev-broker", "torture":
		return
	}
	context.AfterFunc(c.Context(), func() {
		time.AfterFunc(interruptGrace, func() {
			fmt.Fprintln(os.Stderr, "nearline: interrupted, and what was under way did not end by itself")
			os.Exit(1)
		})
	})
}

// interruptGrace is how long a command may take to end after an interrupt.
const interruptGrace = 5 * time.Second

// errTold ends a command whose problems have been printed already.
var errTold = errors.New("problems were found")

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "nearline",
		Short: "Scores streams of events with models, exactly once, on Kafka",
		Long: `Nearline reads events from Kafka, micro-batches them onto models (ONNX), and publishes what the models say, every event
exactly once and in the order of its key.

Begin with "nearline dev": an embedded broker, the service and a sample stream in one process.

The exit status is 0 when all went well, 1 when something was wrong or missing, what is said on standard error, and 3 when "nearline score" rejected too
many lines. A second interrupt ends a command by its signal.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(flagSlip)
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return checkFlags(c) }
	// Not cobra's own flag: its template would link text/template, and with it every method of every type, 23 MB.
	root.Flags().Bool("version", false, "print which build this is")
	root.RunE = func(c *cobra.Command, _ []string) error {
		if asked, err := c.Flags().GetBool("version"); !asked || err != nil {
			return errors.Join(err, c.Help())
		}
		fmt.Fprintln(c.OutOrStdout(), observe.ReadBuild())
		return nil
	}
	root.AddCommand(devCommand(), runCommand(), checkCommand(), topicsCommand(), aclsCommand(), healthCommand(), scoreCommand(), modelsCommand(),
		dlqCommand(), featuresCommand(), sendCommand(), tailCommand(), tortureCommand(), versionCommand(), brokerCommand())
	heedSlips(root)
	hiding(root) // after all that adds to errors
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print which build this is",
		Args:  cobra.NoArgs,
		Run:   func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), observe.ReadBuild()) },
	}
}

// logFlag adds --log-level, and returns what makes the logger once flags are parsed.
func logFlag(c *cobra.Command, fallback string) func(io.Writer) (*slog.Logger, *observe.Damper, error) {
	level := c.Flags().String("log-level", fallback, "`LEVEL` from which to log: debug, info, warn or error")
	return func(out io.Writer) (*slog.Logger, *observe.Damper, error) {
		parsed, err := observe.ParseLevel(*level)
		if err != nil {
			return nil, nil, fmt.Errorf("--log-level: %w", err)
		}
		logger, damper := observe.NewLogger(out, parsed)
		return logger, damper, nil
	}
}

// modelsFlag adds --models, and returns what finds the repository once flags are parsed.
func modelsFlag(c *cobra.Command) func() (string, error) {
	given := c.Flags().String("models", "", "the model repository, a `FOLDER` of NAME/VERSION/ (default: "+shippedModels+", here or above the program)")
	return func() (string, error) {
		if *given == "" {
			return findModels()
		}
		if info, err := os.Stat(*given); err != nil || !info.IsDir() {
			return "", fmt.Errorf("--models %s: there is no such folder: want one that holds models as NAME/VERSION/", *given)
		}
		return *given, nil
	}
}

// shippedModels is where a checkout has its models.
const shippedModels = "models/zoo"

// findModels looks for the models that ship: here, and from the program's folder upwards, so that bin/nearline works from
// anywhere.
func findModels() (string, error) {
	folders := []string{"."}
	if executable, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(executable); err == nil {
			executable = real
		}
		for folder := filepath.Dir(executable); ; folder = filepath.Dir(folder) {
			folders = append(folders, folder)
			if folder == filepath.Dir(folder) {
				break
			}
		}
	}
	for _, folder := range folders {
		path := filepath.Join(folder, filepath.FromSlash(shippedModels))
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path, nil
		}
	}
	return "", fmt.Errorf("the models that ship (%s) are neither here nor above the program: name a model repository with --models FOLDER", shippedModels)
}
