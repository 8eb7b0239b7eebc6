//go:build !nocloud

package service

import (
	"context"

	"nearline/features/bigtable"
	"nearline/features/dynamodb"
	"nearline/features/firestore"
	"nearline/internal/config"
)

// openCloud opens the store of a cloud, nil where none is named.
func openCloud(ctx context.Context, c config.Store) (Store, error) {
	switch {
	case c.DynamoDB != nil:
		return opened(dynamodb.Open(ctx, *c.DynamoDB))
	case c.Bigtable != nil:
		return opened(bigtable.Open(ctx, *c.Bigtable))
	case c.Firestore != nil:
		return opened(firestore.Open(ctx, *c.Firestore))
	default:
		return nil, nil
	}
}

// opened makes a nil of type S a nil Store.
func opened[S Store](s S, err error) (Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
