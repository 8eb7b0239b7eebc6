package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"nearline/internal/torture"
)

func tortureCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "torture {--embedded | --config FILE}",
		Short: "Try the promise: kill, freeze and restart replicas under load, then count every record",
		Long: `Writes numbered records over many keys, hurts the replicas on a schedule made from a seed, and at the end reads everything back
as a read-committed consumer: lost, doubled, out of order, each of which must be 0.

With --embedded it needs nothing else: a broker in a process of its own, and replicas as child processes, with timeouts short
enough that take-over and expiry happen within the run. With --config it runs on your own cluster, on topics that it makes
there (nearline-torture-...). The faults are those of the service's side; --hook is a command of yours that hurts the brokers.`,
		Example: `  nearline torture --embedded --for 40s --seed 7
  nearline torture --config nearline.yaml --for 10m --hook 'kubectl delete pod kafka-1'`,
		Args: cobra.NoArgs,
	}
	o := torture.Options{Replication: 1}
	embedded := c.Flags().Bool("embedded", false, "on a broker of its own")
	file := c.Flags().String("config", "", "on the cluster of this configuration, a YAML `FILE`")
	c.Flags().DurationVar(&o.Lasts, "for", 40*time.Second, "how long faults and load go on")
	c.Flags().Uint64Var(&o.Seed, "seed", 0, "of the schedule and the load (default: another one each time)")
	c.Flags().BoolVar(&o.JSON, "json", false, "objects instead of lines; the last one is the result")
	c.Flags().IntVar(&o.Records, "records", 0, "`N` records and no more, however long they take (default: as many as the time allows)")
	c.Flags().Float64Var(&o.Rate, "rate", 2000, "records a second")
	c.Flags().IntVar(&o.Keys, "keys", 500, "different keys")
	c.Flags().IntVar(&o.Replicas, "replicas", 3, "processes that share the work")
	c.Flags().IntVar(&o.Partitions, "partitions", 6, "of each topic")
	c.Flags().DurationVar(&o.Every, "every", 2*time.Second, "time between faults, on average")
	c.Flags().Int16Var(&o.Replication, "replication", -1, "of the topics on your own cluster; -1 is the cluster's default")
	c.Flags().StringVar(&o.Hook, "hook", "", "shell `COMMAND` that hurts your cluster; it is a fault among the others")
	c.Flags().StringVar(&o.Model, "model", "", "a `NAME` of the repository (default: a constant, which leaves the time to the records)")
	c.Flags().StringVar(&o.Folder, "folder", "", "`FOLDER` for logs and state, which then stays (default: a temporary one)")
	models := modelsFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		switch {
		case *embedded == (*file != ""):
			return errors.New("want either --embedded or --config FILE")
		case *embedded && o.Hook != "":
			return errors.New("--hook is for a cluster of your own: the embedded broker is killed anyway")
		case o.Lasts < 10*time.Second:
			return fmt.Errorf("--for %v: want at least 10s, as there is a pause before the first fault and after the last", o.Lasts)
		case o.Replicas < 1 || o.Partitions < 1 || o.Partitions > 1000 || o.Keys < 1 || o.Rate <= 0 || o.Every < 100*time.Millisecond || o.Records < 0:
			return errors.New("want replicas, partitions (up to 1000), keys and rate above 0, and --every of at least 100ms")
		}
		if !c.Flags().Changed("seed") {
			o.Seed = rand.Uint64N(1e6) //nolint:gosec // a schedule, not a secret
		}
		if o.Program, err = os.Executable(); err != nil {
			return err
		}
		if o.Folder == "" {
			if o.Folder, err = os.MkdirTemp("", "nearline-torture-"); err != nil {
				return err
			}
			defer func() {
				if err == nil {
					_ = os.RemoveAll(o.Folder)
				}
			}()
		} else if err := os.MkdirAll(o.Folder, 0o755); err != nil {
			return err
		}
		if *embedded {
			o.Replication = 1
			if o.Model != "" {
				if o.Repository, err = models(); err != nil {
					return err
				}
			}
		} else if err := onCluster(&o, *file, c); err != nil {
			return err
		}
		o.Out = c.OutOrStdout()
		report, err := torture.Run(c.Context(), o)
		if err != nil {
			return err
		}
		return report.Err()
	}
	return c
}

// onCluster takes brokers and models from a configuration, and has replicas run with that configuration, except for the
// pipeline and the server.
func onCluster(o *torture.Options, file string, c *cobra.Command) error {
	loaded, err := loadConfig(file, c.ErrOrStderr())
	if err != nil {
		return err
	}
	o.Brokers = loaded.Kafka.Brokers
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var whole map[string]any
	if err := yaml.Unmarshal(data, &whole); err != nil {
		return err
	}
	model := o.Model
	if model == "" && len(loaded.Pipelines) > 0 && len(loaded.Pipelines[0].Steps) > 0 && loaded.Pipelines[0].Steps[0].Predict != nil {
		model = loaded.Pipelines[0].Steps[0].Predict.Model
	}
	o.ConfigFor = func(r torture.Replica) ([]byte, error) {
		kafka, ok := whole["kafka"].(map[string]any)
		if !ok {
			kafka = map[string]any{}
		}
		kafka["replica"] = r.Name
		modelsSection, ok := whole["models"].(map[string]any)
		if !ok {
			modelsSection = map[string]any{}
		}
		modelsSection["repository"] = loaded.Models.Repository
		return yaml.Marshal(map[string]any{
			"kafka":  kafka,
			"models": modelsSection,
			"pipelines": []any{map[string]any{
				"name":         "torture",
				"group":        r.Group,
				"input":        map[string]any{"topic": r.Input, "map": map[string]any{"id": "review_id", "text": "text"}},
				"steps":        []any{map[string]any{"predict": map[string]any{"model": model}}},
				"output":       map[string]any{"topic": r.Output, "copy": []any{"item_id"}},
				"dead_letters": r.DeadLetters,
			}},
			"serving": map[string]any{"http": "off"},
		})
	}
	return nil
}
