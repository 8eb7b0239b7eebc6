package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/internal/service"
)

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the service alone, against any Kafka",
		Args:  cobra.NoArgs,
	}
	file := c.Flags().String("config", "", "the configuration, YAML")
	_ = c.MarkFlagRequired("config")
	logger := logFlag(c, "info")
	c.RunE = func(c *cobra.Command, _ []string) error {
		loaded, err := loadConfig(*file)
		if err != nil {
			return err
		}
		log, damper, err := logger(os.Stderr)
		if err != nil {
			return err
		}
		defer damper.Flush()
		build := observe.ReadBuild()
		log.Info("nearline starts", "build", build.String(), "config", *file)
		s, err := service.Open(c.Context(), loaded, service.Options{Logger: log, Build: build})
		if err != nil {
			return err
		}
		if s.HTTP() != "" {
			log.Info("serving HTTP", "address", s.HTTP())
		}
		err = s.Run(c.Context())
		log.Info("nearline has stopped", "records", s.Committed())
		return err
	}
	return c
}

// loadConfig reads a configuration and prints every problem that it has.
func loadConfig(file string) (*config.Config, error) {
	loaded, err := config.Load(file)
	if err == nil {
		return loaded, nil
	}
	problems := config.Problems(err)
	if len(problems) == 0 {
		return nil, err
	}
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, problem)
	}
	return nil, fmt.Errorf("%s: %d problems: %w", file, len(problems), errors.Join(errTold))
}
