package service

import (
	"context"

	"nearline/features"
	"nearline/features/redis"
	"nearline/internal/config"
)

// Store is one that all replicas share.
type Store interface {
	features.Lasting
	// Ping says whether it answers, and is as it has to be.
	Ping(ctx context.Context) error
}

// OpenStore opens the store that a valid configuration names, nil where it names none. Credentials are looked for; nothing else is asked
// for yet. Some clients keep the context for as long as they live.
func OpenStore(ctx context.Context, c config.Store) (Store, error) {
	if c.Redis != nil {
		return redis.Open(*c.Redis), nil
	}
	return openCloud(ctx, c)
}
