package service

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"nearline/internal/config"
	"nearline/internal/observe"
	"nearline/pipeline"
	"nearline/steps"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// constant is a model that needs no runtime.
const constant = "task: constant\ncolumns: {sentiment: {label: positive, score: 0.5}, helpfulness: 0.5}\n"

// repository makes a model repository of manifests by name, each as version 1.
func repository(tb testing.TB, manifests map[string]string) string {
	tb.Helper()
	root := tb.TempDir()
	for name, manifest := range manifests {
		folder := filepath.Join(root, name, "1")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "nearline.yaml"), []byte(manifest), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

// configured is a configuration with one pipeline from NAME.raw to NAME.scored and NAME.dlq for each name.
func configured(tb testing.TB, brokers []string, names ...string) *config.Config {
	tb.Helper()
	c := config.Default()
	c.Kafka.Brokers = brokers
	c.Kafka.Replica = "test"
	c.Serving.HTTP = "off"
	c.Models.Repository = repository(tb, map[string]string{"constant": constant})
	c.Models.Slots = 2
	for _, name := range names {
		p := config.DefaultPipeline()
		p.Name, p.Group = name, "nearline-"+name
		p.Input.Topic, p.Output.Topic, p.DeadLetters = name+".raw", name+".scored", name+".dlq"
		p.Steps = []steps.Config{{Predict: &steps.Predict{Model: "constant"}}}
		c.Pipelines = append(c.Pipelines, p)
	}
	if err := c.Validate(); err != nil {
		tb.Fatal(err)
	}
	return c
}

// program of a worker.
func program(w *worker) *pipeline.Program {
	now, release := w.programs.Take()
	release()
	return now
}

// instead has a worker take records through these steps in place of its own.
func instead(w *worker, steps ...pipeline.Step) {
	other := *program(w)
	other.Steps = steps
	w.programs = pipeline.NewPrograms(&other)
}

// quiet options, unless the tests are run verbosely.
func quiet(tb testing.TB) Options {
	logger := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	return Options{Logger: logger, Build: observe.ReadBuild()}
}
