package service

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"nearline/consumers"
	"nearline/internal/observe"
	"nearline/kafka"
	"nearline/pipeline"
)

// What is asked by probes: live and ready look at this process only, stream at Kafka too.

func (s *Service) checkDevice() {
	s.health.Live.Add("device "+s.config.Models.Device, func() observe.Finding {
		if since, hung := s.Device().Hung(); hung {
			return observe.Finding{Problem: fmt.Sprintf("a run has not returned since %s; the process ends", since.Format(time.TimeOnly))}
		}
		return observe.Finding{}
	})
}

// checkModels is called when all are there: half of them would not do. A service that only aggregates has none, and is ready.
func (s *Service) checkModels() {
	defer s.health.Ready.Started()
	for name, first := range s.engine.Models() {
		s.health.Ready.Add("model "+name, func() observe.Finding {
			info := first.Info()
			if now := s.engine.Model(name); now != nil { // while the service ends there is none
				info = now.Info()
			}
			return observe.Finding{Detail: map[string]any{"version": info.Version, "device": info.Device}}
		})
	}
}

func (s *Service) checkStream() {
	defer s.health.Stream.Started()
	s.health.Stream.Add("brokers", s.brokers.check)
	if s.kafka.Secured() {
		s.health.Stream.Add("credentials", func() observe.Finding { return observe.Finding{Problem: s.kafka.Trouble(s.brokers.answer())} })
	}
	for _, w := range s.workers {
		s.health.Stream.Add("pipeline "+w.config.Name, w.check)
		if w.columnMetrics != nil {
			s.health.Stream.Add("pipeline "+w.config.Name+" columns", w.neverThere)
		}
		for i, status := range w.status {
			s.health.Stream.Add(fmt.Sprintf("pipeline %s member %d", w.config.Name, i), func() observe.Finding { return memberFinding(status.Snapshot()) })
		}
	}
}

func memberFinding(now pipeline.Snapshot) observe.Finding {
	detail := map[string]any{"cycles": now.Cycles, "records": now.Committed, "in_hand": now.Records}
	if !now.LastCommit.IsZero() {
		detail["last_commit"] = now.LastCommit.UTC().Format(time.RFC3339)
	}
	finding := observe.Finding{Detail: detail}
	if !now.Healthy {
		finding.Problem = fmt.Sprintf("%s fault since %s: %v", now.Blame, now.Since.UTC().Format(time.RFC3339), now.Err)
	}
	return finding
}

// brokerWatch asks every few seconds whether the cluster is there: a client that waits for its broker says nothing, so
// the silence of members tells neither way.
type brokerWatch struct {
	cluster    *consumers.Cluster
	connection kafka.Connection
	addresses  []string
	logger     *slog.Logger

	mu    sync.Mutex // guards err and since
	err   error
	since time.Time
}

const (
	brokerInterval = 5 * time.Second
	brokerTimeout  = 5 * time.Second
)

func (w *brokerWatch) run(ctx context.Context) error {
	again := backoff{connection: w.connection, least: brokerInterval}
	for {
		again.ask()
		if !again.wait(ctx, w.ask(ctx)) {
			return nil
		}
	}
}

func (w *brokerWatch) ask(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	_, err := w.cluster.Brokers(asked)
	if ctx.Err() != nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	// Why credentials or certificates keep the brokers away was logged when it began.
	case err != nil && w.err == nil && w.connection.Trouble(false) == "":
		w.logger.Warn("no broker answers", "brokers", w.addresses, "error", err)
	case err == nil && w.err != nil:
		w.logger.Info("the brokers answer again", "brokers", w.addresses, "after", time.Since(w.since).Round(time.Second))
	}
	if w.err == nil {
		w.since = time.Now() // the first failure sets it, and the next ones leave it
	}
	w.err = err
	return err
}

// answer says that a broker did when it was last asked.
func (w *brokerWatch) answer() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err == nil
}

func (w *brokerWatch) check() observe.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		return observe.Finding{}
	}
	return observe.Finding{Problem: fmt.Sprintf("no broker answers at %s since %s: %v",
		strings.Join(w.addresses, ", "), w.since.UTC().Format(time.RFC3339), w.err)}
}
