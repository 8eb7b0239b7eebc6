// Command nearline scores streams of events with models: from Kafka topics to Kafka topics, exactly once.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"nearline/internal/observe"
)

func main() {
	// The first signal asks to stop, and the cycle in hand commits; the second one does what signals do.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil && !errors.Is(err, errTold) {
		fmt.Fprintln(os.Stderr, "nearline:", err)
	}
	if err != nil {
		os.Exit(1)
	}
}

// errTold ends a command whose problems have been printed already.
var errTold = errors.New("problems were found")

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "nearline",
		Short: "Scores streams of events with models, exactly once, on Kafka",
		Long: `Nearline reads events from Kafka, micro-batches them onto models (ONNX), and publishes what the models say, every event
exactly once and in the order of its key.

Begin with "nearline dev": an embedded broker, the service and a sample stream in one process.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(devCommand(), runCommand(), checkCommand(), scoreCommand(), sendCommand(), tailCommand(), versionCommand(), brokerCommand())
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
func logFlag(c *cobra.Command, fallback string) func(*os.File) (*slog.Logger, *observe.Damper, error) {
	level := c.Flags().String("log-level", fallback, "debug, info, warn or error")
	return func(out *os.File) (*slog.Logger, *observe.Damper, error) {
		parsed, err := observe.ParseLevel(*level)
		if err != nil {
			return nil, nil, fmt.Errorf("--log-level: %w", err)
		}
		logger, damper := observe.NewLogger(out, parsed)
		return logger, damper, nil
	}
}
