package service

import (
	"context"
	"time"
)

// retryPause between two questions to a cluster that does not answer.
const retryPause = 2 * time.Second

// retry f until it works or ctx ends, which is no error: there is nothing to do any more.
func (l *line) retry(ctx context.Context, what string, f func() error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := f()
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is what was asked for
		}
		l.logger.Warn("cannot "+what+" yet", "error", err)
		timer.Reset(retryPause)
	}
}
