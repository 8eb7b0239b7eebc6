package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"nearline/consumers"
	"nearline/engine"
	"nearline/internal/config"
	"nearline/internal/service"
	"nearline/kafka"
	"nearline/models"
	"nearline/steps"
)

func checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Say everything that is wrong with a configuration, and with the world it names",
		Long: `Prints every problem of the configuration at once, each with its key, its value and what to do. If there is none, it asks the
world: are the brokers reached, are the topics there with limits that fit each other, does the store of features answer and have
what it needs, does every model load and reproduce the golden examples that it has. The exit status is 0 when nothing is wrong.

With --production it holds configuration and cluster against the production checklist, too (docs/production.md): encryption, tokens, replication, retention,
timeouts, names. What you know and want otherwise is accepted by the name of its rule; what may not be looked at is wrong, too, unless you accept unseen.`,
		Example: `  nearline check --config nearline.yaml
  nearline check --config nearline.yaml --production --accept delivery`,
		Args: cobra.NoArgs,
	}
	file := configFlag(c)
	var f productionFlags
	c.Flags().BoolVar(&f.asked, "production", false, "hold it against the production checklist, too")
	c.Flags().StringSliceVar(&f.accepted, "accept", nil, "`RULES` of the production checklist that need not hold, or unseen")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.validate(); err != nil {
			return err
		}
		loaded, err := loadConfig(c, *file)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
		defer cancel()
		return checkWorld(ctx, veilOf(c).Writer(&pasting{c.OutOrStdout()}), loaded, *file, f)
	}
	return c
}

// checkWorld prints a line for each thing that the configuration names and that is there or is not.
func checkWorld(ctx context.Context, out io.Writer, c *config.Config, file string, f productionFlags) error {
	wrong := 0
	say := func(err error, format string, args ...any) {
		var note noteError
		switch what := fmt.Sprintf(format, args...); {
		case err == nil:
			fmt.Fprintf(out, "ok     %s\n", what)
		case errors.As(err, &note):
			fmt.Fprintf(out, "note   %s: %v\n", what, err)
		default:
			wrong++
			fmt.Fprintf(out, "WRONG  %s: %v\n", what, err)
		}
	}
	fmt.Fprintln(out, "ok     configuration")
	checkCertificates(c, time.Now(), say)
	checkModels(ctx, c, say)
	checkStore(ctx, c, say)
	if err := checkKafka(ctx, c, file, f, say); err != nil {
		return err
	}
	if wrong > 0 {
		fmt.Fprintln(out, things(wrong))
		return errTold
	}
	return nil
}

// noteError is worth knowing, and nothing is lost by it.
type noteError string

func (e noteError) Error() string { return string(e) }

// checkCertificates says until when those are valid that the configuration names. Whether they are trusted, those say that they are shown to.
func checkCertificates(c *config.Config, now time.Time, say sayer) {
	for _, files := range c.Certificates() {
		key, until := files.Soonest()
		if key == "" {
			continue
		}
		err := files.Judge(now)
		if err != nil { // of any of the files, which it names
			key, why, _ := strings.Cut(err.Error(), ": ")
			say(errors.New(why), "%s", key)
			continue
		}
		if left := until.Sub(now); left < expiresSoon {
			err = noteError(fmt.Sprintf("it expires in %v: put its successor in its place, no restart is needed", left.Round(time.Minute)))
		}
		say(err, "%s: valid until %s", key, until.UTC().Format(time.RFC3339))
	}
}

// expiresSoon is when somebody should see to it, unless something does so by itself.
const expiresSoon = 14 * 24 * time.Hour

type sayer func(err error, format string, args ...any)

func checkModels(ctx context.Context, c *config.Config, say sayer) {
	loaded := make(map[string]*models.Model) // nil for one that does not load
	runs := engine.New(c.Models, engine.Options{})
	stop := runs.Start(ctx)
	defer func() {
		for name, model := range loaded {
			if model == nil {
				continue
			}
			if err := model.Close(ctx); err != nil {
				say(err, "model %s ends", name)
			}
		}
		_ = stop()
	}()
	for i := range c.Pipelines {
		p, whole := &c.Pipelines[i], true
		for _, name := range steps.Models(p.Steps) {
			if model, seen := loaded[name]; seen {
				whole = whole && model != nil
				continue
			}
			loaded[name] = nil
			model, err := runs.Load(ctx, name)
			if err != nil {
				say(err, "model %s", name)
				whole = false
				continue
			}
			loaded[name] = model
			info := model.Info()
			say(nil, "model %s version %d loads on %s and %s", info.Name, info.Version, info.Device, goldenSaid(info.Golden))
		}
		if whole {
			say(service.CheckSteps(c, p, loaded), "pipeline %s: steps, models and output fit each other", p.Name)
			for _, doubt := range service.Doubts(c, p, loaded) {
				say(noteError(doubt), "pipeline %s", p.Name)
			}
		}
	}
}

