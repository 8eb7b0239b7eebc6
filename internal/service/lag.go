package service

import (
	"context"
	"time"

	"nearline/consumers"
)

// The lag is asked for often enough that a scrape has what is so now: three small requests. What a group that stands has before it is looked at less
// often, since that takes a client of its own.
const (
	lagInterval  = 2 * time.Second
	lookInterval = 10 * time.Second
)

// watchLag asks the cluster, not the members: they know nothing of the partitions that nobody holds, and say nothing while they
// are stuck.
func (w *worker) watchLag(ctx context.Context) {
	lags := consumers.WatchLag(w.cluster, w.connection, w.kafka, w.config.Group, w.config.Input.Topic, w.logger)
	ticker := time.NewTicker(lagInterval)
	defer ticker.Stop()
	var looked time.Time
	for {
		ask := lags.Glance
		if time.Since(looked) >= lookInterval {
			ask, looked = lags.Ask, time.Now()
		}
		lag, err := ask(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.logger.Debug("the lag is unknown", "error", err) // of an outage the watch on the brokers tells
			lag = nil
		}
		w.members.Lag(lag)
		w.known.lags(lag)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
