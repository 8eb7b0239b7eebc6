package service

import (
	"context"
	"time"

	"nearline/consumers"
)

// lagInterval is shorter than any usual scrape interval, and three small requests are nothing to a cluster.
const lagInterval = 10 * time.Second

// watchLag asks the cluster, not the members: they know nothing of the partitions that nobody holds, and say nothing while they
// are stuck.
func (l *line) watchLag(ctx context.Context) {
	lags := consumers.WatchLag(l.cluster, l.kafka, l.config.Group, l.config.Input.Topic, l.logger, l.options...)
	ticker := time.NewTicker(lagInterval)
	defer ticker.Stop()
	for {
		lag, err := lags.Ask(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.logger.Debug("the lag is unknown", "error", err) // of an outage the watch on the brokers tells
			lag = nil
		}
		l.members.Lag(lag)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
