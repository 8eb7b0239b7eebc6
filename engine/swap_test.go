package engine

import (
	"errors"
	"testing"

	"nearline/batching"
	"nearline/models"
	"nearline/pipeline"
)

// A model that is unloaded answers whoever still has a program that runs it, and is closed once when the last of them has let go.
func TestAnUnloadedModelStaysUntilItsProgramsAreDrained(t *testing.T) {
	e := New(repository(t), Options{})
	stop := e.Start(t.Context())
	load := func() *models.Model {
		m, err := e.Load(t.Context(), "constant")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	old := load()
	program := func(n uint64, m *models.Model) *pipeline.Program {
		return &pipeline.Program{Generation: n, Steps: pipeline.Steps{models.NewStep(m, batching.Stream, nil, nil)}}
	}
	var stream, online pipeline.Programs
	for _, programs := range []*pipeline.Programs{&stream, &online} {
		if err := e.Swap(programs, program(1, old), old); err != nil {
			t.Fatal(err)
		}
	}
	taken, release := stream.Take()

	e.Unload("constant")
	if e.Model("constant") != nil {
		t.Error("an unloaded model is still handed out")
	}
	next := load()
	if next == old {
		t.Fatal("the unloaded model was handed out again")
	}
	if err := e.Swap(&stream, program(1, next), next); err == nil {
		t.Error("an earlier program took the place")
	}
	for _, programs := range []*pipeline.Programs{&stream, &online} {
		if err := e.Swap(programs, program(2, next), next); err != nil {
			t.Fatal(err)
		}
	}
	answers := func(p *pipeline.Program) error {
		row := &pipeline.Row{Record: &pipeline.Record{Value: []byte("v")}, Text: "good"}
		err := p.Run(t.Context(), []*pipeline.Row{row}, nil)
		if err == nil && len(row.Predictions) != 1 {
			t.Errorf("got %v and %v, want a prediction", row.Predictions, row.Fault)
		}
		return err
	}
	if err := answers(taken); err != nil {
		t.Errorf("the old program does not answer who has it: %v", err)
	}
	release()
	e.closing.Wait()
	if err := answers(taken); err == nil {
		t.Error("the model is not closed once nobody has its programs")
	}
	now, release := stream.Take()
	defer release()
	if now.Generation != 2 {
		t.Errorf("generation %d is current, want 2", now.Generation)
	}
	if err := answers(now); err != nil {
		t.Error(err)
	}
	if err := errors.Join(e.Close(t.Context()), stop()); err != nil {
		t.Error(err)
	}
}
