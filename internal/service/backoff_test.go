//go:build synctests

package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"nearline/internal/secret"
	"nearline/kafka"
)

// waits has a worker ask, and says when it did.
func waits(t *testing.T, w *worker, until time.Duration, answer func(after time.Duration) error) (asked []time.Duration) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), until)
	defer cancel()
	w.retry(ctx, func() error {
		asked = append(asked, time.Since(began))
		return answer(time.Since(began))
	})
	return asked
}

func TestAClusterThatRefusesIsAskedLessAndLess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	write("wrong")
	password := secret.New("kafka.sasl.password", "${file:"+path+"}", func() (string, error) { return secret.File(path) })
	config := kafka.Config{SASL: &kafka.SASL{Mechanism: kafka.Plain, User: secret.Name{Text: secret.Plain("svc")}, Password: password}}
	refused := fmt.Errorf("reach the brokers: %w", kerr.SaslAuthenticationFailed)
	seconds := func(all ...int) (want []time.Duration) {
		for _, s := range all {
			want = append(want, time.Duration(s)*time.Second)
		}
		return want
	}
	for name, c := range map[string]struct {
		answer func(after time.Duration) error
		want   []time.Duration
		lines  int
	}{
		"refused":   {func(time.Duration) error { return refused }, seconds(0, 2, 6, 14, 30, 60, 90), 1},
		"no answer": {func(time.Duration) error { return errors.New("no answer") }, seconds(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), 1},
		"mended": {func(after time.Duration) error {
			if after == 30*time.Second {
				time.AfterFunc(3*time.Second, func() { write("right") })
			}
			if after > 30*time.Second {
				return nil
			}
			return refused
		}, seconds(0, 2, 6, 14, 30, 34), 1},
		"another answer": {func(after time.Duration) error {
			if after < 5*time.Second {
				return errors.New("no answer")
			}
			return refused
		}, seconds(0, 2, 4, 6, 8, 12, 20, 36), 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &journal{}
				w := &worker{connection: config.Connection(), logger: slog.New(slog.NewTextHandler(log, nil))}
				if got := waits(t, w, c.want[len(c.want)-1]+time.Second, c.answer); !slices.Equal(got, c.want) {
					t.Errorf("it asked at %v, want %v", got, c.want)
				}
				if lines := log.lines("the pipeline waits"); len(lines) != c.lines {
					t.Errorf("it is logged %d times, want %d:\n%v", len(lines), c.lines, lines)
				}
			})
		})
	}
}
