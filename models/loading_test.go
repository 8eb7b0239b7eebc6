package models

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nearline/models/folder"
)

// stuck loads until it is let go, whatever ctx says, and then has what it says.
func stuck(let <-chan struct{}, o outcome) func(context.Context) (*Model, error) {
	return func(ctx context.Context) (*Model, error) {
		enterStage(ctx, "warming up")
		<-let
		return o.model, o.err
	}
}

func TestLoadThatDoesNotEndIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		began := time.Now()
		m, err := inTime(t.Context(), time.Minute, stuck(let, outcome{nil, errors.New("too late")}))
		if m != nil || !errors.Is(err, ErrStuck) || !strings.Contains(err.Error(), "warming up after 1m0s") || !strings.Contains(err.Error(), "models.load_timeout") {
			t.Errorf("got %v, %v, want ErrStuck with the stage and the key", m, err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %v, want the limit", took)
		}
		close(let)
	})
}

func TestLoadThatDoesNotEndHeedsAnInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		ctx, cancel := context.WithCancelCause(t.Context())
		asked := errors.New("asked to stop")
		time.AfterFunc(time.Hour, func() { cancel(asked) })
		began := time.Now()
		_, err := inTime(ctx, 0, stuck(let, outcome{}))
		if !errors.Is(err, asked) || errors.Is(err, ErrStuck) || !strings.Contains(err.Error(), "warming up") {
			t.Errorf("got %v, want the interrupt, and the stage", err)
		}
		if took := time.Since(began); took != time.Hour+interruptGrace {
			t.Errorf("it took %v, want a second after the interrupt", took)
		}
		close(let)
	})
}

func TestLoadIsAnsweredWithItsOwnOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(let) })
		want := outcome{nil, errors.New("wrong")}
		if _, err := inTime(t.Context(), time.Minute, stuck(let, want)); !errors.Is(err, want.err) {
			t.Errorf("got %v, want %v", err, want.err)
		}
	})
}

func TestLoadLimitFollowsTheHangTimeout(t *testing.T) {
	for _, c := range []struct{ hang, load, want time.Duration }{{30 * time.Second, 0, 5 * time.Minute}, {0, 0, 0}, {time.Second, time.Hour, time.Hour}, {0, time.Minute, time.Minute}} {
		if got := (Config{HangTimeout: c.hang, LoadTimeout: c.load}).loadLimit(); got != c.want {
			t.Errorf("hang_timeout %v, load_timeout %v: got %v, want %v", c.hang, c.load, got, c.want)
		}
	}
}

// Who reads a pipe waits for somebody who writes, and a device has no end.
func TestFoldersOfModelsHaveRegularFilesAlone(t *testing.T) {
	for _, name := range []string{"nearline.yaml", "model.onnx", "tokenizer.json", "config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "model.onnx_data", "items.txt",
		"modules.json", "sentence_bert_config.json", "onnx/model.onnx", "1_Pooling/config.json"} {
		for kind, place := range map[string]func(path string) error{
			"is a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"is a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				c := constantModel(t)
				path := filepath.Join(c.Repository, "plumbing", "1", filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				_ = os.Remove(path)
				if err := place(path); err != nil {
					t.Skipf("make it: %v", err)
				}
				_, err := Load(t.Context(), c, "plumbing", c.NewDevice(), NewMetrics(nil))
				if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), kind) {
					t.Errorf("load: got %v, want that %s %s", err, path, kind)
				}
				report, err := Inspect(t.Context(), c, filepath.Dir(filepath.Join(c.Repository, "plumbing", "1", "x")), InspectOptions{})
				if err != nil || !strings.Contains(strings.Join(report.Problems, ""), kind) {
					t.Errorf("inspect: got %+v, %v, want the problem", report, err)
				}
				if _, err := folder.List(c.Repository); err != nil {
					t.Errorf("list: %v", err)
				}
			})
		}
	}
}
