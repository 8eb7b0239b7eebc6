//go:build synctests

package consumers_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"nearline/internal/harness/kafkatest"
	"nearline/pipeline"
)

// aside is where a crowd goes.
const aside = "aside"

// crowd is a step that puts many outputs beside each row, as several aggregate steps do.
type crowd struct {
	each  int
	bytes int // of each
}

func (c crowd) Name() string { return "aggregate stub" }

func (c crowd) Run(_ context.Context, rows []*pipeline.Row) error {
	for _, row := range rows {
		for i := range c.each {
			value := make([]byte, c.bytes)
			copy(value, row.Record.Value) // which begins with its kind
			row.Beside = append(row.Beside, pipeline.Output{Topic: aside, Key: fmt.Appendf(nil, "%v/%d", row.Record.Coordinates(), i), Value: value})
		}
	}
	return nil
}

// asides are how often each key of a crowd was committed.
func asides(w *kafkatest.World) map[string]int {
	w.Helper()
	client, err := w.Connection(w.Line()).Client(kgo.ConsumeTopics(aside),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second) // of virtual time: by then there is nothing left to read
	defer cancel()
	found := map[string]int{}
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { found[string(r.Key)]++ })
	}
	return found
}

// However many outputs a cycle has, and however heavy they are, they are published, with the offsets or not at all.
func TestACycleMayHaveAnyNumberOfOutputs(t *testing.T) {
	for name, c := range map[string]struct {
		crowd   crowd
		records int
	}{
		"more than any portion takes":  {crowd{each: 500, bytes: 10}, 60},
		"more than the client buffers": {crowd{each: 1400, bytes: 10}, 60},
		"heavier than a portion":       {crowd{each: 10, bytes: 100 << 10}, 40},
	} {
		for _, delivery := range []pipeline.Delivery{pipeline.ExactlyOnce, pipeline.AtLeastOnce} {
			t.Run(fmt.Sprint(name, ", ", delivery), func(t *testing.T) {
				kafkatest.Run(t, kafkatest.Shape{Brokers: 2, Options: []kfake.Opt{kfake.SeedTopics(3, aside)}}, func(w *kafkatest.World) {
					kinds := slices.Repeat([]kafkatest.Kind{kafkatest.Good}, c.records)
					w.ProduceKinds(kinds...)
					line := w.Line()
					member := config(w, line, 0)
					member.Delivery, member.MaxRecords = delivery, c.records
					model := new(kafkatest.Model)
					one := small(cycle(member, model, c.crowd))
					one.Config.MaxRecords = c.records
					finish(t, w, w.Start(one, line))
					found := asides(w)
					if want := c.records * c.crowd.each; len(found) != want {
						t.Errorf("%d outputs beside the results, want %d", len(found), want)
					}
					for key, times := range found {
						if times != 1 {
							t.Fatalf("%s was published %d times", key, times)
						}
					}
					if runs, rows := model.Runs(); rows != c.records {
						t.Errorf("the model ran %d times over %d rows, want each of %d once: a cycle was given back", runs, rows, c.records)
					}
				})
			})
		}
	}
}

// Refusals in several portions of a cycle are all found in one attempt, and nothing of that attempt takes effect.
func TestRefusalsInSeveralPortionsAreFoundAtOnce(t *testing.T) {
	kafkatest.Run(t, kafkatest.Shape{Options: []kfake.Opt{kfake.SeedTopics(3, aside)}}, func(w *kafkatest.World) {
		const records, each = 60, 400
		kinds := slices.Repeat([]kafkatest.Kind{kafkatest.Good}, records)
		kinds[3], kinds[30], kinds[58] = kafkatest.Refused, kafkatest.Refused, kafkatest.Refused
		w.ProduceKinds(kinds...)
		refuse(w, aside, kerr.InvalidRecord, string(kafkatest.Refused))
		line := w.Line()
		model := new(kafkatest.Model)
		one := cycle(config(w, line, 0), model, crowd{each: each, bytes: 10})
		one.Config = pipeline.DefaultCycle()
		finish(t, w, w.Start(one, line))
		if runs, _ := model.Runs(); runs != 2 {
			t.Errorf("the model ran %d times, want twice: once to find the guilty, once to publish the rest", runs)
		}
		found := asides(w)
		if want := (records - 3) * each; len(found) != want {
			t.Errorf("%d outputs beside the results, want %d", len(found), want)
		}
		for key, times := range found {
			if times != 1 {
				t.Fatalf("%s was published %d times", key, times)
			}
		}
	})
}
