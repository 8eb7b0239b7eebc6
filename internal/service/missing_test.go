//go:build cgo

package service

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/engine"
	"nearline/internal/observe"
	"nearline/pipeline"
)

func TestPathsThatAreNearlyAStepsAreDoubted(t *testing.T) {
	for visits, want := range map[string]string{
		"shopper.visits": "",
		"meta.visits":    "",
		"visits":         "",
		"shoper.visits":  "shoper.visits is read from events, which have it or not: did you mean shopper.visits?",
		"Shopper.visits": "Shopper.visits is read from events, which have it or not: did you mean shopper.visits?",
		"item.visits":    "item.visits is read from events: no step before looks view item up",
		"item.price":     "",
		"itme.price":     "did you mean item.price?",
	} {
		c := ordersConfig(t, `{colour: {default: red}, size: meta.size, price: meta.price, visits: {of: `+visits+`, default: 0}}`)
		other := c.Features.Views[0]
		other.Name = "item"
		c.Features.Views = append(c.Features.Views, other)
		loaded := visitors(t, c)
		if err := CheckSteps(c, &c.Pipelines[0], loaded); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(Doubts(c, &c.Pipelines[0], loaded), "; ")
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", visits, got, want)
		}
	}
}

func TestStepsThatComeTooLateAreDoubted(t *testing.T) {
	prediction := pipeline.ObjectValue(pipeline.Field{Name: "label", Value: pipeline.StringValue("")}, pipeline.Field{Name: "score", Value: pipeline.FloatValue(0)})
	columns := []pipeline.Field{{Name: "sentiment", Value: prediction}, {Name: "items"}}
	got := doubts(nil, &pipeline.Program{ResultColumns: columns, Reads: []string{"sentiment.score", "sentimnt", "sentmient.score", "item", "text", "title"}})
	want := []string{
		"sentiment.score is read from events: the step that makes sentiment comes after the one that reads it",
		"sentimnt is read from events, which have it or not: did you mean sentiment?",
		"sentmient.score is read from events, which have it or not: did you mean sentiment.score?",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestColumnsThatAreNeverThereAreCountedLoggedAndShown(t *testing.T) {
	c := ordersConfig(t, `{colour: colour, size: {of: meta.size, default: small}, price: {of: byer.price}, visits: {of: meta.visits, default: 0}}`)
	var log strings.Builder
	registry := prometheus.NewRegistry()
	all, err := emptyViews(c.Features.Config)
	if err != nil {
		t.Fatal(err)
	}
	c.Kafka.ProgressTopic = "off" // the cluster is not asked for anything
	s := &Service{
		config: c, registry: registry, health: observe.NewHealth(), options: Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, views: all,
		engine: engine.OnLoaded(visitors(t, c), engine.World{Views: all}),
	}
	w, err := s.worker(&c.Pipelines[0])
	if err != nil {
		t.Fatal(err)
	}
	s.workers = []*worker{w}
	run := func(n int, value string) {
		t.Helper()
		var rows []*pipeline.Row
		for range n {
			row, fault := program(w).Decoder.Decode(&pipeline.Record{Value: []byte(value)})
			if fault != nil {
				t.Fatal(fault)
			}
			rows = append(rows, row)
		}
		for _, step := range program(w).Steps {
			if err := step.Run(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
		}
	}
	shown := func() string { return fmt.Sprint(w.neverThere().Detail) }
	run(99, `{"colour": "red", "meta": {"size": "small"}}`)
	if want := "map[never_there:[predict visitors: no row so far had a value for price (byer.price), visits (meta.visits); are the paths right?]]"; shown() != want {
		t.Errorf("got %s, want %s", shown(), want)
	}
	if strings.Contains(log.String(), "has had no value") {
		t.Errorf("got %s, want nothing said of 99 rows", &log)
	}
	run(1, `{"colour": "red", "meta": {"visits": 3}}`)
	run(150, `{"colour": "red"}`)
	if want := "map[never_there:[predict visitors: no row so far had a value for price (byer.price); are the paths right?]]"; shown() != want {
		t.Errorf("got %s, want %s", shown(), want)
	}
	if got := log.String(); strings.Count(got, "has had no value") != 1 || !strings.Contains(got, "model=visitors column=price path=byer.price rows=100") {
		t.Errorf("got %s, want price told of once, after 100 rows", got)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "nearline_predict_missing_values_total" {
				counted[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if want := "map[colour:0 price:250 size:151 visits:249]"; fmt.Sprint(counted) != want {
		t.Errorf("got %v, want %s", counted, want)
	}
}