// goldenSaid is what golden examples tell of a model that has so many and was loaded.
func goldenSaid(examples int) string {
	switch examples {
	case 0:
		return "has no golden examples: nothing would notice if it answered otherwise than where it was trained"
	case 1:
		return "reproduces its golden example"
	default:
		return fmt.Sprintf("reproduces its %d golden examples", examples)
	}
}

// checkStore asks the store of features that all replicas share, if there is one.
func checkStore(ctx context.Context, c *config.Config, say sayer) {
	const what = "store of features"
	store, err := service.OpenStore(ctx, c.Features.Store)
	if err != nil {
		say(err, what)
		return
	}
	if store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	say(errors.Join(store.Ping(ctx), store.Close()), what)
}

// storePatience is how long the store may take to answer at all.
const storePatience = 10 * time.Second

func checkKafka(ctx context.Context, c *config.Config, file string, f productionFlags, say sayer) error {
	cluster, err := consumers.Dial(c.Kafka.Connection(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer cluster.Close()
	asked, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	brokers, err := cluster.Brokers(asked)
	if err != nil {
		say(doubtAddresses(err, "kafka.brokers"), "brokers %s", strings.Join(c.Kafka.Brokers, ", "))
		f.check(ctx, c, nil, 0, say)
		return nil
	}
	say(nil, "brokers %s: %d in the cluster", strings.Join(c.Kafka.Brokers, ", "), brokers)
	checkGroups(ctx, c, cluster, say)
	checkRights(ctx, c, say)
	for _, p := range c.Pipelines {
		names := slices.DeleteFunc([]string{p.Input.Topic, p.Output.Topic, p.DeadLetters}, func(name string) bool { return name == "" })
		topics, err := cluster.Topics(ctx, names...)
		if err != nil {
			say(err, "pipeline %s", p.Name)
			continue
		}
		for _, name := range names {
			topic := topics[name]
			if topic.Missing() {
				say(fmt.Errorf("it does not exist: create it, as nearline topics --config %s --create does", quoted(file)), "pipeline %s: topic %s", p.Name, name)
				continue
			}
			if errors.Is(topic.Err, kerr.TopicAuthorizationFailed) {
				continue // checkRights has told
			}
			say(topic.Err, "pipeline %s: topic %s: %s", p.Name, name, describe(topic))
		}
		if note := limitNote(topics[p.Input.Topic], topics[p.DeadLetters]); note != "" {
			say(note, "pipeline %s: dead letters of the largest records", p.Name)
		}
	}
	checkUpdates(ctx, cluster, c, say)
	f.check(ctx, c, cluster, brokers, say)
	return nil
}

// doubtAddresses says what may be wrong with the addresses of brokers, unless the error has words for what it is.
func doubtAddresses(err error, which string) error {
	if kafka.Explained(err) {
		return err
	}
	return fmt.Errorf("%w: are %s right, and can they be reached from here?", err, which)
}

// checkUpdates says which topics of updates may lose some before they are read. Those that are missing are made as they should be.
func checkUpdates(ctx context.Context, cluster *consumers.Cluster, c *config.Config, say sayer) {
	for _, use := range c.Topics() {
		if use.Use != config.UseUpdates {
			continue
		}
		topics, err := cluster.Topics(ctx, use.Topic)
		topic := topics[use.Topic]
		switch {
		case err != nil:
			say(err, "topic %s", use.Topic)
		case topic.Err != nil: // missing, or another look has told
		case topic.Settings == nil:
			say(noteError("its settings may not be read: want retention.ms=-1, retention.bytes=-1 and message.timestamp.type=LogAppendTime, since brokers that "+
				"delete by time or size delete what the view has not read"), "topic %s", use.Topic)
		default:
			if mends := service.OwnTopic(c.Features.Config, use).Mends(topic); len(mends) > 0 {
				say(noteError("its settings may delete updates before they are read. The service changes them when it starts, if it may; otherwise "+
					consumers.Remedy(use.Topic, mends)), "topic %s", use.Topic)
			}
		}
	}
}

// brokerPatience is how long the brokers may take to answer at all.
const brokerPatience = 10 * time.Second

func describe(t consumers.Topic) string {
	limit := "record limit unknown"
	if t.MaxRecordBytes > 0 {
		limit = fmt.Sprintf("records up to %d bytes", t.MaxRecordBytes)
	}
	return fmt.Sprintf("%d partitions, %s", t.Partitions, limit)
}

// deadLetterHeaders is room for what a dead letter says beside the original, in bytes.
const deadLetterHeaders = 4 << 10

// limitNote compares what two topics take. A dead letter holds the whole original, so its topic must take more.
func limitNote(in, dead consumers.Topic) noteError {
	want := in.MaxRecordBytes + deadLetterHeaders
	if in.MaxRecordBytes == 0 || dead.MaxRecordBytes == 0 || dead.MaxRecordBytes >= want {
		return ""
	}
	return noteError(fmt.Sprintf("%s takes %d bytes a record, %s only %d: a larger original becomes a reference to it; "+
		"set max.message.bytes of %s to %d to keep originals whole", in.Name, in.MaxRecordBytes, dead.Name, dead.MaxRecordBytes, dead.Name, want))
}
