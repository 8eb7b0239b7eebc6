package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"nearline/internal/certs"
	"nearline/internal/config"
	"nearline/internal/torture"
)

func tortureCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "torture {--embedded | --config FILE}",
		Short: "Try the promise: kill, freeze and restart replicas under load, then count every record",
		Long: `Writes numbered records over many keys, hurts the replicas on a schedule made from a seed, and at the end reads everything back
as a read-committed consumer: lost, doubled, out of order, each of which must be 0. What the replicas aggregated by item
meanwhile must be what the whole input says.

With --embedded it needs nothing else: a broker in a process of its own, and replicas as child processes, with timeouts short
enough that take-over and expiry happen within the run. With --config it runs on your own cluster, on topics that it makes
there (nearline-torture-..., deleted where all went well). The faults are those of the service's side; --hook is a command of
yours that hurts the brokers, or what lies between: with --direct, load and checker go round that.

The command is run for each hook fault, one at a time. It hurts for NEARLINE_FAULT_SECONDS, mends, and ends. The first line
that it prints names what it does, and stands in the schedule; everything goes to hook.log. It is told NEARLINE_FAULT (the
NAME of hook:NAME, else empty: then it chooses, NEARLINE_SEED being a number to draw from), NEARLINE_FAULT_NUMBER,
NEARLINE_BROKERS, NEARLINE_GROUP, NEARLINE_INPUT, NEARLINE_OUTPUT, NEARLINE_DEAD_LETTERS, and the NEARLINE_TRANSACTIONAL_ID of
a replica that lives. A command that fails, fails the run.

store-older has the features in a Redis that the run starts (it wants redis-server and redis-cli), kills it, and has it come back from an
older snapshot, or empty; at the end Redis has to have what the input says.

refuse has the output topic take no results for a while, which then have to become dead letters of class refused. The faults of the
model (model-...) are records of the load that have the model do it, and oom is one that has it take more
memory than the replica may have. They bring a model of their own. What hangs, crashes or is killed for its memory has to
become a dead letter of class crash, after the replicas that died of it.`,
		Example: `  nearline torture --embedded --for 40s --seed 7
  nearline torture --config nearline.yaml --for 10m --hook 'kubectl delete pod kafka-1'
  nearline torture --config nearline.yaml --records 1000000 --faults kill=3,freeze,hook:broker-kill=2 --hook ./hurt.sh`,
		Args: cobra.NoArgs,
	}
	o := torture.Options{Replication: 1}
	embedded := c.Flags().Bool("embedded", false, "on a broker of its own")
	file := c.Flags().String("config", "", "on the cluster of this configuration, a YAML `FILE`")
	direct := c.Flags().StringSlice("direct", nil, "`BROKERS` that load and checker dial (default: those of the configuration, as the replicas)")
	c.Flags().DurationVar(&o.Lasts, "for", 40*time.Second, "how long faults and load go on (without it, --records is the end)")
	c.Flags().Uint64Var(&o.Seed, "seed", 0, "of the schedule and the load (default: another one each time)")
	c.Flags().BoolVar(&o.JSON, "json", false, "objects instead of lines; the last one is the result")
	c.Flags().IntVar(&o.Records, "records", 0, "the end comes with `N` records (default: as many as the time allows)")
	c.Flags().Float64Var(&o.Rate, "rate", 2000, "records a second, at the most")
	c.Flags().IntVar(&o.MaxLag, "lag", 0, "`RECORDS` that the replicas may be behind before the load waits (default: 10 s of its rate)")
	c.Flags().IntVar(&o.Keys, "keys", 500, "different keys")
	c.Flags().IntVar(&o.Replicas, "replicas", 3, "processes that share the work")
	c.Flags().IntVar(&o.Partitions, "partitions", 6, "of each topic")
	kinds := c.Flags().StringSlice("faults", nil, "`KINDS`, each with a weight: kill=4,freeze=3,leave=2,join=2, which is the default; hook, hook:NAME, refuse, store-older, model-slow, model-fail, model-hang, model-crash, oom")
	c.Flags().DurationVar(&o.Every, "every", 2*time.Second, "time between faults, on average")
	c.Flags().Int16Var(&o.Replication, "replication", -1, "of the topics on your own cluster; -1 is the cluster's default")
	c.Flags().StringVar(&o.Hook, "hook", "", "shell `COMMAND` that hurts your cluster; it is a fault among the others")
	c.Flags().StringVar(&o.Program, "program", "", "`FILE` that the replicas are, another build of nearline (default: this one)")
	c.Flags().BoolVar(&o.Keep, "keep", false, "leave the topics on your own cluster")
	c.Flags().BoolVar(&o.Features, "features", true, "aggregate the reviews by item, too, and compare with what the input says")
	c.Flags().StringVar(&o.Model, "model", "", "a `NAME` of the repository (default: a constant, which leaves the time to the records)")
	c.Flags().StringVar(&o.Folder, "folder", "", "`FOLDER` for logs and state, which then stays (default: a temporary one)")
	models := modelsFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if o.Records > 0 && !c.Flags().Changed("for") {
			o.Lasts = 0
		}
		if o.Faults, err = torture.ParseFaults(*kinds); err != nil {
			return fmt.Errorf("--faults: %w", err)
		}
		if len(o.Faults) == 0 {
			o.Faults = torture.DefaultFaults(o.Hook != "")
		}
		switch {
		case *embedded == (*file != ""):
			return errors.New("want either --embedded or --config FILE")
		case *embedded && (o.Hook != "" || len(*direct) > 0):
			return errors.New("--hook and --direct are for a cluster of your own: the embedded broker is nobody else's")
		case o.Hook == "" && torture.WantHook(o.Faults):
			return errors.New("--faults names one of the hook's: want --hook COMMAND too")
		case o.Model != "" && torture.WantFaultyModel(o.Faults):
			return errors.New("the faults of the model bring a model of their own: want --faults without them, or no --model")
		case o.Lasts < 10*time.Second && (o.Records == 0 || o.Lasts != 0):
			return fmt.Errorf("--for %v: want at least 10s, as there is a pause before the first fault and after the last", o.Lasts)
		case o.Replicas < 1 || o.Partitions < 1 || o.Partitions > 1000 || o.Keys < 1 || o.Rate <= 0 || o.Every < 100*time.Millisecond || o.Records < 0 || o.MaxLag < 0:
			return errors.New("want replicas, partitions (up to 1000), keys and rate above 0, and --every of at least 100ms")
		}
		if o.MaxLag == 0 {
			o.MaxLag = int(10 * o.Rate)
		}
		if !c.Flags().Changed("seed") {
			o.Seed = rand.Uint64N(1e6) //nolint:gosec // a schedule, not a secret
		}
		if o.Self, err = os.Executable(); err != nil {
			return err
		}
		if o.Program == "" {
			o.Program = o.Self
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
		} else if err := onCluster(&o, *file, *direct, c); err != nil {
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
func onCluster(o *torture.Options, file string, direct []string, c *cobra.Command) error {
	loaded, err := loadConfig(c, file)
	if err != nil {
		return err
	}
	o.SessionTimeout, o.TransactionTimeout = loaded.Kafka.SessionTimeout, loaded.Kafka.TransactionTimeout
	o.Connection = loaded.Kafka.Connection()
	if len(direct) > 0 {
		o.Connection.Brokers = direct
	}
	if o.Model != "" {
		o.Repository = loaded.Models.Repository
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	whole, err := config.Texts(data, "kafka", "models")
	if err != nil {
		return err
	}
	o.ConfigFor = func(r torture.Replica) ([]byte, error) {
		kafka, ok := whole["kafka"].(map[string]any)
		if !ok {
			kafka = map[string]any{}
		}
		kafka["replica"] = r.Name
		if err := elsewhere(kafka, loaded.Kafka.TLS, filepath.Dir(file)); err != nil {
			return nil, err
		}
		modelsSection, ok := whole["models"].(map[string]any)
		if !ok {
			modelsSection = map[string]any{}
		}
		modelsSection["repository"] = r.Repository
		if r.Repository != loaded.Models.Repository {
			delete(modelsSection, "versions") // they pin models of the other one
			modelsSection["device"] = "cpu"   // where all models of ours run
			modelsSection["hang_timeout"] = torture.HangTimeout.String()
		}
		steps, section := []any{map[string]any{"predict": map[string]any{"model": r.Model}}}, map[string]any{}
		if r.View.Name != "" {
			steps = append(steps, map[string]any{"aggregate": map[string]any{"view": r.View.Name}})
			section = r.View.Section(r.Partitions)
		}
		return json.Marshal(map[string]any{ // which is YAML, and has every text in quotes
			"kafka":    kafka,
			"models":   modelsSection,
			"features": section,
			"pipelines": []any{map[string]any{
				"name":         "torture",
				"group":        r.Group,
				"input":        map[string]any{"topic": r.Input, "map": map[string]any{"id": "review_id", "text": "text"}},
				"steps":        steps,
				"output":       map[string]any{"topic": r.Output, "copy": []any{"item_id"}},
				"dead_letters": r.DeadLetters,
			}},
			"serving": map[string]any{"http": "off"},
		})
	}
	return nil
}

// fileReference is one to a file, in a text of a configuration.
var fileReference = regexp.MustCompile(`\$\{file:([^$}/][^}]*)\}`)

// elsewhere makes a section kafka right for a configuration in another folder: paths in it are relative to the folder that it was written for.
func elsewhere(section map[string]any, tls *certs.Config, folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if tls != nil {
		files := *tls
		for _, path := range files.Paths() {
			if *path != "" {
				if *path, err = filepath.Abs(*path); err != nil {
					return err
				}
			}
		}
		section["tls"] = map[string]any{"ca": files.CA, "cert": files.Cert, "key": files.Key, "server_name": files.ServerName}
	}
	if sasl, ok := section["sasl"].(map[string]any); ok {
		absolute(sasl, folder)
	}
	return nil
}

// absolute makes the references to files in all texts of a mapping absolute, and the files of TLS in it.
func absolute(texts map[string]any, folder string) {
	for key, value := range texts {
		switch value := value.(type) {
		case map[string]any:
			absolute(value, folder)
		case string:
			text := fileReference.ReplaceAllStringFunc(value, func(match string) string {
				return "${file:" + filepath.Join(folder, fileReference.FindStringSubmatch(match)[1]) + "}"
			})
			if file := key == "ca" || key == "cert" || key == "key"; file && text != "" && text[0] != '$' && !filepath.IsAbs(text) {
				text = filepath.Join(folder, text)
			}
			texts[key] = text
		}
	}
}
