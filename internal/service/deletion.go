package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// deleteOld deletes updates that the view has read and that arrived longer ago than features.retention, now and then, until ctx ends. The brokers delete
// none: they do not know what has been read. Every replica does it, which is harmless.
func (v *view) deleteOld(ctx context.Context) {
	every := time.NewTicker(deletionInterval(v.config.Retention))
	defer every.Stop()
	told := "" // the last trouble
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		asked, cancel := context.WithTimeout(ctx, brokerTimeout)
		deleted, err := v.cluster.DeleteRead(asked, v.config.Group(v.Name()), v.updates(), time.Now().Add(-v.config.Retention))
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			told = ""
			v.metrics.Deleted(deleted)
		case told != err.Error():
			told = err.Error()
			v.logger.Warn("old updates stay in their topic, which grows until they can be deleted", "error", deletionRemedy(err, v.updates()))
		}
	}
}

func deletionRemedy(err error, topic string) error {
	if !errors.Is(err, kerr.TopicAuthorizationFailed) {
		return err
	}
	return fmt.Errorf("%w: let the service delete its own updates, by kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:SERVICE --operation Delete --topic %s",
		err, topic)
}

// deletionInterval is short against the retention, and never so short that brokers would notice: they look every five minutes themselves.
func deletionInterval(retention time.Duration) time.Duration {
	return min(max(retention/10, 10*time.Second), 5*time.Minute)
}
