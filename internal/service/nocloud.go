//go:build nocloud

package service

import (
	"context"
	"fmt"

	"nearline/internal/config"
)

// openCloud refuses the stores whose clients this binary was built without.
func openCloud(_ context.Context, c config.Store) (Store, error) {
	var name string
	switch {
	case c.DynamoDB != nil:
		name = "dynamodb"
	case c.Bigtable != nil:
		name = "bigtable"
	case c.Firestore != nil:
		name = "firestore"
	default:
		return nil, nil
	}
	return nil, fmt.Errorf("features.store has %s: this binary was built with the tag nocloud, without the clients of DynamoDB, Bigtable and Firestore; "+
		"want one that was built without the tag, as by make build or make image, or another store, such as features.store.redis", name)
}
