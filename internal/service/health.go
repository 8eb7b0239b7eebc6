package service

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"nearline/consumers"
	"nearline/internal/observe"
	"nearline/pipeline"
)

// checks registers what is asked by probes: live and ready look at this process only, stream at Kafka too.
func (s *Service) checks() {
	s.health.Live.Add("device "+s.config.Models.Device, func() observe.Finding {
		if since, hung := s.device.Hung(); hung {
			return observe.Finding{Problem: fmt.Sprintf("a run has not returned since %s; the process ends", since.Format(time.TimeOnly))}
		}
		return observe.Finding{}
	})
	for name, model := range s.models {
		info := model.Info()
		s.health.Ready.Add("model "+name, func() observe.Finding {
			return observe.Finding{Detail: map[string]any{"version": info.Version, "device": info.Device}}
		})
	}
	s.health.Stream.Add("brokers", s.brokers.check)
	for _, line := range s.lines {
		for i, status := range line.status {
			s.health.Stream.Add(fmt.Sprintf("pipeline %s member %d", line.config.Name, i), func() observe.Finding { return memberFinding(status.Snapshot()) })
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
	cluster   *consumers.Cluster
	addresses []string

	mu    sync.Mutex // guards err and since
	err   error
	since time.Time
}

const (
	brokerInterval = 5 * time.Second
	brokerTimeout  = 5 * time.Second
)

func (w *brokerWatch) run(ctx context.Context) error {
	ticker := time.NewTicker(brokerInterval)
	defer ticker.Stop()
	for {
		w.ask(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (w *brokerWatch) ask(ctx context.Context) {
	asked, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	_, err := w.cluster.Brokers(asked)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil || w.err == nil {
		w.since = time.Now()
	}
	w.err = err
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
