package engine

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"nearline/batching"
	"nearline/models"
	"nearline/pipeline"
	"nearline/steps"
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
	reviews := Pipeline{Name: "reviews", Steps: []steps.Config{{Predict: &steps.Predict{Model: "constant"}}}}
	put := func() {
		t.Helper()
		for _, class := range []batching.Class{batching.Stream, batching.Online} {
			if _, err := e.Put(reviews, class); err != nil {
				t.Fatal(err)
			}
		}
	}
	put()
	stream := e.Programs("reviews", batching.Stream)
	taken, release := stream.Take()

	e.Unload("constant")
	if e.Model("constant") != nil {
		t.Error("an unloaded model is still handed out")
	}
	next := load()
	if next == old {
		t.Fatal("the unloaded model was handed out again")
	}
	put()
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

// Whoever takes a program can run it to the end, whatever is loaded, unloaded and put meanwhile.
func TestProgramsRunWhileModelsComeAndGo(t *testing.T) {
	e := New(repository(t), Options{})
	stop := e.Start(t.Context())
	reviews := Pipeline{Name: "reviews", Steps: []steps.Config{{Predict: &steps.Predict{Model: "constant"}}}}
	if err := e.LoadAll(t.Context(), reviews.Steps); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Put(reviews, batching.Stream); err != nil {
		t.Fatal(err)
	}
	const rounds = 50
	var changing, running sync.WaitGroup
	ended := make(chan struct{})
	for range 2 {
		running.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				program, release := e.Programs("reviews", batching.Stream).Take()
				row := &pipeline.Row{Record: &pipeline.Record{Value: []byte("v")}, Text: "good"}
				if err := program.Run(t.Context(), []*pipeline.Row{row}, nil); err != nil || len(row.Predictions) != 1 {
					t.Errorf("generation %d answers %v and %v, with the fault %v", program.Generation, row.Predictions, err, row.Fault)
				}
				release()
			}
		})
	}
	for range 2 {
		changing.Go(func() {
			for range rounds {
				if err := e.LoadAll(t.Context(), reviews.Steps); err != nil {
					t.Error(err)
				}
				if _, err := e.Put(reviews, batching.Stream); err != nil && !strings.Contains(err.Error(), "model constant is not loaded") {
					t.Error(err)
				}
				e.Unload("constant")
			}
		})
	}
	changing.Wait()
	close(ended)
	running.Wait()
	e.closing.Wait()
	if last, release := e.Programs("reviews", batching.Stream).Take(); last == nil || last.Generation < 2 {
		t.Error("no other program took the place of the first")
		release()
	} else {
		release()
	}
	if err := errors.Join(e.Close(t.Context()), stop()); err != nil {
		t.Error(err)
	}
	if last, release := e.Programs("reviews", batching.Stream).Take(); last != nil {
		t.Error("there is a program after the end")
		release()
	}
}

func TestAModelIsLoadedOnceHoweverManyAskForIt(t *testing.T) {
	var loading atomic.Int64
	e := New(repository(t), Options{Loading: func(string) { loading.Add(1) }})
	stop := e.Start(t.Context())
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			if _, err := e.Load(t.Context(), "constant"); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if n := loading.Load(); n != 1 {
		t.Errorf("it was loaded %d times", n)
	}
	if err := errors.Join(e.Close(t.Context()), stop()); err != nil {
		t.Error(err)
	}
}

// The same version may be loaded anew while a program still runs the one that was unloaded.
func TestAVersionThatIsLoadedAnewIsStillShownWhenTheOldOneGoes(t *testing.T) {
	registry := prometheus.NewRegistry()
	e := New(repository(t), Options{Registry: registry})
	stop := e.Start(t.Context())
	reviews := Pipeline{Name: "reviews", Steps: []steps.Config{{Predict: &steps.Predict{Model: "constant"}}}}
	for range 2 {
		if err := e.LoadAll(t.Context(), reviews.Steps); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Put(reviews, batching.Stream); err != nil {
			t.Fatal(err)
		}
		e.Unload("constant") // the program keeps it
	}
	shown := func() (n int) {
		families, err := registry.Gather()
		if err != nil {
			t.Error(err)
		}
		for _, f := range families {
			if f.GetName() == "nearline_model_info" {
				n = len(f.GetMetric())
			}
		}
		return n
	}
	e.closing.Wait() // the first one has gone with its program
	if n := shown(); n != 1 {
		t.Errorf("%d versions are shown, want the one that a program runs", n)
	}
	if err := errors.Join(e.Close(t.Context()), stop()); err != nil {
		t.Error(err)
	}
	if n := shown(); n != 0 {
		t.Errorf("%d versions are shown at the end, want none", n)
	}
}
