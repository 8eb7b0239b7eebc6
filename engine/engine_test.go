package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"nearline/batching"
	"nearline/models"
)

// repository has a model that needs no runtime, constant, and one that is broken.
func repository(t *testing.T) models.Config {
	t.Helper()
	root := t.TempDir()
	for name, manifest := range map[string]string{"constant": "task: constant\ncolumns: {sentiment: {label: positive, score: 0.5}}\n", "broken": "task: none\n"} {
		folder := filepath.Join(root, name, "1")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "nearline.yaml"), []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := models.DefaultConfig()
	c.Repository, c.Slots = root, 1
	return c
}

func TestAnEngineLoadsAModelOnceAndRunsItUntilItIsClosed(t *testing.T) {
	loading := 0
	e := New(repository(t), Options{Loading: func(string) { loading++ }})
	stop := e.Start(t.Context())
	model, err := e.Load(t.Context(), "constant")
	if err != nil {
		t.Fatal(err)
	}
	again, err := e.Load(t.Context(), "constant")
	if err != nil || again != model || e.Model("constant") != model || len(e.Models()) != 1 || loading != 1 {
		t.Errorf("got %p and %v, with %d models after %d loads: want the one that is loaded, %p", again, err, len(e.Models()), loading, model)
	}
	predictions, _, err := model.Predict(t.Context(), batching.Stream, models.Texts("good"))
	if err != nil || len(predictions) != 1 {
		t.Errorf("got %v and %v, want a prediction", predictions, err)
	}
	if err := errors.Join(e.Close(t.Context()), stop(), stop()); err != nil {
		t.Error(err)
	}
}

func TestAnEngineHasNoModelThatDoesNotLoad(t *testing.T) {
	e := New(repository(t), Options{})
	if _, err := e.Load(t.Context(), "broken"); err == nil || e.Model("broken") != nil {
		t.Errorf("got %v and %v, want an error and no model", err, e.Model("broken"))
	}
	ended, end := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	end(interrupted)
	if _, err := e.Load(ended, "constant"); !errors.Is(err, interrupted) {
		t.Errorf("got %v, want why it was interrupted", err)
	}
}
